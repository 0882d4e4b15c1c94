"""A run folder: train a recipe into it, read what is in it."""

import dataclasses
import importlib.metadata
import json
import platform
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxmeta.recipes._all import find
from jaxmeta.recipes._experiment import Experiment, build
from jaxmeta.recipes._recipe import Recipe, from_dict
from jaxmeta.training import Fitted, fit, init_state
from jaxmeta.training.checkpoint import Checkpoints, newest_record
from jaxmeta.training.run_folder import CONFIG
from jaxmeta.training.settings import config_differences

# Streams of the seed that training, meta-test and the adaptation curves draw from.
TRAINING, META_TEST = 0, 1
# Fields of a recipe that a later release may word otherwise.
TEXTS = ("paper", "published", "changes")


def train(name: str, recipe: Recipe, run_dir: str | Path, *, resume: bool = False) -> Fitted:
    """Trains a recipe into a run folder.

    A resumed run has the fields it was started with, of which `outer.steps` alone may grow: its
    rate then follows the schedule of that many steps.

    Raises:
      ValueError: the folder holds a run and `resume` is False, or a run of another recipe, or of
        other fields; names them.
    """
    run_dir = Path(run_dir)
    before = _config_before(run_dir) if resume else None
    if before is not None:
        _compare(run_dir, before, (name, recipe))
        recipe = dataclasses.replace(recipe, **{text: getattr(before[1], text) for text in TEXTS})
    experiment = build(recipe)
    outer = recipe.outer
    return fit(
        experiment.learner,
        experiment.tx,
        experiment.meta_train,
        key=stream(recipe, TRAINING),
        steps=outer.steps,
        meta_batch_size=outer.meta_batch_size,
        run_dir=run_dir,
        validation=experiment.validation,
        resume=resume,
        config={"recipe": name, "fields": dataclasses.asdict(recipe), "versions": versions()},
        steps_per_call=outer.steps_per_call,
        tasks_at_once=experiment.tasks_at_once,
        devices=experiment.devices,
        make_step=experiment.make_step,
        init_state=experiment.init_state,
    )


def read_config(run_dir: str | Path) -> tuple[str, Recipe]:
    """Name and fields of the recipe a run folder was trained with.

    Raises:
      FileNotFoundError: the folder holds no run.
      ValueError: its config is not readable.
    """
    path = Path(run_dir) / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run_dir} holds no run: there is no {CONFIG} in it.")
    try:
        return _parse(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not the config of a run: {error}") from error


def _config_before(run_dir):
    """Name and fields of a run to be resumed, in its checkpoint if the file is damaged; or None."""
    try:
        return read_config(run_dir)
    except (FileNotFoundError, ValueError):
        config = newest_record(run_dir).get("config")
        return config and _parse(config)


def _compare(run_dir, before, now):
    """Refuses to resume with another recipe or other fields, before anything is built."""
    (name, old), (new_name, new) = before, now
    found = [] if name == new_name else [f"the recipe is {new_name!r}"]
    old, new = (
        dataclasses.asdict(dataclasses.replace(recipe, **dict.fromkeys(TEXTS, "")))
        for recipe in (old, new)
    )
    steps = old["outer"]["steps"], new["outer"]["steps"]
    found += config_differences(old, new, steps=steps if steps[1] > steps[0] else None)
    if found:
        raise ValueError(
            f"{run_dir} holds a run of recipe {name!r} with other fields: {'; '.join(found)}. "
            "Resume it with the fields it was started with, of which steps alone may grow, or "
            "choose another folder."
        )


def _parse(config):
    return config["recipe"], from_dict(find(config["recipe"]), config["fields"])


class Best(NamedTuple):
    """The best parameters of a run, and what they were trained with."""

    experiment: Experiment
    start: Any  # fresh parameters of the same shapes
    params: Any
    step: int  # of the best validation
    trained: int  # meta-steps done in all


def load_best(run_dir: str | Path, recipe: Recipe) -> Best:
    """Builds the recipe of a run and restores its best parameters by validation.

    Raises:
      FileNotFoundError: the folder holds no validated checkpoint.
    """
    with closing(Checkpoints(run_dir)) as checkpoints:
        step, trained = checkpoints.best_step(), checkpoints.last_step()
        if step is None or trained is None:
            raise FileNotFoundError(f"{run_dir} holds no validated checkpoint yet.")
        experiment = build(recipe)
        key = stream(recipe, META_TEST)
        start = init_state(key, experiment.learner, experiment.tx, experiment.meta_train).params
        return Best(experiment, start, checkpoints.restore_best(start), step, trained)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    names = ("jaxmeta", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"python": platform.python_version(), "backend": jax.default_backend()}


def stream(recipe: Recipe, number: int) -> jax.Array:
    """One of the independent streams of a recipe's seed."""
    return jax.random.fold_in(jax.random.key(recipe.outer.seed), number)
