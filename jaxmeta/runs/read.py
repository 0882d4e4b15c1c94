"""A trained run, for a notebook: its metrics, its learner and its best parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmeta.experiments.build import Experiment
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.metrics import read_metrics
from jaxmeta.runs.run import load_best, read_config

EVALUATION = "evaluation.json"


class Run(NamedTuple):
    """What a run folder holds."""

    name: str  # of its recipe
    recipe: Recipe
    domain: Any  # the recipe's task: data and metric
    learner: Any  # as evaluated: a Learner, or of tasks to act in an rl.Agent
    params: Any  # the best by validation
    step: int  # of that validation
    metrics: Any  # a pandas DataFrame, or without pandas a dict of arrays: see `metrics_table`
    evaluation: Mapping[str, Any] | None  # its own meta-test; None before there is one
    experiment: Experiment  # samplers of its tasks and more


def read(run_dir: str | Path) -> Run:
    """Reads a run folder, to look at the run and to adapt it to tasks of your own.

    Args:
      run_dir: folder of a run with a validated checkpoint.

    Raises:
      FileNotFoundError: the folder holds no run or no validated checkpoint, or the data set of the
        run is not there.
      ValueError: its config is not readable, or it has parts of a file that this process was not
        told to execute: see `allow`.

    Example: a new sinusoid, of which five points are known.

        run = jaxmeta.runs.read("runs/sinusoid-maml")
        adapted = run.learner.adapt(run.params, jax.random.key(0), jaxmeta.Examples(x, y))
        y_new = run.learner.predict(run.params, adapted, x_new)
    """
    name, recipe = read_config(run_dir)
    best = load_best(run_dir, recipe)
    table: Any = metrics_table(read_metrics(run_dir))
    try:
        import pandas
    except ImportError:
        pass
    else:
        table = pandas.DataFrame(table)
    return Run(
        name=name,
        recipe=recipe,
        domain=recipe.task,
        learner=best.experiment.at_test,
        params=best.params,
        step=best.step,
        metrics=table,
        evaluation=_evaluation(Path(run_dir) / EVALUATION),
        experiment=best.experiment,
    )


def metrics_table(records: list[dict]) -> dict[str, np.ndarray]:
    """Records of `read_metrics` as columns, one row for each step.

    Returns an array for each name, `step` first; NaN where a step has no such number.

    Example:
      >>> table = metrics_table([{"step": 1, "loss": 0.5}, {"step": 1, "val": 0.25}])
      >>> {name: column.tolist() for name, column in table.items()}
      {'step': [1], 'loss': [0.5], 'val': [0.25]}
    """
    rows: dict[int, dict] = {}
    for record in records:
        rows.setdefault(record["step"], {}).update(record)
    names = dict.fromkeys(["step", *(name for row in rows.values() for name in row)])
    columns = {name: np.array([row.get(name, np.nan) for row in rows.values()]) for name in names}
    return columns | {"step": np.array(list(rows), int)}


def _evaluation(path):
    if not path.exists():
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not the evaluation of a run: {error}") from error
