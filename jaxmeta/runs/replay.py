"""A step of a run, run again with every operation checked."""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import jax

from jaxmeta.experiments.build import build
from jaxmeta.runs.checkpoints import Checkpoints, restore
from jaxmeta.runs.fit import call_length, split_key
from jaxmeta.runs.folder import FAILURE
from jaxmeta.runs.run import TRAINING, read_config, seed_key
from jaxmeta.training import MetaState
from jaxmeta.training.guards import TaskNumbers, first_bad_operation, look_at_tasks


class Replay(NamedTuple):
    """One step of a run, task by task."""

    step: int
    origin: str  # where its state comes from
    tasks: TaskNumbers
    task: int | None  # the first whose loss or gradient is not finite
    operation: str | None  # the first that gives NaN or infinity, and its line


def replay_run(run_dir: str | Path, *, step: int) -> Replay:
    """Runs a step of a run again, each task by itself and then eagerly with checks on.

    The state before it is the one kept when the run stopped there, or is made anew from the newest
    checkpoint before it, by the same calls as in the run.

    Raises:
      FileNotFoundError: the folder holds no run.
      ValueError: the run has no such step.
    """
    run_dir = Path(run_dir)
    _, recipe = read_config(run_dir)
    outer = recipe.outer
    if not 0 <= step < outer.steps:
        raise ValueError(f"step must be in 0..{outer.steps - 1}, got {step}.")
    experiment = build(recipe)
    keys = split_key(seed_key(recipe, TRAINING))
    state = experiment.init_state(
        keys.init, experiment.learner, experiment.tx, experiment.meta_train
    )
    origin = "the start"
    if _failed_step(run_dir) == step:
        state, origin = restore(run_dir / FAILURE / "state", state), f"{run_dir / FAILURE}"
    elif found := Checkpoints(run_dir).before(step, state):
        state, origin = found.state, f"the checkpoint of step {found.step}"
    state = _advance(experiment, outer, state, keys.steps, step)
    work = (experiment.learner, experiment.meta_train, state.params, keys.steps, step)
    tasks = look_at_tasks(*work, outer.meta_batch_size)
    task = tasks.first_not_finite()
    among = range(outer.meta_batch_size) if task is None else [task]
    operations = (first_bad_operation(*work, number, outer.meta_batch_size) for number in among)
    operation = next((found for found in operations if found), None)
    return Replay(step, origin, tasks, task, operation)


def _advance(experiment, outer, state: MetaState, key: jax.Array, step: int) -> MetaState:
    @functools.cache
    def step_of(length):
        return experiment.make_step(
            experiment.learner,
            experiment.tx,
            experiment.meta_train,
            meta_batch_size=outer.meta_batch_size,
            steps_per_call=length,
            tasks_at_once=experiment.tasks_at_once,
            devices=experiment.devices,
        )

    while (done := int(state.step)) < step:
        length = call_length(done, outer.steps, outer.steps_per_call, [outer.validate_every])
        length = min(length, step - done)
        state, _ = step_of(length)(state, key)
        if int(state.step) != done + length:
            raise ValueError(
                f"step {int(state.step)}, before step {step}, is not finite: replay that one."
            )
    return state


def _failed_step(run_dir):
    try:
        return json.loads((run_dir / FAILURE / "failure.json").read_bytes())["step"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
