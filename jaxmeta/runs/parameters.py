"""The best parameters of a run as one small file, whose digest its evaluation names."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from jaxmeta.trees import named, unnamed

PARAMS = "params.safetensors"
OWN = "evaluation.json"  # of the recipe's own protocol
SHA256 = "params_sha256"  # in an evaluation
MOST_BYTES = 2**20  # of the parameters in a folder of results


def content_of(params: Any) -> bytes:
    """The parameters as safetensors: the same for the same arrays, to the byte."""
    return safetensors.numpy.save(jax.tree.map(np.asarray, named(params)))


def sha256(content: bytes) -> str:
    """The digest that an evaluation names, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def is_published(run_dir: str | Path) -> bool:
    """Whether a folder holds parameters in place of checkpoints: the results of a run, kept."""
    run_dir = Path(run_dir)
    return (run_dir / PARAMS).is_file() and not (run_dir / "checkpoints").exists()


def read_params(run_dir: Path, like: Any) -> tuple[Any, int, int]:
    """The parameters in a folder of results, the step they are of, and the steps trained.

    Args:
      run_dir: the folder.
      like: pytree with the structure, shapes and dtypes of the parameters.

    Raises:
      ValueError: they are not those that the evaluation in the folder is of, or of another net.
    """
    path = run_dir / PARAMS
    try:
        result = json.loads((run_dir / OWN).read_bytes())
        digest, step, trained = (
            result[name] for name in (SHA256, "step_of_best_validation", "steps_trained")
        )
        if not (isinstance(step, int) and isinstance(trained, int)):
            raise ValueError("its steps are no numbers")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be checked: {run_dir / OWN} does not name its digest ({error!r})."
        ) from error
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes: no folder of results has it.")
    content = path.read_bytes()
    if sha256(content) != digest:
        raise ValueError(
            f"{path} does not have the digest that {OWN} names: it is damaged, or of another run."
        )
    try:
        arrays = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    found, expected = (
        {name: _kind(leaf) for name, leaf in of.items()} for of in (arrays, named(like))
    )
    if found != expected:
        other = min(set(found.items()) ^ set(expected.items()))
        raise ValueError(f"{path} holds parameters of another net, such as {other}.")
    return jax.tree.map(jnp.asarray, unnamed(arrays, like)), step, trained


def _kind(leaf):
    return str(leaf.dtype), tuple(leaf.shape)
