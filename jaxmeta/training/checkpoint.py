"""Files of a run, written whole or not at all; arrays through Orbax."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def save(path: str | Path, tree: Any) -> None:
    """Writes a pytree of arrays into a new folder.

    Raises:
      ValueError: the folder is already there.
    """
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(Path(path).resolve(), tree)


def restore(path: str | Path, like: Any) -> Any:
    """Reads what `save` wrote.

    Args:
      path: the folder.
      like: pytree with the structure, shapes and dtypes expected (its numbers are not used).

    Raises:
      FileNotFoundError: nothing is saved there.
      ValueError: what is there has another structure or other shapes.
    """
    path = Path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"no checkpoint at {path}.")
    with ocp.StandardCheckpointer() as checkpointer:
        return _uncommitted(checkpointer.restore(path, _abstract(like)))


def write_json(path: Path, content: Any) -> None:
    """Writes, or writes anew, a JSON file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


class Checkpoints:
    """The checkpoints of a run: the last ones, and the best by validation."""

    def __init__(self, run_dir: str | Path):
        root = Path(run_dir).resolve() / "checkpoints"
        self._last = _manager(root / "last", keep=2)
        self._best = _manager(root / "best", keep=1)

    def save_last(self, step: int, state: Any) -> None:
        """Writes the state after `step`; it is on disk when this returns."""
        _save(self._last, step, state)

    def save_best(self, step: int, params: Any) -> None:
        """Writes the parameters that validated best so far."""
        _save(self._best, step, params)

    def last_step(self) -> int | None:
        """Step of the newest whole checkpoint."""
        return self._last.latest_step()

    def best_step(self) -> int | None:
        """Step of the best parameters."""
        return self._best.latest_step()

    def restore_last(self, like: Any) -> Any:
        """The newest state."""
        return _restore(self._last, like)

    def restore_best(self, like: Any) -> Any:
        """The best parameters."""
        return _restore(self._best, like)

    def close(self) -> None:
        """Lets go of threads and files."""
        self._last.close()
        self._best.close()


def _manager(path, *, keep):
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=True, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager(path, options=options)


def _save(manager, step, tree):
    if step in manager.all_steps():  # Seen before a kill; a resumed run repeats it to the bit.
        return
    manager.save(step, args=ocp.args.StandardSave(tree), force=True)
    manager.wait_until_finished()


def _restore(manager, like):
    step = manager.latest_step()
    return _uncommitted(manager.restore(step, args=ocp.args.StandardRestore(_abstract(like))))


def _uncommitted(tree):
    """The same arrays bound to no device, so that a step over several devices may take them."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def _abstract(like):
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=sharding), like
    )
