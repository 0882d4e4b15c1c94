"""Episodes with a support and a query set: protocols, floors, adaptation."""

import contextlib
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxmeta.experiments.parts import Work
from jaxmeta.learners.metric import nearest_neighbour
from jaxmeta.training import Evaluation, evaluate


def image_results(work: Work) -> dict[str, Any]:
    """Both protocols, and on the same episodes fresh parameters and the floor of raw pixels."""
    score = _score(work)
    both = {}
    with _both_protocols():
        if not work.transductive:
            result = score(work.experiment.at_test, work.params, transductive=True)
            both["transductive"] = summary(result) | probabilities(result)
        # Its outputs are distances, whose softmax is no probability.
        floor = summary(score(nearest_neighbour(), {}))
    return _in_order(work, score, both, {"raw_pixel_nearest_neighbour": floor})


def episode_results(work: Work) -> dict[str, Any]:
    """The learner, and on the same episodes fresh parameters."""
    return _in_order(work, _score(work), {}, {})


@contextlib.contextmanager
def _both_protocols():
    """Says nothing of protocols that give the same numbers, as where both are reported."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "transductive=True changed nothing")
        yield


def summary(result: Evaluation) -> dict[str, Any]:
    """Mean and interval, which one episode lacks."""
    n_episodes = len(result.per_episode)
    interval = result.interval if n_episodes > 1 else None
    return {"mean": result.mean, "interval": interval, "n_episodes": n_episodes}


def probabilities(result: Evaluation) -> dict[str, float]:
    """Calibration error and log-loss in nats, where the outputs are logits of classes."""
    numbers = {"calibration_error": result.calibration_error, "log_loss": result.log_loss}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _score(work):
    sample = next(iter(work.experiment.meta_test.values()))
    score = partial(evaluate, sample=sample, key=work.key, metric=work.experiment.metric)
    score = partial(score, transductive=work.transductive)
    return partial(score, n_episodes=work.n_episodes)


def _in_order(work, score, protocols, floors):
    experiment = work.experiment
    main = "transductive" if work.transductive else "inductive"
    trained = score(experiment.at_test, work.params)
    results: dict[str, Any] = {main: summary(trained) | probabilities(trained)}
    results |= protocols
    with _both_protocols():
        untrained = score(experiment.at_test, work.start)
        results["untrained"] = summary(untrained) | probabilities(untrained)
        results |= floors | work.recipe.learner.extra_results(work)
        if experiment.inner_steps:
            few = min(work.n_episodes, work.recipe.curve_episodes)
            results["adaptation"] = _adaptation(work, partial(score, n_episodes=few))
    return results


def _adaptation(work: Work, score: Callable) -> dict:
    """The metric after each number of inner steps, about ten of them, per setting."""
    experiment = work.experiment
    last = experiment.inner_steps[-1]
    counts = sorted({0, 1, 2, 3, 5, last} | set(range(0, last + 1, max(last // 10, 1))))
    return {
        setting: [
            {"inner_steps": count}
            | summary(score(experiment.after(count), work.params, sample=sample))
            for count in counts
            if count in experiment.inner_steps
        ]
        for setting, sample in experiment.meta_test.items()
    }
