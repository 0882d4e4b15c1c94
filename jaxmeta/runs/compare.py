"""Runs compared on the same test episodes: paired differences, their intervals and p-values."""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.experiments.codec import encode
from jaxmeta.experiments.metric import Metric, named
from jaxmeta.experiments.parts import Split
from jaxmeta.experiments.protocol import Protocol, tested
from jaxmeta.learner import Episode
from jaxmeta.runs.run import load_best, read_config, test_key, versions
from jaxmeta.training.evaluate import evaluate
from jaxmeta.training.tracing import jit_passing_constants


@dataclasses.dataclass(frozen=True)
class Compared:
    """One of the runs."""

    run: str
    """its folder"""
    recipe: str
    step_of_best_validation: int
    steps_trained: int
    mean: float
    interval: float
    """half width of the 95% interval over episodes"""
    per_episode: np.ndarray = dataclasses.field(repr=False, compare=False)
    """`[n_episodes]` float64"""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more the first of two runs has than the second, episode by episode."""

    first: str
    second: str
    mean: float
    interval: float
    """half width of the 95% interval, by Student's t with `n_episodes - 1` degrees of freedom"""
    p_value: float
    """of the paired t-test, two-sided"""
    p_holm: float
    """the same, corrected for the number of pairs by Holm's method"""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs on the same episodes."""

    metric: str
    measured: str
    """what the number of an episode is"""
    setting: str
    split: str
    transductive: bool
    n_episodes: int
    seed: int
    """of the episodes"""
    runs: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    """of every pair, in the order of the runs"""
    versions: dict[str, str]

    @property
    def of_metric(self) -> Metric:
        """How its numbers are read."""
        return named(self.metric)

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold of it: all but the numbers of single episodes."""
        content = dataclasses.asdict(self)
        for run in content["runs"]:
            del run["per_episode"]
        return content


