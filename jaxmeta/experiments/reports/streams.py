"""Streams: accuracy by presentation of a class, and the memory along one of them."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxmeta.episodes import Sample
from jaxmeta.experiments.parts import Work
from jaxmeta.learner import Learner
from jaxmeta.learners.memory import nearest_seen, reads_and_writes
from jaxmeta.training import evaluate_stream, make_evaluate_stream

STREAMS_AT_ONCE = 20  # in an evaluation, by vmap


def make_evaluate_all(
    learner: Learner, sample: Sample, *, n_episodes: int, metric: Callable
) -> Callable:
    """The validation: all steps of the streams."""
    return make_evaluate_stream(
        learner, sample, n_episodes=n_episodes, is_right=metric, episodes_at_once=STREAMS_AT_ONCE
    )


def stream_results(work: Work) -> dict[str, Any]:
    """Accuracy by presentation: of the learner, untrained, and of the nearest earlier image."""
    task, experiment = work.recipe.task, work.experiment
    sample = next(iter(experiment.meta_test.values()))

    def score(learner, params):
        result = evaluate_stream(
            learner,
            params,
            sample,
            n_episodes=work.n_episodes,
            key=work.key,
            n_presentations=task.per_class,
            is_right=task.score,
            episodes_at_once=STREAMS_AT_ONCE,
        )
        return {
            "mean": result.mean,
            "interval": result.interval,
            "n_episodes": work.n_episodes,
            "by_presentation": result.by_presentation.tolist(),
            "by_presentation_interval": result.by_presentation_interval.tolist(),
        }

    return {
        "inductive": score(experiment.at_test, work.params),
        "untrained": score(experiment.at_test, work.start),
        "raw_pixel_nearest_neighbour": score(nearest_seen(), {}),
    }


def memory_trace(work: Work) -> dict[str, Any] | None:
    """Where the first stream of the meta-test is written and read, the heads added up.

    None for a learner without a memory to look into.
    """
    recipe, parts = work.recipe, work.recipe.learner.parts()
    if parts is None:
        return None
    sample = next(iter(work.experiment.meta_test.values()))
    episode = sample(jax.random.split(jax.random.fold_in(work.key, 0))[0])
    look = reads_and_writes(recipe.net.build(None), **parts)
    trace = jax.jit(look)(work.params, episode)
    y = episode.query.y
    classes = np.unique(np.asarray(y), axis=0, return_inverse=True)[1]
    return {
        "read": np.asarray(trace.access.read).sum(1).round(4).tolist(),
        "write": np.asarray(trace.access.write).sum(1).round(4).tolist(),
        "classes": classes.ravel().tolist(),
        "is_right": np.asarray(recipe.task.score(trace.outputs, y)).tolist(),
    }
