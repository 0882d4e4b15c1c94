"""Files of a run, written whole or not at all; arrays through Orbax."""

import concurrent.futures
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxmeta.runs.checkpoint import (
    Damaged,
    Resumed,
    abstract,
    first_line,
    flush,
    read,
    read_best,
    read_content,
    save_args,
    this_process_alone,
    uncommitted,
)

LAST, BEST, DAMAGED = "last", "best", "damaged"  # folders of `checkpoints`


def save(path: str | Path, tree: Any) -> None:
    """Writes a pytree of arrays into a new folder.

    Raises:
      ValueError: the folder is already there.

    Example:
      >>> import jaxmeta, numpy as np, pathlib, tempfile
      >>> folder = pathlib.Path(tempfile.mkdtemp()) / "params"
      >>> jaxmeta.save(folder, {"w": np.ones(3)})
      >>> jaxmeta.restore(folder, {"w": np.zeros(3)})["w"].tolist()
      [1.0, 1.0, 1.0]
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
      ValueError: what is there has another structure or other shapes, or is a run.
    """
    path = Path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"no checkpoint at {path}.")
    if (path / "checkpoints").is_dir():
        raise ValueError(
            f"{path} is the folder of a run, and `restore` reads what `save` wrote: "
            "`fit(..., resume=True)` with the arguments of the run gives its best parameters."
        )
    with ocp.StandardCheckpointer() as checkpointer:
        return uncommitted(checkpointer.restore(path, abstract(like)))


