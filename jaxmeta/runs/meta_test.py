"""The meta-test of a run: its best parameters on episodes never seen."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxmeta.experiments.parts import Work
from jaxmeta.experiments.provenance import Published
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.checkpoints import write_json
from jaxmeta.runs.folder import read_seconds
from jaxmeta.runs.run import META_TEST, load_best, read_config, stream, versions

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
        "metric": recipe.task.metric.name,
        "paper": recipe.paper,
        "published": recipe.published,
        "seed": recipe.outer.seed,
        "steps_trained": trained,
        "seconds_trained": read_seconds(run_dir),
        "step_of_best_validation": step,
        "n_episodes": n_episodes,
        "versions": versions(),
    }
    work = Work(recipe, experiment, params, start, key, n_episodes)
    results |= recipe.task.results(work)
    if trace := recipe.task.trace(work):
        write_json(run_dir / MEMORY_TRACE, trace)
    if n_episodes == 1:
        results = without_intervals(results)
    write_json(path, results)
    return results


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
    task: Any = recipe.task
    if task.has_shots:
        own = (task.n_way, task.k_shot)
        if (there := _setting(task, n_way, k_shot)) != own:
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
    task: Any = recipe.task
    if n_way is None and k_shot is None:
        return recipe
    if not task.has_shots:
        raise ValueError("n_way and k_shot are of image classification; this run is of another.")
    n_way, k_shot = _setting(task, n_way, k_shot)
    if n_way != task.n_way and not recipe.learner.any_way:
        raise ValueError(
            f"n_way must be {task.n_way}, as many classes as the net of this run has outputs for, "
            f"got {n_way}; metric learners alone take any."
        )
    if (n_way, k_shot) == (task.n_way, task.k_shot):
        return recipe
    known = recipes.get(name.replace(_short(task.n_way, task.k_shot), _short(n_way, k_shot)))
    return dataclasses.replace(
        recipe,
        provenance=known.provenance
        if known
        else dataclasses.replace(recipe.provenance, published=Published.of("none at this setting")),
        task=dataclasses.replace(task, n_way=n_way, k_shot=k_shot),
    )


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
