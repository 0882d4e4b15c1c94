"""A run folder: train a recipe into it, read what is in it."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxmeta.experiments import own
from jaxmeta.experiments.build import Experiment, build
from jaxmeta.experiments.codec import TYPE, encode, is_own
from jaxmeta.experiments.fits import check_fits
from jaxmeta.experiments.parts import Split
from jaxmeta.experiments.provenance import Provenance
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.checkpoints import Checkpoints, newest_record, write_bytes
from jaxmeta.runs.fit import Fitted, fit
from jaxmeta.runs.folder import CONFIG
from jaxmeta.runs.parameters import is_published, read_params
from jaxmeta.runs.settings import config_differences
from jaxmeta.runs.trackers import Tracker
from jaxmeta.runs.untagged import tagged, with_provenance
from jaxmeta.training import init_state
from jaxmeta.training.processes import is_first

# Keys of the seed that training and the meta-test draw from.
TRAINING, META_TEST = 0, 1


def train(
    name: str,
    recipe: Recipe,
    run_dir: str | Path,
    *,
    resume: bool = False,
    code: own.OwnCode | None = None,
    show_progress: bool = True,
    log: Sequence[Tracker] = (),
) -> Fitted:
    """Trains a recipe into a run folder.

    A resumed run has the fields it was started with, of which `outer.steps` alone may grow: its
    rate then follows the schedule of that many steps.

    Args:
      name, recipe: what to train.
      run_dir: folder of the run.
      resume: go on with the run in it.
      code: the file that parts of the recipe come from, of `own.load`, where they are not
        jaxmeta's; a copy of its source is kept in the folder. Without it this process can read the
        run, and another one after `jaxmeta.runs.allow(recipe)`.
      show_progress: a bar, and a line for every validation.
      log: trackers that take the metrics, too, such as `["wandb"]`.

    Raises:
      ValueError: the folder holds a run and `resume` is False, or a run of another recipe, or of
        other fields; names them.
    """
    run_dir = Path(run_dir)
    recipe, config = config_of(name, recipe, run_dir, resume=resume, code=code)
    experiment = build(recipe)
    check_fits(recipe, experiment)
    outer = recipe.outer
    keep_code(recipe, run_dir, code)
    return fit(
        experiment.learner,
        experiment.tx,
        experiment.meta_train,
        key=seed_key(recipe, TRAINING),
        steps=outer.steps,
        meta_batch_size=outer.meta_batch_size,
        run_dir=run_dir,
        validation=experiment.validation,
        resume=resume,
        config=config,
        show_progress=show_progress,
        log=log,
        steps_per_call=outer.steps_per_call,
        tasks_at_once=experiment.tasks_at_once,
        devices=experiment.devices,
        make_step=experiment.make_step,
        init_state=experiment.init_state,
    )


def config_of(
    name: str, recipe: Recipe, run_dir: Path, *, resume: bool, code: own.OwnCode | None
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe as a run has it, and what its `config.json` is to hold.

    A copy of the user's code, where parts of the recipe are of it, is written by `keep_code`.

    Raises:
      ValueError: the run to be resumed is of another recipe or other fields; names them.
    """
    is_theirs = is_own(encode(recipe))
    if is_theirs and code is None:
        own.allow(recipe)
    config = _config_before(run_dir) if resume else None
    if config is None:
        config = {"recipe": name, "fields": encode(recipe), "versions": versions()}
        if is_theirs and code is not None:
            config["code"] = code.entry()
        return recipe, config
    before = _parse(config, run_dir)
    _compare(run_dir, before, (name, recipe))
    recipe = dataclasses.replace(recipe, provenance=before[1].provenance)
    # In the words it has: another release may have other fields.
    fields = config["fields"]
    longer = {**fields["outer"], "steps": recipe.outer.steps}
    return recipe, {**config, "fields": {**fields, "outer": longer}}


