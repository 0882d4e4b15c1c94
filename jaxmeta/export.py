"""A trained learner as one file that runs with JAX alone: no jaxmeta, no Flax.

An artefact is a zip archive with `adapt` and `predict` as programs of `jax.export`, for CPU, CUDA
and TPU at once, the parameters as safetensors, and `card.json`, which says what they are. Nothing
in it is compressed and nothing is unpickled; `read` refuses what is not whole.

https://docs.jax.dev/en/latest/export/export.html
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from jaxmeta.learner import Examples, Learner, check_labels
from jaxmeta.trees import named, unnamed

FORMAT = "jaxmeta artefact 1"
PLATFORMS = ("cpu", "cuda", "tpu")
CARD, PARAMS, ADAPTED = "card.json", "params.safetensors", "adapted.safetensors"
PROGRAMS = ADAPT, PREDICT = "adapt.bin", "predict.bin"
MOST_BYTES = 2**31  # of an artefact
MOST_CARD_BYTES = 2**22
# What a program may call beside StableHLO: linear algebra, and JAX's own checks of shapes. A call
# of a host's Python function, or of anything else, is refused.
CUSTOM_CALLS = re.compile(r"shape_assertion|Sharding|(lapack|cusolver|cublas|hipsolver)\w*|cu_\w+")
CALLED = re.compile(r'custom_call(?: |_target_name *= *")@?"?([^"(\s]+)')
_SEED = jax.ShapeDtypeStruct((2,), jnp.uint32)


class Artefact(NamedTuple):
    """What `read` finds in an artefact."""

    params: dict[str, np.ndarray]
    adapt: Callable  # (params, seed [2] uint32, x [S, *X], y [S, N]) -> adapted, a dict of arrays
    predict: Callable  # (params, adapted, x [Q, *X]) -> outputs [Q, N]
    adapted: dict[str, np.ndarray] | None  # of a task that was fitted before the export
    card: dict[str, Any]


def write(
    path: str | Path,
    learner: Learner,
    params: Any,
    support: Examples,
    *,
    support_rows: int | None = None,
    adapted: Any = None,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `adapt`, `predict` and the parameters of a learner into an artefact.

    The number of query rows is left open, and that of support rows too. A learner that draws an
    order of its support rows by `jax.random.permutation` (`mann`, `snail`, `meta_networks`, and
    `reptile` with minibatches) needs their number: give it as `support_rows`.

    Args:
      path: the file, a zip archive; one that is there is replaced once the new one is whole.
      learner: any learner.
      params: its meta-parameters.
      support: a support set, of which only shapes and dtypes are looked at: x `[S, *X]`, y
        `[S, N]` or `[S, D]`.
      support_rows: the one number of support rows that `adapt` then takes; None leaves it open.
      adapted: what `learner.adapt` gave for a task that the artefact is to know already.
      about: what else the card says, such as classes, preprocessing, calibration, provenance and
        licence; anything that JSON holds.

    Returns the card.

    Raises:
      ValueError: the learner needs `support_rows`, `about` has a name of the card's own or is not
        JSON, or two parameters would have one name.

    Example:
      >>> import jax, jax.numpy as jnp, tempfile
      >>> from jaxmeta import Episode, Examples, export, networks, prototypical
      >>> learner = prototypical(networks.mlp(4, hidden=()))
      >>> support = Examples(jnp.eye(3), jnp.eye(3))
      >>> params = learner.init(jax.random.key(0), Episode(support, support))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = export.write(f"{folder}/artefact.zip", learner, params, support)
      ...     artefact = export.read(f"{folder}/artefact.zip")
      >>> adapted = artefact.adapt(artefact.params, [0, 0], jnp.eye(3), jnp.eye(3))
      >>> artefact.predict(artefact.params, adapted, jnp.eye(3)[:2]).argmax(1).tolist()
      [0, 1]
    """
    check_labels(support=support)
    programs = _programs(learner, params, support, support_rows)
    parts = dict(zip(PROGRAMS, (bytes(part.serialize()) for part in programs), strict=True))
    trees = {PARAMS: params} if adapted is None else {PARAMS: params, ADAPTED: adapted}
    arrays = {name: jax.tree.map(np.asarray, named(tree)) for name, tree in trees.items()}
    parts |= {name: safetensors.numpy.save(tree) for name, tree in arrays.items()}
    own = {
        "format": FORMAT,
        "platforms": list(PLATFORMS),
        "inputs": {"shape": list(support.x.shape[1:]), "dtype": str(jnp.result_type(support.x))},
        "outputs": support.y.shape[1],
        "support_rows": support_rows,
        "params": {name: str(leaf.dtype) for name, leaf in arrays[PARAMS].items()},
        "versions": {name: importlib.metadata.version(name) for name in ("jaxmeta", "jax")},
        "files": {name: _digest(part) for name, part in parts.items()},
    }
    about = about or {}
    if taken := sorted(set(about) & set(own)):
        raise ValueError(f"about must not set {taken[0]!r}, which the card says by itself.")
    card = own | about
    try:
        text = json.dumps(card, indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"about must hold what JSON holds: {error}.") from error
    _write_zip(Path(path), {CARD: text.encode(), **parts})
    return card


