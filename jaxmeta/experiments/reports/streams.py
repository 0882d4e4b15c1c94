"""Streams: accuracy by presentation of a class, and the memory along one of them."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxmeta.experiments.parts import Work
from jaxmeta.experiments.reports.episodes import probabilities
from jaxmeta.learners.memory import nearest_seen, reads_and_writes
from jaxmeta.training import Score, evaluate, online

STREAMS_AT_ONCE = 20  # in an evaluation, by vmap


def of_all_steps(is_right: Callable) -> Score:
    """The validation: all steps of the streams."""
    return online(is_right=is_right)._replace(episodes_at_once=STREAMS_AT_ONCE)


def stream_results(work: Work) -> dict[str, Any]:
    """Accuracy by presentation: of the learner, untrained, and of the nearest earlier image."""
    task, experiment = work.recipe.task, work.experiment
    sample = next(iter(experiment.meta_test.values()))

    def score(learner, params):
        return evaluate(
            learner,
            params,
            sample,
            n_episodes=work.n_episodes,
            key=work.key,
            score=online(task.per_class, task.score),
            episodes_at_once=STREAMS_AT_ONCE,
        )

    def shown(result):
        return {
            "mean": result.mean,
            "interval": result.interval,
            "n_episodes": work.n_episodes,
            "by_presentation": result.curve.tolist(),
            "by_presentation_interval": result.curve_interval.tolist(),
        }

    trained, untrained = (score(experiment.at_test, params) for params in (work.params, work.start))
    return {
        "inductive": shown(trained) | probabilities(trained),
        "untrained": shown(untrained) | probabilities(untrained),
        # Its outputs are labels, whose softmax is no probability.
        "raw_pixel_nearest_neighbour": shown(score(nearest_seen(), {})),
    }


def memory_trace(work: Work) -> dict[str, Any] | None:
    """Where the first stream of the meta-test is written and read, the heads added up.

    None for a learner without a memory to look into.
    """
    recipe, parts = work.recipe, work.recipe.learner.parts()
    if parts is None:
        return None
    sample = next(iter(work.experiment.meta_test.values()))
    stream = sample(jax.random.split(jax.random.fold_in(work.key, 0))[0])
    look = reads_and_writes(recipe.net.build(None), **parts)
    trace = jax.jit(look)(work.params, stream)
    y = stream.y
    classes = np.unique(np.asarray(y), axis=0, return_inverse=True)[1]
    return {
        "read": np.asarray(trace.access.read).sum(1).round(4).tolist(),
        "write": np.asarray(trace.access.write).sum(1).round(4).tolist(),
        "classes": classes.ravel().tolist(),
        "is_right": np.asarray(recipe.task.score(trace.outputs, y)).tolist(),
    }
