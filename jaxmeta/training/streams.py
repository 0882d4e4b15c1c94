"""Meta-test on streams: accuracy at the first, second, ... presentation of a class."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import losses
from jaxmeta.checks import at_least
from jaxmeta.doors import check_key, check_params, check_sample
from jaxmeta.episodes import Sample
from jaxmeta.learner import Learner
from jaxmeta.training.evaluate import half_width, over_episodes


class StreamEvaluation(NamedTuple):
    """Accuracy by presentation, and over all steps, over `n_episodes` streams."""

    by_presentation: np.ndarray  # [P], in [0, 1]; at the 1st, 2nd, ... presentation of a class
    by_presentation_interval: np.ndarray  # [P], half widths of the 95% intervals; NaN for one
    mean: float  # over all steps
    interval: float  # NaN for one stream
    per_episode: np.ndarray  # [n_episodes] float64, over the steps of each stream


def evaluate_stream(
    learner: Learner,
    params: Any,
    sample: Sample,
    *,
    n_episodes: int,
    key: jax.Array,
    n_presentations: int = 10,
    is_right: Callable = losses.is_right,
    episodes_at_once: int = 1,
) -> StreamEvaluation:
    """Scores every step of streams (`tasks.streams`), each predicted before its label is shown.

    Stream i has the key `fold_in(key, i)`, so two learners meet the same streams.

    Args:
      learner: one whose `loss` takes streams (`mann`).
      params: its meta-parameters.
      sample: `key -> Episode`, jittable.
      n_episodes: number of streams; of one the intervals are not known, and are NaN.
      key: seed of the streams.
      n_presentations: the last presentation to report, P.
      is_right: `(outputs, y) -> [T]` bool; `losses.letters_are_right` for labels that are strings.
      episodes_at_once: streams batched together by `vmap`.

    Raises:
      ValueError: a count is below 1.
      FloatingPointError: a prediction is not finite.
    """
    run = make_evaluate_stream(
        learner,
        sample,
        n_episodes=n_episodes,
        n_presentations=n_presentations,
        is_right=is_right,
        episodes_at_once=episodes_at_once,
    )
    return run(params, key)


def make_evaluate_stream(
    learner: Learner,
    sample: Sample,
    *,
    n_episodes: int,
    n_presentations: int = 10,
    is_right: Callable = losses.is_right,
    episodes_at_once: int = 1,
) -> Callable[[Any, jax.Array], StreamEvaluation]:
    """`evaluate_stream` compiled once, for many parameters; in a trace as `make_evaluate`."""
    at_least(1, n_presentations=n_presentations)

    check_sample(sample)

    def score(params, key):
        """Steps and right answers by presentation `[P + 1]`, the last of all steps."""
        key_episode, key_learner = jax.random.split(key)
        episode = sample(key_episode)
        _, outputs = learner.loss(params, key_learner, episode)
        number = losses.presentations(episode.query)
        belongs = number == jnp.arange(1, n_presentations + 1)[:, None]
        belongs = jnp.concatenate([belongs, number[None] > 0])  # [P + 1, T]
        right = belongs & is_right(outputs, episode.query.y)
        return belongs.sum(1), right.sum(1), jnp.all(jnp.isfinite(outputs))

    compiled = over_episodes(score, n_episodes, episodes_at_once)

    def run(params, key):
        check_params(params)
        check_key(key)
        steps, right, is_finite = compiled(params, key)  # [n_episodes, P + 1]
        if isinstance(right, jax.core.Tracer):
            right = jnp.where(is_finite[:, None], right, jnp.nan)
            means, intervals = _ratios(jnp, steps, right)
            each = right[:, -1] / jnp.maximum(steps[:, -1], 1)
            return StreamEvaluation(means[:-1], intervals[:-1], means[-1], intervals[-1], each)
        if not np.asarray(is_finite).all():
            episode = int(np.flatnonzero(~np.asarray(is_finite))[0])
            raise FloatingPointError(f"the predictions of stream {episode} are not finite.")
        steps, right = np.asarray(steps), np.asarray(right)
        means, intervals = _ratios(np, steps, right)
        each = right[:, -1] / np.maximum(steps[:, -1], 1)
        of_all = float(means[-1]), float(intervals[-1])
        return StreamEvaluation(means[:-1], intervals[:-1], *of_all, each)

    return run


def _ratios(numpy, steps, right):
    """Means and intervals `[P + 1]`, in `numpy` or `jax.numpy`."""
    total = numpy.maximum(steps.sum(0), 1)
    means = right.sum(0) / total
    # A ratio of sums: its error is that of the residuals, stream by stream.
    n_episodes = len(steps)
    spread = numpy.sqrt(n_episodes * numpy.sum((right - means * steps) ** 2, axis=0)) / total
    intervals = half_width(spread, n_episodes)
    return means, intervals
