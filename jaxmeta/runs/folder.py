"""The folder of a run: config, metrics, checkpoints, seconds; what a resumed run starts from."""

import fcntl
import functools
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.runs.checkpoints import Checkpoints, newest_record, save, write_json
from jaxmeta.runs.metrics import Metrics
from jaxmeta.runs.settings import config_differences, differences
from jaxmeta.runs.trackers import Tracker, tracker
from jaxmeta.training.processes import from_first, is_first
from jaxmeta.training.step import MetaState

CONFIG, TIME, FAILURE, LOCK = "config.json", "time.json", "failure", ".lock"


class RunFolder:
    """Everything a run writes. With several processes the first one writes, the others nothing.

    A checkpoint holds all that the run needs: state, best parameters, metrics, seconds, config. The
    other files are made from it, so a resumed run repairs them.
    """

    def __init__(self, run_dir: Path, *, resume: bool, config: Any, log: Sequence[Tracker] = ()):
        """Opens a folder; nothing is written yet.

        Raises:
          ValueError: it holds a run and `resume` is False, or another process is at work in it.
        """
        self.run_dir = run_dir
        self._resume, self._config, self._log = resume, config, log
        self._settings: dict[str, Any] = {}
        self._lock: TextIO | None = None
        self._checkpoints: Checkpoints | None = None
        self._metrics: Metrics | None = None
        self._best: Any = None
        self._best_step: int | None = None
        self._seconds, self._started = 0.0, time.monotonic()
        if not is_first():
            return
        self._lock = _lock(run_dir)
        self._checkpoints = Checkpoints(run_dir)
        if (done := self._checkpoints.last_step()) and not resume:
            self.close()
            raise ValueError(
                f"{run_dir} already holds a run of {done} steps: resume it, or choose another "
                "folder."
            )

    def begin(self, state: MetaState, settings: dict[str, Any]) -> tuple[int, MetaState]:
        """Steps done and the state to go on from; the files are made to fit them.

        Args:
          state: the state before the first step.
          settings: of the run, from `settings.describe`.

        Raises:
          ValueError: the run is of another structure or other shapes, or has other settings.
        """
        done = 0
        self._settings = settings
        if self._checkpoints:
            found = self._resume and self._newest(self._checkpoints, state)
            record = found.record if found else {}
            if found:
                self._compare(record, found.step)
                done, state, self._best = found.step, found.state, found.best
                if self._best is None and self._checkpoints.best_step() is not None:
                    self._best = self._checkpoints.restore_best(state.params)
            if self._config is not None and _read_json(self.run_dir / CONFIG) != self._config:
                write_json(self.run_dir / CONFIG, self._config)
            self._metrics = Metrics(
                self.run_dir,
                from_step=done,
                records=record.get("records"),
                sinks=[tracker(name, self.run_dir, self._config, done) for name in self._log],
            )
            self._seconds = (
                record.get("seconds") or (read_seconds(self.run_dir) if done else 0) or 0
            )
            self._best_step = record.get("best_step")
            if self._best is not None and self._best_step is not None:
                self._checkpoints.keep_best(self._best_step, self._best)
        if jax.process_count() > 1:
            done, state = int(from_first(np.asarray(done))), from_first(state)
        return done, state

    def best_value(self, is_better: Callable[[float, float], bool]) -> float | None:
        """The best validation so far."""
        values = [record["val"] for record in self._records() if "val" in record]
        return (
            functools.reduce(lambda a, b: b if is_better(b, a) else a, values) if values else None
        )

    def write(self, step: int, **values: float) -> None:
        """Adds a record to the metrics.

        Raises:
          OSError: it, or an earlier checkpoint, could not be written.
        """
        if self._metrics and self._checkpoints:
            self._checkpoints.check()
            self._metrics.write(step, **values)

    def save_best(self, step: int, params: Any) -> None:
        """Keeps the parameters that validated best so far."""
        self._best, self._best_step = jax.tree.map(np.array, params), step
        if self._checkpoints:
            self._checkpoints.save_best(step, self._best)

    def save(self, step: int, state: MetaState) -> None:
        """Saves everything as of `step`; returns when the arrays are copied."""
        if not (self._metrics and self._checkpoints):
            return
        record = {
            "records": list(self._metrics.records),
            "seconds": self._spent(),
            "best_step": self._best_step,
            "config": self._config,
            "settings": self._settings,
        }
        self._checkpoints.save_last(step, state, self._best, record)
        write_json(self.run_dir / TIME, {"seconds": self._spent()})

    def save_failure(self, state: MetaState, content: dict) -> None:
        """Keeps what reproduces a step that is not finite, in `failure`."""
        if not self._checkpoints:
            return
        folder = self.run_dir / FAILURE
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save(folder / "state", state)
        write_json(folder / "failure.json", content)

    def finish(self, params: Any) -> Any:
        """Waits until all is on the disk; returns the best parameters, `params` where none are.

        Raises:
          OSError: something could not be written.
        """
        if self._checkpoints:
            self._checkpoints.wait()
            write_json(self.run_dir / TIME, {"seconds": self._spent()})
        return from_first(params if self._best is None else jax.tree.map(jnp.asarray, self._best))

    def last_step(self) -> int | None:
        """Step of the newest checkpoint on the disk."""
        if not self._checkpoints:
            return None
        try:
            self._checkpoints.wait()
        except OSError:  # Said where it is waited for next.
            pass
        return self._checkpoints.last_step()

    def close(self) -> None:
        """Finishes writing and lets go of the files."""
        for part in (self._metrics, self._checkpoints, self._lock):
            if part:
                part.close()

    def _newest(self, checkpoints, state):
        try:
            return checkpoints.resume(state, state.params)
        except ValueError:
            # Where the settings differ, they say why the arrays are others.
            self._compare(newest_record(self.run_dir), checkpoints.last_step())
            raise

    def _compare(self, record, done):
        """Refuses other settings than those of the run; a longer one takes its new config over."""
        before, now = record.get("settings"), self._settings  # Older runs have kept none.
        found = differences(before, now) if before else []
        if now["steps"] < done and not found:
            found = [f"steps is {now['steps']}, and {done} are done"]
        config, given = record.get("config"), json.loads(json.dumps(self._config))
        if config is not None and given is not None:
            steps = (before["steps"] if before else done, now["steps"])
            found += config_differences(config, given, steps=steps)
        if found:
            raise ValueError(
                f"{self.run_dir} holds a run with other settings: {'; '.join(found)}. Resume it "
                "with the settings it was started with, or choose another folder."
            )
        if config is not None and (given is None or not config_differences(config, given)):
            self._config = config

    def _records(self):
        return self._metrics.records if self._metrics else []

    def _spent(self):
        return round(self._seconds + time.monotonic() - self._started, 1)


def read_seconds(run_dir: Path) -> float | None:
    """Seconds spent in training; None where the file is not readable."""
    content = _read_json(run_dir / TIME)
    seconds = content.get("seconds") if isinstance(content, dict) else None
    return seconds if isinstance(seconds, float) and math.isfinite(seconds) else None


def _read_json(path):
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _lock(run_dir):
    """An open file that no other process can lock until it is closed or the process ends."""
    run_dir.mkdir(parents=True, exist_ok=True)
    file = (run_dir / LOCK).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"another process is training in {run_dir}.") from None
    except OSError:  # A file system without locks.
        pass
    return file