def read(path: str | Path) -> Artefact:
    """Reads what `write` wrote, and refuses every other file.

    Programs are code: they can only compute, not reach files or network, but they can take long.
    The digests stop a damaged one; one that was damaged on purpose, with digests to fit, can keep
    the compiler's own reader busy for ever.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an artefact, is damaged or too large, or holds more than belongs there.
    """
    path = Path(path)
    with _refusing(path):
        parts = _read_zip(path)
        card = _checked_card(parts)
        arrays = {
            name: safetensors.numpy.load(parts[name]) for name in {PARAMS, ADAPTED} & {*parts}
        }
        if {name: str(leaf.dtype) for name, leaf in arrays[PARAMS].items()} != card.get("params"):
            raise ValueError("its parameters are not those of its card")
        adapt, predict = (_program(name, parts[name], arrays[PARAMS]) for name in PROGRAMS)
    return Artefact(arrays[PARAMS], adapt, predict, arrays.get(ADAPTED), card)


def _programs(learner, params, support, support_rows):
    """`adapt` and `predict` over dicts of arrays, exported."""

    def adapt(params, key_data, x, y):
        key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        return learner.adapt(params, key, Examples(x, y))

    shapes = jax.tree.map(_shape, params)

    def named_adapt(arrays, key_data, x, y):
        return named(adapt(unnamed(arrays, shapes), key_data, x, y))

    scope = jax.export.SymbolicScope()
    (queries,) = jax.export.symbolic_shape("Q", scope=scope)
    x, y = (_shape(part) for part in support[:2])
    jax.eval_shape(adapt, shapes, _SEED, x, y)  # A mistake of the caller is said as it is.
    rows = support_rows or jax.export.symbolic_shape("S", scope=scope)[0]
    x, y = (jax.ShapeDtypeStruct((rows, *part.shape[1:]), part.dtype) for part in (x, y))
    try:
        adapted = jax.eval_shape(adapt, shapes, _SEED, x, y)
        exported = _export(named_adapt)(named(shapes), _SEED, x, y)
    except Exception as error:  # Whatever an unknown size meets in the code of a learner or net.
        if support_rows is not None:
            raise
        raise ValueError(
            "adapt does not trace with an open number of support rows "
            f"({str(error).splitlines()[0]}); give support_rows, the one number it is to take."
        ) from error

    def named_predict(arrays, adapted_arrays, x):
        return learner.predict(unnamed(arrays, shapes), unnamed(adapted_arrays, adapted), x)

    x = jax.ShapeDtypeStruct((queries, *x.shape[1:]), x.dtype)
    return exported, _export(named_predict)(named(shapes), named(adapted), x)


def _export(function):
    return jax.export.export(jax.jit(function), platforms=PLATFORMS)


def _shape(leaf):
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def _digest(content):
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write_zip(path, parts):
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
        for name, content in parts.items():
            # Without the time of day, the same parts are the same file.
            file.writestr(zipfile.ZipInfo(name), content)
    os.replace(partial, path)


@contextlib.contextmanager
def _refusing(path):
    """Says in one line why a file is refused, whatever a reader of its parts raises."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # zipfile, json, safetensors, flatbuffers and MLIR raise many kinds.
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not an artefact that can be used: {said}.") from error


def _read_zip(path):
    """The parts by name, in memory: no name in the archive is ever a path."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size} bytes, more than {MOST_BYTES}")
    parts = {}
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            most = MOST_CARD_BYTES if info.filename == CARD else size
            if info.filename not in (CARD, PARAMS, ADAPTED, *PROGRAMS) or info.filename in parts:
                raise ValueError(f"{info.filename[:100]!r} does not belong in it")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
                raise ValueError(f"{info.filename} is compressed or too large")
            parts[info.filename] = file.read(info)
    return parts


def _checked_card(parts):
    if missing := {CARD, PARAMS, *PROGRAMS} - set(parts):
        raise ValueError(f"{min(missing)} is missing")
    card = json.loads(parts[CARD])
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"its card does not say {FORMAT!r}")
    if card.get("files") != {name: _digest(parts[name]) for name in parts if name != CARD}:
        raise ValueError("a digest differs from the card's: it is damaged or was changed")
    return card


def _program(name, content, params):
    """A program of the artefact, compiled when called."""
    exported = jax.export.deserialize(bytearray(content))
    for target in CALLED.findall(exported.mlir_module()):
        if not CUSTOM_CALLS.fullmatch(target):
            raise ValueError(f"{name} calls {target}, which is no arithmetic")
    takes, _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    if {key: (leaf.shape, leaf.dtype) for key, leaf in takes[0].items()} != {
        key: (leaf.shape, leaf.dtype) for key, leaf in params.items()
    }:
        raise ValueError(f"{name} takes other parameters than are in it")
    call = jax.jit(exported.call)

    def program(*arguments):
        return call(*(_as(part, like) for part, like in zip(arguments, takes, strict=True)))

    return program


def _as(part, like):
    """Arrays of the dtypes that a program takes, such as labels of integers as floats."""
    if isinstance(like, dict):
        return {name: _as(part[name], leaf) for name, leaf in like.items()}
    return jnp.asarray(part, like.dtype)