def compare(
    run_dirs: Sequence[str | Path],
    *,
    n_episodes: int = 2000,
    seed: int = 0,
    n_way: int | None = None,
    k_shot: int | None = None,
    q_queries: int | None = None,
    transductive: bool = False,
    split: Split = "meta_test",
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Tests the best parameters of runs on the same episodes and takes their differences.

    The episodes are those of `evaluate_run(..., seed=seed)`. The intervals are over episodes and
    say nothing of how one training differs from the next.

    Args:
      run_dirs: folders of two runs or more, of one domain and one setting.
      n_episodes: at least 2.
      seed: of the episodes, whatever the seeds of the runs.
      n_way, k_shot, q_queries: of the episodes, by default those of the recipes, which then must be
        the same.
      transductive: with the query set's own batch statistics.
      split: whose classes are tested.
      report: is given a line after each run, with its mean and the time that is left.

    Raises:
      FileNotFoundError: a folder holds no run, or a run without a checkpoint.
      ValueError: fewer than two runs or episodes, the same run twice, a run that does not take the
        protocol, or runs that do not compare: names what differs, and both values.
    """
    at_least(2, runs=len(run_dirs), n_episodes=n_episodes)
    names = short_names([Path(run_dir) for run_dir in run_dirs])
    protocol = Protocol(
        n_way, k_shot, q_queries, None, n_episodes, seed, transductive=transductive, split=split
    )
    found = [read_config(run_dir) for run_dir in run_dirs]
    recipes = [tested(recipe, protocol) for _, recipe in found]
    for name, recipe in zip(names[1:], recipes[1:], strict=True):
        check_comparable((names[0], recipes[0]), (name, recipe))
    rows: list[Compared] = []
    first_episode, started = None, time.monotonic()
    for run_dir, name, (recipe_name, _), recipe in zip(
        run_dirs, names, found, recipes, strict=True
    ):
        best = load_best(run_dir, recipe, split)
        experiment, key = best.experiment, test_key(seed)
        setting, sample = next(iter(experiment.meta_test.items()))
        episode = _first_episode(sample, key)
        first_episode = episode if first_episode is None else first_episode
        if not _are_same(first_episode, episode):
            raise ValueError(
                f"{names[0]} and {name} do not compare: their first test episodes differ, so their "
                "data are not the same."
            )
        result = evaluate(
            experiment.at_test,
            best.params,
            sample,
            n_episodes=n_episodes,
            key=key,
            transductive=transductive,
            score=recipe.task.scored_by(experiment.metric),
        )
        numbers = result.mean, result.interval, result.per_episode
        rows.append(Compared(name, recipe_name, best.step, best.trained, *numbers))
        if report:
            left = (time.monotonic() - started) / len(rows) * (len(recipes) - len(rows))
            text = recipe.task.metric.text(result.mean, result.interval)
            report(f"{len(rows)}/{len(recipes)} {name}: {text}, {left:.0f} s left")
    recipe = recipes[0]
    return Comparison(
        metric=recipe.task.metric.name,
        measured=recipe.learner.measured(recipe.task.metric),
        setting=setting,
        split=split,
        transductive=transductive,
        n_episodes=n_episodes,
        seed=seed,
        runs=tuple(rows),
        differences=paired({row.run: row.per_episode for row in rows}),
        versions=versions(),
    )


def paired(values: dict[str, np.ndarray]) -> tuple[Difference, ...]:
    """The differences of every pair of runs.

    Args:
      values: by the name of the run, its number `[n_episodes]` in each of the same episodes.

    Example:
      >>> (difference,) = paired({"a": np.array([1.0, 2.0, 4.0]), "b": np.array([0.0, 2.0, 2.0])})
      >>> round(difference.mean, 3), round(difference.p_value, 3)
      (1.0, 0.225)
    """
    pairs = list(itertools.combinations(values, 2))
    tests = [_paired_t(values[first] - values[second]) for first, second in pairs]
    corrected = holm([p_value for _, _, p_value in tests])
    return tuple(
        Difference(first, second, mean, interval, p_value, p_holm)
        for (first, second), (mean, interval, p_value), p_holm in zip(
            pairs, tests, corrected, strict=True
        )
    )


def _paired_t(differences):
    """Mean, half width of its 95% interval, two-sided p-value."""
    from scipy import stats  # It takes a second to import, which only a comparison should wait for.

    n = len(differences)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    if error == 0:  # Every episode has the same difference: nothing is left to chance.
        return mean, 0.0, float(mean == 0)
    p_value = 2 * stats.t.sf(abs(mean) / error, n - 1)
    return mean, float(stats.t.ppf(0.975, n - 1) * error), float(p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number: the chance of any false one stays below each.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979: the k-th smallest of m times `m - k + 1`, never below a smaller one's.

    Example:
      >>> holm([0.01, 0.04, 0.03])
      [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(order), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(p_values[place])))
        corrected[place] = largest
    return corrected


def check_comparable(one: tuple[str, Any], other: tuple[str, Any]) -> None:
    """Refuses two recipes, each with the name of its run, whose test episodes are not the same.

    Raises:
      ValueError: names what differs, and both values.
    """
    (name, recipe), (other_name, other_recipe) = one, other
    task, there = recipe.task, other_recipe.task
    facts = [("the domain", type(task).__name__, type(there).__name__)]
    facts.append(
        (
            "the metric",
            recipe.learner.measured(task.metric),
            other_recipe.learner.measured(there.metric),
        )
    )
    if type(task) is not type(there) and type(task).__name__ == type(there).__name__:
        raise ValueError(
            f"{name} and {other_name} do not compare: {type(task).__name__} is of two files, or of "
            "two versions of one."
        )
    if type(task) is type(there):
        # Where the data lie is nothing to compare: whether they are the same is seen in an episode.
        of_training = {*task.training_fields, "data_dir"}
        facts += [
            (field.name, *(encode(getattr(of, field.name)) for of in (task, there)))
            for field in dataclasses.fields(task)
            if field.name not in of_training
        ]
    for what, value, other_value in facts:
        if value != other_value:
            raise ValueError(
                f"{name} and {other_name} do not compare: {what} is {value} in the one and "
                f"{other_value} in the other."
            )


def short_names(run_dirs: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the folders apart.

    Raises:
      ValueError: one is given twice.
    """
    resolved = [Path(os.path.realpath(path)) for path in run_dirs]  # which takes loops, too
    for number, path in enumerate(resolved):
        if path in resolved[:number]:
            raise ValueError(f"each run must be given once, got {run_dirs[number]} twice.")
    longest = max(len(path.parts) for path in resolved)
    ends = ([str(Path(*path.parts[-n:])) for path in resolved] for n in range(1, longest + 1))
    return next(names for names in ends if len(set(names)) == len(names))


def _first_episode(sample, key):
    """The queries of the first episode, or its task; unlabelled support rows may differ."""
    key_episode = jax.random.split(jax.random.fold_in(key, 0))[0]
    drawn = jit_passing_constants(sample)(key_episode)
    return drawn.query if isinstance(drawn, Episode) else drawn


def _are_same(one, other):
    parts, others = jax.tree.leaves(one), jax.tree.leaves(other)
    return len(parts) == len(others) and all(map(np.array_equal, parts, others))
