"""One checkpoint: a folder of arrays, with what tells whether it is whole.

Orbax writes the arrays; beside them, in `run`, lie their structure, a digest of their bytes, and
what the run wrote down.
"""

import hashlib
import json
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


class Damaged(ValueError):
    """A checkpoint that is not what was written."""


class Resumed(NamedTuple):
    """What a checkpoint holds."""

    step: int
    state: Any
    best: Any  # parameters that validated best until then, or None
    record: dict  # what the run wrote down beside its arrays, as JSON can hold it


def save_args(trees, record):
    """What Orbax's manager takes: named pytrees, `default` and perhaps `best`, and a record."""
    content = {
        "record": record,
        "leaves": {name: _leaves(tree) for name, tree in trees.items()},
        "digests": {name: _digest(tree) for name, tree in trees.items()},
    }
    items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
    content["digest"] = _digest_of_json(content)
    return ocp.args.Composite(run=ocp.args.JsonSave(content), **items)


def read(path, like, params_like=None):
    """Raises `Damaged`, or `ValueError` if a whole checkpoint is of another structure."""
    content = read_content(path)
    state = _read_item(path, "default", like, content)
    best = None
    if params_like is not None and "best" in content["digests"]:
        best = _read_item(path, "best", params_like, content)
    return Resumed(int(path.name), state, best, content["record"])


def read_best(path, like):
    """The best parameters kept in a last checkpoint, or None without whole ones."""
    try:
        return _read_item(path, "best", like, read_content(path))
    except Damaged:
        return None


def read_content(path):
    """The record, and the structure and digest of every pytree. Raises `Damaged`."""
    try:
        content = json.loads((path / "run" / "metadata").read_bytes())
        if content.pop("digest") != _digest_of_json(content):
            raise ValueError("its record does not have its digest")
        return content
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(first_line(error)) from error


def _read_item(path, name, like, content):
    if name not in content["leaves"]:
        raise Damaged(f"it does not hold {name}")
    leaves = content["leaves"][name]
    if leaves != _leaves(like):
        there, here = ({tuple(map(str, leaf)) for leaf in of} for of in (leaves, _leaves(like)))
        others = sorted(there ^ here)
        is_optimiser = all(leaf[0].startswith(".opt_state") for leaf in others)
        raise ValueError(
            f"{path} holds arrays of another structure or other shapes, such as "
            f"{' '.join(others[0])}{': those of another optimiser' if is_optimiser else ''}."
        )
    try:
        checkpointer = ocp.Checkpointer(
            ocp.StandardCheckpointHandler(multiprocessing_options=this_process_alone()),
            multiprocessing_options=this_process_alone(),
        )
        with checkpointer:
            tree = checkpointer.restore(path / name, args=ocp.args.StandardRestore(abstract(like)))
    except Exception as error:  # Of any type: a damaged file can break any line of Orbax.
        raise Damaged(first_line(error)) from error
    if _digest(tree) != content["digests"][name]:
        raise Damaged("its arrays do not have their digest")
    return uncommitted(tree)


def this_process_alone():
    """Orbax's options for what each of several processes reads and writes for itself."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    here = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"jaxmeta{here}"
    )


def first_line(error):
    """An error as a part of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def flush(path):
    """Puts a folder, its files and its name on the disk, as Orbax does not."""
    for folder, _, files in os.walk(path):
        for name in files:
            _fsync(os.path.join(folder, name))
        _fsync(folder)
    _fsync(path.parent)


def _fsync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _leaves(tree):
    """Path, shape and type of every array."""
    return [
        [jax.tree_util.keystr(path), list(np.shape(leaf)), str(leaf.dtype)]
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _digest(tree):
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _digest_of_json(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def uncommitted(tree):
    """The same arrays bound to no device, so that a step over several devices may take them."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def abstract(like):
    """Shapes and types alone, as Orbax wants them."""
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=sharding), like
    )
