"""Sinusoid regression: Finn et al. 2017, section 5.1."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.learner import Episode, Examples


def sinusoid(
    *,
    k_shot: int = 10,
    q_queries: int = 10,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, jnp.pi),
    x_range: tuple[float, float] = (-5.0, 5.0),
) -> Callable[[jax.Array], Episode]:
    """Tasks `y = a sin(x - p)` with amplitude, phase and inputs uniform.

    Args:
      k_shot: support points.
      q_queries: query points.
      amplitude, phase, x_range: ranges of a, p (radians) and x.

    Returns `sample(key) -> Episode` with `x`, `y` float32 `[M, 1]`, pure and jittable.

    Raises:
      ValueError: a count is below 1, or a range is not increasing.

    Example:
      >>> episode = sinusoid(k_shot=5, q_queries=10)(jax.random.key(0))
      >>> episode.support.x.shape, episode.query.y.shape
      ((5, 1), (10, 1))
    """
    at_least(1, k_shot=k_shot, q_queries=q_queries)
    for name, (low, high) in (("amplitude", amplitude), ("phase", phase), ("x_range", x_range)):
        if not low <= high:
            raise ValueError(f"{name} must be (low, high) with low <= high, got {(low, high)}.")

    def sample(key):
        key_amplitude, key_phase, key_x = jax.random.split(key, 3)
        a = jax.random.uniform(key_amplitude, minval=amplitude[0], maxval=amplitude[1])
        p = jax.random.uniform(key_phase, minval=phase[0], maxval=phase[1])
        shape = (k_shot + q_queries, 1)
        x = jax.random.uniform(key_x, shape, minval=x_range[0], maxval=x_range[1])
        y = a * jnp.sin(x - p)
        return Episode(Examples(x[:k_shot], y[:k_shot]), Examples(x[k_shot:], y[k_shot:]))

    return sample
