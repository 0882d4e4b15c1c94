"""A run folder: train a recipe into it, evaluate what is in it."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learners.hyper import Gaussian, context_mean, log_density
from jaxmeta.learners.metric import nearest_neighbour
from jaxmeta.recipes._all import ALL, find
from jaxmeta.recipes._experiment import Experiment, build
from jaxmeta.recipes._hyper import Conditional
from jaxmeta.recipes._metric import METRIC
from jaxmeta.recipes._recipe import Images, Recipe, from_dict
from jaxmeta.training import Fitted, evaluate, fit, init_state
from jaxmeta.training.checkpoint import Checkpoints, write_json
from jaxmeta.training.fit import CONFIG, TIME

EVALUATION = "evaluation.json"
# Streams of the seed that training, meta-test and the adaptation curves draw from.
TRAINING, META_TEST = 0, 1


def train(name: str, recipe: Recipe, run_dir: str | Path, *, resume: bool = False) -> Fitted:
    """Trains a recipe into a run folder.

    Raises:
      ValueError: the folder holds a run and `resume` is False, or a run of another recipe.
    """
    run_dir = Path(run_dir)
    if resume and (run_dir / CONFIG).exists():
        before = read_config(run_dir)
        if before != (name, recipe):
            raise ValueError(
                f"{run_dir} holds a run of recipe {before[0]!r} with other fields; resume it with "
                "the fields it was started with, or choose another folder."
            )
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
        config = json.loads(path.read_text())
        return config["recipe"], from_dict(find(config["recipe"]), config["fields"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the config of a run: {error}.") from error


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


def evaluate_run(
    run_dir: str | Path,
    *,
    n_episodes: int | None = None,
    n_way: int | None = None,
    k_shot: int | None = None,
) -> dict[str, Any]:
    """Meta-tests the best parameters of a run and writes `evaluation.json`.

    Both protocols for images, inductive first; on the same episodes, fresh parameters untrained
    and for images the floor of raw pixels; and the metric after each number of inner steps for
    gradient-based learners.

    Args:
      run_dir: folder of the run.
      n_episodes: by default those of the recipe.
      n_way, k_shot: of the episodes, by default those of the recipe; at another setting the file is
        `evaluation-20w5s.json` and alike.

    Returns what was written.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
      ValueError: the learner or the task does not take another setting.
    """
    name, recipe = read_config(run_dir)
    recipe, file = _at_setting(name, recipe, n_way, k_shot)
    key = stream(recipe, META_TEST)
    experiment, start, params, step, trained = load_best(run_dir, recipe)
    n_episodes = recipe.test_episodes if n_episodes is None else n_episodes
    is_images = isinstance(recipe.task, Images)
    sample = next(iter(experiment.meta_test.values()))
    score = partial(evaluate, sample=sample, key=key, metric=experiment.metric)
    score_all = partial(score, n_episodes=n_episodes)
    results: dict[str, Any] = {
        "recipe": name,
        "setting": next(iter(experiment.meta_test)),
        "metric": "accuracy" if is_images else "mean squared error",
        "paper": recipe.paper,
        "published": recipe.published,
        "seed": recipe.outer.seed,
        "steps_trained": trained,
        "seconds_trained": json.loads((Path(run_dir) / TIME).read_text())["seconds"],
        "step_of_best_validation": step,
        "n_episodes": n_episodes,
        "versions": versions(),
    }
    protocols = (False, True) if is_images else (False,)
    for transductive in protocols:
        result = score_all(experiment.at_test, params, transductive=transductive)
        results["transductive" if transductive else "inductive"] = _summary(result)
    results["untrained"] = _summary(score_all(experiment.at_test, start))
    if is_images:
        results["raw_pixel_nearest_neighbour"] = _summary(score_all(nearest_neighbour(), {}))
    if isinstance(recipe.learner, Conditional) and recipe.learner.least_sigma is not None:
        results["context_mean"] = _summary(score_all(context_mean(), {}))
        results["predictive"] = _predictive(recipe, params, sample, key, n_episodes)
    if experiment.inner_steps:
        results["adaptation"] = _adaptation(
            experiment, params, partial(score, n_episodes=min(n_episodes, recipe.curve_episodes))
        )
    write_json(Path(run_dir) / file, results)
    return results


def _at_setting(
    name: str, recipe: Recipe, n_way: int | None, k_shot: int | None
) -> tuple[Recipe, str]:
    """The recipe tested at another way and shot, and the name of the evaluation's file."""
    task = recipe.task
    if n_way is None and k_shot is None:
        return recipe, EVALUATION
    if not isinstance(task, Images):
        raise ValueError("n_way and k_shot are of image classification; this run is of another.")
    n_way, k_shot = n_way or task.n_way, k_shot or task.k_shot
    if n_way != task.n_way and not isinstance(recipe.learner, METRIC):
        raise ValueError(
            f"n_way must be {task.n_way}, as many classes as the net of this run has outputs for, "
            f"got {n_way}; metric learners alone take any."
        )
    if (n_way, k_shot) == (task.n_way, task.k_shot):
        return recipe, EVALUATION
    here, there = f"{task.n_way}w{task.k_shot}s", f"{n_way}w{k_shot}s"
    known = ALL.get(name.replace(here, there))
    recipe = dataclasses.replace(
        recipe,
        paper=known.paper if known else recipe.paper,
        published=known.published if known else "none at this setting",
        task=dataclasses.replace(task, n_way=n_way, k_shot=k_shot),
    )
    return recipe, f"evaluation-{there}.json"


def _predictive(recipe, params, sample, key, n_episodes):
    """How good the predictive distributions are: log density in nats, and share inside 95%."""
    learner = recipe.learner.with_sigma(recipe.net, 1, optax.squared_error)
    metrics = {
        "log_density": lambda outputs, query: jnp.mean(
            log_density(Gaussian(*jnp.split(outputs, 2, axis=1)), query.y)
        ),
        "coverage_of_95_percent": lambda outputs, query: jnp.mean(
            jnp.abs(query.y - outputs[:, :1]) < 1.96 * outputs[:, 1:]
        ),
    }
    return {
        name: _summary(
            evaluate(learner, params, sample, n_episodes=n_episodes, key=key, metric=metric)
        )
        for name, metric in metrics.items()
    }


def _adaptation(experiment: Experiment, params: Any, score: Callable) -> dict:
    """The metric after each number of inner steps, about ten of them, per setting."""
    last = experiment.inner_steps[-1]
    counts = sorted({0, 1, 2, 3, 5, last} | set(range(0, last + 1, max(last // 10, 1))))
    return {
        setting: [
            {"inner_steps": count} | _summary(score(experiment.after(count), params, sample=sample))
            for count in counts
            if count in experiment.inner_steps
        ]
        for setting, sample in experiment.meta_test.items()
    }


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    names = ("jaxmeta", "jax", "jaxlib", "flax", "optax", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"python": platform.python_version(), "backend": jax.default_backend()}


def _summary(result):
    return {"mean": result.mean, "interval": result.interval, "n_episodes": len(result.per_episode)}


def stream(recipe: Recipe, number: int) -> jax.Array:
    """One of the independent streams of a recipe's seed."""
    return jax.random.fold_in(jax.random.key(recipe.outer.seed), number)