def keep_code(recipe: Recipe, run_dir: Path, code: own.OwnCode | None) -> None:
    """Copies the user's file into the run folder, where parts of the recipe are of it."""
    if code is not None and is_own(encode(recipe)) and is_first():
        (run_dir / code.copy).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(run_dir / code.copy, code.source)


def read_config(run_dir: str | Path) -> tuple[str, Recipe]:
    """Name and fields of the recipe a run folder was trained with.

    Raises:
      FileNotFoundError: the folder holds no run.
      ValueError: its config is not readable, or it has parts of a file that this process was not
        told to execute: see `allow`.
    """
    path = Path(run_dir) / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{run_dir} holds no run: there is no {CONFIG} in it.")
    try:
        return _parse(json.loads(path.read_bytes()), Path(run_dir))
    except own.CodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not the config of a run: {error}") from error


def _config_before(run_dir):
    """The config of a run to be resumed, as JSON gives it; or None where none has begun.

    That in the newest checkpoint comes first, as the file beside it may be damaged.
    """
    if config := newest_record(run_dir).get("config"):
        return config
    try:
        read_config(run_dir)
    except (FileNotFoundError, ValueError):
        return None
    return json.loads((run_dir / CONFIG).read_bytes())


def _compare(run_dir, before, now):
    """Refuses to resume with another recipe or other fields, before anything is built."""
    (name, old), (new_name, new) = before, now
    found = [] if name == new_name else [f"the recipe is {new_name!r}"]
    old, new = (
        # A later release may word it otherwise.
        encode(dataclasses.replace(recipe, provenance=Provenance()))
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


def _parse(config, run_dir):
    """Name and recipe.

    Raises:
      ValueError: it is not the config of a recipe's run, or one of code that was not allowed.
    """
    try:
        name, fields = config["recipe"], config["fields"]
        if TYPE not in fields:
            fields = tagged(name, fields)
        fields = with_provenance(fields)
        return name, own.read(fields, config.get("code"), run_dir)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it has no recipe and fields ({error!r})") from error


class Best(NamedTuple):
    """The best parameters of a run, and what they were trained with."""

    experiment: Experiment
    start: Any  # fresh parameters of the same shapes
    params: Any
    step: int  # of the best validation
    trained: int  # meta-steps done in all


def load_best(run_dir: str | Path, recipe: Recipe, tested: Split = "meta_test") -> Best:
    """Builds the recipe of a run and restores its best parameters by validation.

    Args:
      run_dir: folder of the run.
      recipe: that of the run, perhaps with other numbers at test.
      tested: the split whose classes `Experiment.meta_test` draws from.

    Of a folder that `publish` wrote they are read from its one file.

    Raises:
      FileNotFoundError: the folder holds no validated checkpoint.
      ValueError: they are damaged, or not those that the evaluation in the folder names.
    """
    run_dir = Path(run_dir)
    with closing(Checkpoints(run_dir)) as checkpoints:
        step, trained = checkpoints.best_step(), checkpoints.last_step()
        kept = is_published(run_dir)
        if not kept and (step is None or trained is None):
            raise FileNotFoundError(f"{run_dir} holds no validated checkpoint yet.")
        samples = None if tested == "meta_test" else recipe.task.tested_on(tested)
        experiment = build(recipe, samples)
        key = seed_key(recipe, META_TEST)
        start = init_state(key, experiment.learner, experiment.tx, experiment.meta_train).params
        if kept or step is None or trained is None:
            return Best(experiment, start, *read_params(run_dir, start))
        return Best(experiment, start, checkpoints.restore_best(start), step, trained)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    names = ("jaxmeta", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"python": platform.python_version(), "backend": jax.default_backend()}


def seed_key(recipe: Recipe, number: int) -> jax.Array:
    """One of the independent keys of a recipe's seed."""
    return jax.random.fold_in(jax.random.key(recipe.outer.seed), number)


def test_key(seed: int) -> jax.Array:
    """The key of the episodes of a meta-test: that of episode i is `fold_in(key, i)`."""
    return jax.random.fold_in(jax.random.key(seed), META_TEST)
