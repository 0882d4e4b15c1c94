"""A run folder: train a recipe into it, evaluate what is in it."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmeta.learners.memory import nearest_seen, reads_and_writes
from jaxmeta.learners.metric import nearest_neighbour
from jaxmeta.recipes._all import find
from jaxmeta.recipes._experiment import STREAMS_AT_ONCE, Experiment, build
from jaxmeta.recipes._learners import LearnedOptimizer, MamlPlusPlus, Prototypical
from jaxmeta.recipes._memory import Mann, MetaNetworks, Snail, Streams
from jaxmeta.recipes._recipe import Images, Recipe, from_dict
from jaxmeta.training import Fitted, evaluate, evaluate_stream, fit, init_state
from jaxmeta.training.checkpoint import Checkpoints, write_json
from jaxmeta.training.fit import CONFIG, TIME

EVALUATION, MEMORY_TRACE = "evaluation.json", "memory.json"
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


def evaluate_run(run_dir: str | Path, *, n_episodes: int | None = None) -> dict[str, Any]:
    """Meta-tests the best parameters of a run and writes `evaluation.json`.

    Both protocols for images, inductive first; on the same episodes, fresh parameters untrained
    and for images the floor of raw pixels; and the metric after each number of inner steps for
    gradient-based learners.

    Returns what was written.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    name, recipe = read_config(run_dir)
    key = stream(recipe, META_TEST)
    with closing(Checkpoints(run_dir)) as checkpoints:
        step, trained = checkpoints.best_step(), checkpoints.last_step()
        if step is None:
            raise FileNotFoundError(f"{run_dir} holds no validated checkpoint yet.")
        experiment = build(recipe)
        start = init_state(key, experiment.learner, experiment.tx, experiment.meta_train)
        params = checkpoints.restore_best(start.params)
    n_episodes = recipe.test_episodes if n_episodes is None else n_episodes
    is_images = isinstance(recipe.task, Images)
    sample = next(iter(experiment.meta_test.values()))
    score = partial(evaluate, sample=sample, key=key, metric=experiment.metric)
    score_all = partial(score, n_episodes=n_episodes)
    results: dict[str, Any] = {
        "recipe": name,
        "setting": next(iter(experiment.meta_test)),
        "metric": "accuracy" if isinstance(recipe.task, Images | Streams) else "mean squared error",
        "paper": recipe.paper,
        "published": recipe.published,
        "seed": recipe.outer.seed,
        "steps_trained": trained,
        "seconds_trained": json.loads((Path(run_dir) / TIME).read_text())["seconds"],
        "step_of_best_validation": step,
        "n_episodes": n_episodes,
        "versions": versions(),
    }
    if isinstance(recipe.task, Streams):
        of_all = (params, start.params)
        results |= _stream_results(recipe.task, experiment, *of_all, sample, key, n_episodes)
        write_json(Path(run_dir) / EVALUATION, results)
        if isinstance(recipe.learner, Mann) and recipe.learner.memory != "none":
            trace = _memory_along_a_stream(
                recipe.task, recipe.net.build(None), recipe.learner, params, sample, key
            )
            write_json(Path(run_dir) / MEMORY_TRACE, trace)
        return results
    protocols = (False, True) if is_images else (False,)
    for transductive in protocols:
        result = score_all(experiment.at_test, params, transductive=transductive)
        results["transductive" if transductive else "inductive"] = _summary(result)
    results["untrained"] = _summary(score_all(experiment.at_test, start.params))
    if is_images:
        results["raw_pixel_nearest_neighbour"] = _summary(score_all(nearest_neighbour(), {}))
    if not isinstance(recipe.learner, Prototypical | Mann | Snail | MetaNetworks):
        least = 1 if isinstance(recipe.learner, MamlPlusPlus | LearnedOptimizer) else 0
        results["adaptation"] = _adaptation(
            experiment,
            range(least, recipe.learner.test_inner_steps + 1),
            params,
            partial(score, n_episodes=min(n_episodes, recipe.curve_episodes)),
        )
    write_json(Path(run_dir) / EVALUATION, results)
    return results


def _stream_results(task, experiment, params, start, sample, key, n_episodes):
    """Accuracy by presentation: of the learner, untrained, and of the nearest earlier image."""

    def score(learner, params):
        result = evaluate_stream(
            learner,
            params,
            sample,
            n_episodes=n_episodes,
            key=key,
            n_presentations=task.per_class,
            is_right=task.is_right,
            episodes_at_once=STREAMS_AT_ONCE,
        )
        return {
            "mean": result.mean,
            "interval": result.interval,
            "n_episodes": n_episodes,
            "by_presentation": result.by_presentation.tolist(),
            "by_presentation_interval": result.by_presentation_interval.tolist(),
        }

    return {
        "inductive": score(experiment.at_test, params),
        "untrained": score(experiment.at_test, start),
        "raw_pixel_nearest_neighbour": score(nearest_seen(), {}),
    }


def _memory_along_a_stream(task, net, learner, params, sample, key):
    """Where the first stream of the meta-test is written and read, the heads added up."""
    episode = sample(jax.random.split(jax.random.fold_in(key, 0))[0])
    trace = jax.jit(reads_and_writes(net, **learner.parts()))(params, episode)
    y = episode.query.y
    classes = np.unique(np.asarray(y), axis=0, return_inverse=True)[1]
    return {
        "read": np.asarray(trace.access.read).sum(1).round(4).tolist(),
        "write": np.asarray(trace.access.write).sum(1).round(4).tolist(),
        "classes": classes.ravel().tolist(),
        "is_right": np.asarray(task.is_right(trace.outputs, y)).tolist(),
    }


def _adaptation(experiment: Experiment, steps: range, params: Any, score: Callable) -> dict:
    """The metric after each number of inner steps, about ten of those given, per setting."""
    last = steps[-1]
    counts = sorted({0, 1, 2, 3, 5, last} | set(range(0, last + 1, max(last // 10, 1))))
    return {
        setting: [
            {"inner_steps": count} | _summary(score(experiment.after(count), params, sample=sample))
            for count in counts
            if count in steps
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