def write_json(path: Path, content: Any) -> None:
    """Writes, or writes anew, a JSON file; it is on disk when this returns."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes, or writes anew, a file whole; it is on disk when this returns."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


class Checkpoints:
    """The checkpoints of a run: the last two, and the best by validation.

    Saving copies the arrays and returns; a thread writes them, and flushes them to the disk before
    an older checkpoint goes. A checkpoint carries a digest of its arrays, so what a crash, a full
    disk or a worn one has damaged is never taken for whole.
    """

    def __init__(self, run_dir: str | Path):
        """Opens the checkpoints in `run_dir`; nothing is written before the first save."""
        self._root = Path(run_dir).resolve() / "checkpoints"
        self._writers = {LAST: _Writer(self._root / LAST, 2), BEST: _Writer(self._root / BEST, 1)}

    def save_last(self, step: int, state: Any, best: Any = None, record: dict | None = None):
        """Saves the state after `step`, the best parameters so far, and a record.

        Raises:
          OSError: an earlier checkpoint could not be written.
        """
        trees = {"default": state} if best is None else {"default": state, "best": best}
        self._writers[LAST].save(step, trees, record or {})

    def save_best(self, step: int, params: Any) -> None:
        """Saves the parameters that validated best so far.

        Raises:
          OSError: an earlier checkpoint could not be written.
        """
        self._writers[BEST].save(step, {"default": params}, {})

    def check(self) -> None:
        """Raises the `OSError` of a checkpoint that could not be written."""
        for writer in self._writers.values():
            writer.check()

    def wait(self) -> None:
        """Returns once all that was saved is on the disk.

        Raises:
          OSError: it could not be written.
        """
        for writer in self._writers.values():
            writer.wait()

    def last_step(self) -> int | None:
        """Step of the newest checkpoint that was written to its end."""
        return max(_steps(self._root / LAST), default=None)

    def best_step(self) -> int | None:
        """Step of the best parameters."""
        return max(_steps(self._root / BEST), default=None)

    def resume(self, like: Any, params_like: Any = None) -> Resumed | None:
        """The newest whole checkpoint; damaged ones are moved aside with a warning.

        Args:
          like: pytree with the structure, shapes and dtypes of the state.
          params_like: the same of the best parameters.

        Raises:
          ValueError: the checkpoint is of a state of another structure or other shapes.
        """
        for step in sorted(_steps(self._root / LAST), reverse=True):
            try:
                return read(self._root / LAST / str(step), like, params_like)
            except Damaged as error:
                aside = _move_aside(self._root / LAST / str(step), self._root / DAMAGED)
                warnings.warn(
                    f"the checkpoint of step {step} in {self._root / LAST} is damaged ({error}); "
                    f"it is now {aside}, and the run goes on from the one before.",
                    stacklevel=2,
                )
        return None

    def before(self, step: int, like: Any) -> Resumed | None:
        """The newest whole checkpoint of a step up to `step`; None without one."""
        for number in sorted(_steps(self._root / LAST), reverse=True):
            if number <= step:
                try:
                    return read(self._root / LAST / str(number), like)
                except Damaged:
                    pass
        return None

    def restore_last(self, like: Any) -> Any:
        """The newest state.

        Raises:
          FileNotFoundError: there is none.
          ValueError: it is damaged, or of another structure or other shapes.
        """
        step = self.last_step()
        if step is None:
            raise FileNotFoundError(f"no checkpoint in {self._root / LAST}.")
        return read(self._root / LAST / str(step), like).state

    def restore_best(self, like: Any) -> Any:
        """The best parameters; those kept in the last checkpoint where their own are damaged.

        Raises:
          FileNotFoundError: there are none.
          ValueError: they are damaged, or of another structure or other shapes.
        """
        step = self.best_step()
        if step is None:
            raise FileNotFoundError(f"no checkpoint in {self._root / BEST}.")
        try:
            return read(self._root / BEST / str(step), like).state
        except Damaged as error:
            for number in sorted(_steps(self._root / LAST), reverse=True):
                best = read_best(self._root / LAST / str(number), like)
                if best is not None:
                    warnings.warn(
                        f"the best parameters in {self._root / BEST / str(step)} are damaged "
                        f"({error}); taken from the checkpoint of step {number}.",
                        stacklevel=2,
                    )
                    return best
            raise

    def keep_best(self, step: int, params: Any) -> None:
        """Puts the best parameters of a resumed run back where they are not, or not whole."""
        try:
            if self.best_step() == step:
                read(self._root / BEST / str(step), params)
                return
        except Damaged:
            _move_aside(self._root / BEST / str(step), self._root / DAMAGED)
        self.save_best(step, params)

    def close(self) -> None:
        """Finishes writing and lets go of threads and files."""
        for writer in self._writers.values():
            writer.close()


def newest_record(run_dir: str | Path) -> dict:
    """What the newest readable checkpoint of a run folder has written down beside its arrays."""
    folder = Path(run_dir) / "checkpoints" / LAST
    for step in sorted(_steps(folder), reverse=True):
        try:
            return read_content(folder / str(step))["record"]
        except Damaged:
            pass
    return {}


class _Writer:
    """One folder of checkpoints, written by a thread of its own."""

    def __init__(self, path, keep):
        self._path, self._keep = path, keep
        self._manager = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
        self._pending = []

    def save(self, step, trees, record):
        self.check()
        trees = jax.tree.map(lambda leaf: np.array(leaf), trees)  # The step reuses its memory.
        # One that still waits for its turn is out of date.
        self._pending = [future for future in self._pending if not future.cancel()]
        self._pending.append(self._thread.submit(self._write, step, trees, dict(record)))

    def check(self):
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        for future in done:
            future.result()

    def wait(self):
        concurrent.futures.wait(self._pending)
        self.check()

    def close(self):
        self._thread.shutdown()
        if self._manager:
            self._manager.close()
        self._manager = None

    def _write(self, step, trees, record):
        if step in _steps(self._path):  # Seen before a kill; a resumed run repeats it to the bit.
            return
        try:
            if self._manager is None:
                self._manager = _manager(self._path, self._keep)
            self._manager.save(step, args=save_args(trees, record), force=True)
            self._manager.wait_until_finished()
            flush(self._path / str(step))
        except Exception as error:  # Orbax passes on what its storage raises, of many types.
            newest = max(_steps(self._path), default=None)
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self._path} "
                f"({first_line(error)}); the newest there is of step {newest}. With room on the "
                "disk, the run can be resumed."
            ) from error


def _manager(path, keep):
    """Keeps the newest `keep`; begins by clearing away what a kill has left half-written."""
    path.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
        multiprocessing_options=this_process_alone(),
    )
    return ocp.CheckpointManager(path, options=options)


def _steps(path):
    if not path.is_dir():
        return []
    return [int(entry.name) for entry in path.iterdir() if entry.name.isdecimal()]


def _move_aside(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{path.parent.name}-{path.name}-{number}" for number in range(1_000_000))
    aside = next(folder / name for name in names if not (folder / name).exists())
    return Path(shutil.move(path, aside))
