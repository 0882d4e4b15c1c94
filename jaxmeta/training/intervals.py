"""Means over episodes with their 95% intervals: by the normal distribution or by the bootstrap."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Ci = Literal["normal", "bootstrap"]
RESAMPLES = 10_000
SEED = 0  # The resamples are the same in every call, so an evaluation gives the same bounds again.
AT_ONCE = 200  # resamples in memory together


class Estimate(NamedTuple):
    """A mean over episodes, or an array of them, and what the episodes leave open."""

    mean: Any
    interval: Any  # half width of the 95% interval; NaN for one episode
    low: Any  # ends of the interval
    high: Any


Estimator = Callable[..., Estimate]


def half_width(std: Any, n_episodes: int) -> Any:
    """Half width of the 95% interval of a mean; NaN for one episode, whose spread is not known.

    Args:
      std: standard deviation over episodes, or an array of them.
      n_episodes: number of episodes.
    """
    # Of std a NaN there would pass on to derivatives.
    return 1.96 * std / np.sqrt(n_episodes) if n_episodes > 1 else np.full(np.shape(std), np.nan)


def is_traced(numbers: Any) -> bool:
    """Whether a tree of arrays is part of a program that is being compiled."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(numbers))


def estimator(ci: Ci) -> Estimator:
    """The function `(values [n, ...], counts=None) -> Estimate` of the means over n episodes.

    With `counts` of the shape of `values` these are sums over an episode's rows, and the mean is
    the ratio of the sums over all episodes; 0 where nothing was counted.

    Args:
      ci: "normal": 1.96 standard errors each way. "bootstrap": the 2.5th and the 97.5th percentile
        of the mean over 10 000 resamples of the episodes (Efron & Tibshirani, "An Introduction to
        the Bootstrap", 1993, section 13.3), computed on the host.

    Raises:
      ValueError: `ci` is another word.
    """
    if ci not in ("normal", "bootstrap"):
        raise ValueError(f'ci must be "normal" or "bootstrap", got {ci!r}.')

    def estimate(values: Any, counts: Any = None) -> Estimate:
        numpy: Any = jnp if is_traced(values) else np
        n_episodes = len(values)
        if counts is None:
            mean, std = numpy.mean(values, axis=0), numpy.std(values, axis=0)
        else:
            total = numpy.maximum(counts.sum(0), 1)
            mean = values.sum(0) / total
            # A ratio of sums: its error is that of the residuals, episode by episode.
            std = numpy.sqrt(n_episodes * numpy.sum((values - mean * counts) ** 2, axis=0)) / total
        if ci == "normal":
            interval = half_width(std, n_episodes)
            return Estimate(mean, interval, mean - interval, mean + interval)
        if is_traced(values):
            raise ValueError(
                'ci="bootstrap" is computed on the host, and this evaluation is part of a compiled '
                'program: take ci="normal" there.'
            )
        low, high = _percentiles(values, counts)
        return Estimate(mean, (high - low) / 2, low, high)

    return estimate


def _percentiles(values: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Ends `[2, ...]` of the bootstrap's interval."""
    n_episodes, *shape = values.shape
    if n_episodes == 1:
        return np.full((2, *shape), np.nan)
    columns = values.reshape(n_episodes, -1)
    totals = None if counts is None else counts.reshape(n_episodes, -1)
    generator, means = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES // AT_ONCE):
        drawn = generator.integers(n_episodes, size=(AT_ONCE, n_episodes))
        times = np.stack([np.bincount(row, minlength=n_episodes) for row in drawn])
        times = times.astype(np.float64)  # A product of integers would not use BLAS.
        of_all = n_episodes if totals is None else np.maximum(times @ totals, 1)
        means.append(times @ columns / of_all)
    return np.percentile(np.concatenate(means), [2.5, 97.5], axis=0).reshape(2, *shape)
