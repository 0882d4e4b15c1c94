"""The meta-test of a run: its best parameters on episodes never seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxmeta.experiments.parts import Split, Work
from jaxmeta.experiments.protocol import Protocol, name_of, short_setting, tested
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.checkpoints import write_json
from jaxmeta.runs.folder import read_seconds
from jaxmeta.runs.parameters import OWN, SHA256, content_of, is_published, sha256
from jaxmeta.runs.run import load_best, read_config, test_key, versions

MEMORY_TRACE = "memory.json"
AGAIN = "evaluation-again.json"  # of published results, which are never replaced


def evaluate_run(
    run_dir: str | Path,
    *,
    n_way: int | None = None,
    k_shot: int | None = None,
    q_queries: int | None = None,
    inner_steps: int | None = None,
    n_episodes: int | None = None,
    seed: int | None = None,
    transductive: bool = False,
    split: Split = "meta_test",
    known: Mapping[str, Recipe] | None = None,
) -> dict[str, Any]:
    """Meta-tests the best parameters of a run and writes `evaluation.json`.

    Both protocols for images, inductive first; on the same episodes, fresh parameters untrained
    and for images the floor of raw pixels; and the metric after each number of inner steps for
    gradient-based learners. Episode i is a function of the seed and i alone.

    Args:
      run_dir: folder of the run.
      n_way, k_shot, q_queries: of the episodes, by default those of the recipe. Only learners that
        take any number of classes take another `n_way`.
      inner_steps: of the inner loop, by default those of the recipe at test.
      n_episodes: by default those of the recipe. One episode has no interval: it is None.
      seed: of the episodes, by default that of the run.
      transductive: test with the query set's own batch statistics alone, in place of both ways.
      split: whose classes are tested.
      known: recipes by name, such as `recipes.ALL`: what was published at another setting is that
        of the recipe there, and "none at this setting" without one.

    What is not the recipe's own test has a file of its own, such as `evaluation-20w5s.json` or
    `evaluation-seed-3-50-episodes.json`: see `evaluation_file`.

    Returns what was written.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
      ValueError: the learner or the task does not take another setting.
    """
    run_dir = Path(run_dir)
    protocol = Protocol(
        n_way, k_shot, q_queries, inner_steps, n_episodes, seed, transductive, split
    )
    name, own = read_config(run_dir)
    path = evaluation_file(run_dir, protocol)
    recipe = tested(own, protocol)
    paper, published = _published(name, own, recipe, protocol, known or {})
    n_episodes = recipe.test_episodes if n_episodes is None else n_episodes
    seed = recipe.outer.seed if seed is None else seed
    experiment, start, params, step, trained = load_best(run_dir, recipe, split)
    results: dict[str, Any] = {
        "recipe": name,
        "setting": next(iter(experiment.meta_test)),
        "metric": recipe.task.metric.name,
        "paper": paper,
        "published": published,
        "seed": recipe.outer.seed,
        "steps_trained": trained,
        "seconds_trained": read_seconds(run_dir),
        "step_of_best_validation": step,
        "n_episodes": n_episodes,
        "seed_of_episodes": seed,
        "split": split,
        SHA256: sha256(content_of(params)),
        "versions": versions(),
    }
    work = Work(
        recipe, experiment, params, start, test_key(seed), n_episodes, transductive=transductive
    )
    results |= recipe.task.results(work)
    is_own = path.name == OWN
    if is_own and (trace := recipe.task.trace(work)):
        write_json(run_dir / MEMORY_TRACE, trace)
    if n_episodes == 1:
        results = without_intervals(results)
    write_json(path, results)
    return results


def evaluation_file(run_dir: str | Path, protocol: Protocol = Protocol()) -> Path:
    """Where `evaluate_run` of a protocol writes: each has a file of its own.

    The recipe's own test of published results is `evaluation-again.json`, beside the published one.

    Raises:
      FileNotFoundError: the folder holds no run.
      ValueError: the run does not take the protocol.
    """
    _, recipe = read_config(run_dir)
    name = name_of(recipe, protocol)
    own = AGAIN if is_published(run_dir) else OWN
    return Path(run_dir) / (f"evaluation-{name}.json" if name else own)


def _published(name, own, recipe, protocol, known):
    """Paper and published number of a protocol: those of the recipe that has it as its own."""
    if (recipe.task, recipe.learner, protocol.split) == (own.task, own.learner, "meta_test"):
        return own.paper, own.published
    there = name.replace(short_setting(own.task) or name, short_setting(recipe.task) or name)
    other = known.get(there)
    if there != name and other and recipe.learner == own.learner and protocol.q_queries is None:
        return other.paper, other.published
    return own.paper, "none at this setting"


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
