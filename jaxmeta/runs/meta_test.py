"""The meta-test of a run: its best parameters on episodes never seen."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta.experiments.build import STREAMS_AT_ONCE, Experiment
from jaxmeta.experiments.domains.environments import Worlds
from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.domains.streams import Streams
from jaxmeta.experiments.methods.hyper import Conditional
from jaxmeta.experiments.methods.memory import Mann
from jaxmeta.experiments.methods.metric import METRIC
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.learners.hyper import Gaussian, context_mean, log_density
from jaxmeta.learners.memory import nearest_seen, reads_and_writes
from jaxmeta.learners.metric import nearest_neighbour
from jaxmeta.runs.checkpoints import write_json
from jaxmeta.runs.folder import read_seconds
from jaxmeta.runs.returns import METRIC as RETURN
from jaxmeta.runs.returns import return_results
from jaxmeta.runs.run import META_TEST, load_best, read_config, stream, versions
from jaxmeta.training import evaluate, evaluate_stream

MEMORY_TRACE = "memory.json"


def evaluate_run(
    run_dir: str | Path,
    *,
    n_episodes: int | None = None,
    n_way: int | None = None,
    k_shot: int | None = None,
    known: Mapping[str, Recipe] | None = None,
) -> dict[str, Any]:
    """Meta-tests the best parameters of a run and writes `evaluation.json`.

    Both protocols for images, inductive first; on the same episodes, fresh parameters untrained
    and for images the floor of raw pixels; and the metric after each number of inner steps for
    gradient-based learners.

    Args:
      run_dir: folder of the run.
      n_episodes: by default those of the recipe. One episode has no interval: it is None.
      n_way, k_shot: of the episodes, by default those of the recipe.
      known: recipes by name, such as `recipes.ALL`: what was published at another setting is that
        of the recipe there, and "none at this setting" without one.

    Another number of episodes or another setting has a file of its own, such as
    `evaluation-20w5s.json` or `evaluation-50-episodes.json`: see `evaluation_file`.

    Returns what was written.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
      ValueError: the learner or the task does not take another setting.
    """
    run_dir = Path(run_dir)
    name, recipe = read_config(run_dir)
    path = evaluation_file(run_dir, n_episodes=n_episodes, n_way=n_way, k_shot=k_shot)
    recipe = _at_setting(name, recipe, n_way, k_shot, known or {})
    key = stream(recipe, META_TEST)
    experiment, start, params, step, trained = load_best(run_dir, recipe)
    n_episodes = recipe.test_episodes if n_episodes is None else n_episodes
    results: dict[str, Any] = {
        "recipe": name,
        "setting": next(iter(experiment.meta_test)),
        "metric": _metric_of(recipe.task),
        "paper": recipe.paper,
        "published": recipe.published,
        "seed": recipe.outer.seed,
        "steps_trained": trained,
        "seconds_trained": read_seconds(run_dir),
        "step_of_best_validation": step,
        "n_episodes": n_episodes,
        "versions": versions(),
    }
    work = recipe, experiment, params, start, key, n_episodes
    if isinstance(recipe.task, Worlds):
        results |= return_results(*work)
    elif isinstance(recipe.task, Streams):
        results |= _stream_results(*work)
        if isinstance(recipe.learner, Mann) and recipe.learner.memory != "none":
            write_json(run_dir / MEMORY_TRACE, _memory_along_a_stream(*work[:3], key))
    else:
        results |= _episode_results(*work)
    if n_episodes == 1:
        results = without_intervals(results)
    write_json(path, results)
    return results


def _episode_results(recipe, experiment, params, start, key, n_episodes):
    """Both protocols, the floors on the same episodes, and the metric along the inner loop."""
    is_images = isinstance(recipe.task, Images)
    sample = next(iter(experiment.meta_test.values()))
    score = partial(evaluate, sample=sample, key=key, metric=experiment.metric)
    score_all = partial(score, n_episodes=n_episodes)
    results: dict[str, Any] = {}
    for transductive in (False, True) if is_images else (False,):
        with warnings.catch_warnings():  # Both are reported, be they the same or not.
            warnings.filterwarnings("ignore", "transductive=True changed nothing")
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
    return results


def _metric_of(task):
    if isinstance(task, Worlds):
        return RETURN
    return "accuracy" if isinstance(task, Images | Streams) else "mean squared error"


def _stream_results(recipe, experiment, params, start, key, n_episodes):
    """Accuracy by presentation: of the learner, untrained, and of the nearest earlier image."""
    task, sample = recipe.task, next(iter(experiment.meta_test.values()))

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


def _memory_along_a_stream(recipe, experiment, params, key):
    """Where the first stream of the meta-test is written and read, the heads added up."""
    sample = next(iter(experiment.meta_test.values()))
    episode = sample(jax.random.split(jax.random.fold_in(key, 0))[0])
    look = reads_and_writes(recipe.net.build(None), **recipe.learner.parts())
    trace = jax.jit(look)(params, episode)
    y = episode.query.y
    classes = np.unique(np.asarray(y), axis=0, return_inverse=True)[1]
    return {
        "read": np.asarray(trace.access.read).sum(1).round(4).tolist(),
        "write": np.asarray(trace.access.write).sum(1).round(4).tolist(),
        "classes": classes.ravel().tolist(),
        "is_right": np.asarray(recipe.task.is_right(trace.outputs, y)).tolist(),
    }


def evaluation_file(
    run_dir: str | Path,
    *,
    n_episodes: int | None = None,
    n_way: int | None = None,
    k_shot: int | None = None,
) -> Path:
    """Where `evaluate_run` with the same arguments writes: each protocol has a file of its own."""
    _, recipe = read_config(run_dir)
    parts = ["evaluation"]
    if isinstance(recipe.task, Images):
        own = (recipe.task.n_way, recipe.task.k_shot)
        if (there := _setting(recipe.task, n_way, k_shot)) != own:
            parts.append(_short(*there))
    if n_episodes not in (None, recipe.test_episodes):
        parts.append(f"{n_episodes}-episodes")
    return Path(run_dir) / f"{'-'.join(parts)}.json"


def _setting(task, n_way, k_shot):
    return (
        task.n_way if n_way is None else n_way,
        task.k_shot if k_shot is None else k_shot,
    )


def _short(n_way, k_shot):
    return f"{n_way}w{k_shot}s"


def _at_setting(
    name: str,
    recipe: Recipe,
    n_way: int | None,
    k_shot: int | None,
    recipes: Mapping[str, Recipe],
) -> Recipe:
    """The recipe tested at another way and shot."""
    task = recipe.task
    if n_way is None and k_shot is None:
        return recipe
    if not isinstance(task, Images):
        raise ValueError("n_way and k_shot are of image classification; this run is of another.")
    n_way, k_shot = _setting(task, n_way, k_shot)
    if n_way != task.n_way and not isinstance(recipe.learner, METRIC):
        raise ValueError(
            f"n_way must be {task.n_way}, as many classes as the net of this run has outputs for, "
            f"got {n_way}; metric learners alone take any."
        )
    if (n_way, k_shot) == (task.n_way, task.k_shot):
        return recipe
    known = recipes.get(name.replace(_short(task.n_way, task.k_shot), _short(n_way, k_shot)))
    return dataclasses.replace(
        recipe,
        paper=known.paper if known else recipe.paper,
        published=known.published if known else "none at this setting",
        task=dataclasses.replace(task, n_way=n_way, k_shot=k_shot),
    )


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


def without_intervals(results: Any) -> Any:
    """The same with None for every interval: one episode has none, and 0 would claim certainty."""
    if isinstance(results, list):
        return [without_intervals(part) for part in results]
    if not isinstance(results, dict):
        return results
    return {
        name: None if name.endswith("interval") else without_intervals(part)
        for name, part in results.items()
    }


def _summary(result):
    n_episodes = len(result.per_episode)
    interval = result.interval if n_episodes > 1 else None
    return {"mean": result.mean, "interval": interval, "n_episodes": n_episodes}
