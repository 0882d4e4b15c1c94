"""Metrics of a run sent to an experiment tracker, through the tracker's own client.

The client decides where they go, by its own settings: `WANDB_MODE=offline` keeps those of wandb on
the disk, `MLFLOW_TRACKING_URI` names a server or a file of mlflow.
"""

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from jaxmeta.runs.checkpoints import write_json

Tracker = Literal["wandb", "mlflow"]
PROJECT = "jaxmeta"
IDENTITY = "tracker.json"  # In the run folder: under which name a tracker knows the run.


class Sink(Protocol):
    """What takes metrics."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the metrics of a step."""

    def close(self) -> None:
        """Ends the run at the tracker."""


def tracker(name: Tracker, run_dir: Path, config: Any, from_step: int) -> Sink:
    """Opens a run at a tracker, or goes on with the one that the folder was sent to before.

    Args:
      name: of the tracker.
      run_dir: folder of the run.
      config: what describes the run, as JSON can hold it.
      from_step: steps that are done.

    Raises:
      ValueError: its client is not installed, or does not open the run.
    """
    try:
        client = importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"log needs {name}: pip install 'jaxmeta[{name}]'.") from error
    open_run: Callable = {"wandb": _Wandb, "mlflow": _Mlflow}[name]
    before = _identity(run_dir).get(name) if from_step else None
    try:
        sink = open_run(client, run_dir, config, before)
    except Exception as error:  # Each client has errors of its own.
        raise ValueError(f"{name} does not open a run: {error}") from error
    write_json(run_dir / IDENTITY, _identity(run_dir) | {name: sink.identity})
    return _Lenient(name, sink)


class _Lenient:
    """Goes on without the tracker where it no longer answers, with a warning."""

    def __init__(self, name, sink):
        self._name, self._sink = name, sink

    def write(self, step, values):
        self._try(lambda: self._sink.write(step, values), f"step {step}")

    def close(self):
        self._try(lambda: self._sink.close(), "the end")

    def _try(self, act, when):
        if self._sink is None:
            return
        try:
            act()
        except Exception as error:  # Each client has errors of its own.
            self._sink = None
            warnings.warn(
                f"{self._name} takes no metrics from {when} on ({error}); the run goes on, and "
                "metrics.jsonl has them all.",
                stacklevel=2,
            )


class _Wandb:
    def __init__(self, client, run_dir, config, identity):
        self._run = client.init(
            project=PROJECT,
            name=run_dir.name,
            dir=str(run_dir),
            config=config,
            id=identity,
            resume="allow" if identity else None,
        )
        self.identity = self._run.id

    def write(self, step, values):
        self._run.log(dict(values), step=step)

    def close(self):
        self._run.finish()


class _Mlflow:
    def __init__(self, client, run_dir, config, identity):
        self._client = client.MlflowClient()
        if identity:
            self.identity = identity
            self._client.update_run(identity, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(PROJECT)
        home = found.experiment_id if found else self._client.create_experiment(PROJECT)
        self.identity = self._client.create_run(home, run_name=run_dir.name).info.run_id
        for path, value in _flat(config, ""):
            self._client.log_param(self.identity, path, value)

    def write(self, step, values):
        for name, value in values.items():
            self._client.log_metric(self.identity, name, value, step=step)

    def close(self):
        self._client.set_terminated(self.identity)


def _flat(content, prefix):
    """The numbers and words of what JSON holds, each by its dotted path."""
    if isinstance(content, Mapping):
        for name, part in content.items():
            yield from _flat(part, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix or "config", json.dumps(content)[:500]


def _identity(run_dir):
    try:
        content = json.loads((run_dir / IDENTITY).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
