"""Curves drawn from a Gaussian process: Garnelo et al. 2018, section 4.1."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.learner import Episode, Examples


def gaussian_process(
    *,
    k_shot: int | tuple[int, int] = (3, 10),
    q_queries: int = 50,
    length_scale: float = 0.4,
    scale: float = 1.0,
    noise: float = 0.02,
    x_range: tuple[float, float] = (-2.0, 2.0),
) -> Callable[[jax.Array], Episode]:
    """Tasks `y ~ GP(0, k)`, `k(x, x') = scale^2 exp(-(x - x')^2 / (2 length_scale^2))`.

    The defaults are the released code's of conditional neural processes. Inputs are uniform.

    Args:
      k_shot: support points, or their least and largest number: each episode then draws how many
        of its rows are valid.
      q_queries: query points.
      length_scale, scale: of the kernel.
      noise: standard deviation of the noise on every y.
      x_range: range of x.

    Returns `sample(key) -> Episode` with `x`, `y` float32 `[M, 1]`, pure and jittable.

    Raises:
      ValueError: a count is below 1, a range is not increasing, or a scale is not positive.

    Example:
      >>> episode = gaussian_process(k_shot=(3, 10), q_queries=5)(jax.random.key(0))
      >>> episode.support.x.shape, 3 <= int(episode.support.is_valid.sum()) <= 10
      ((10, 1), True)
    """
    least, most = (k_shot, k_shot) if isinstance(k_shot, int) else k_shot
    if not 1 <= least <= most:
        raise ValueError(f"k_shot must be >= 1 and increasing, got {k_shot}.")
    at_least(1, q_queries=q_queries)
    for name, value in (("length_scale", length_scale), ("scale", scale), ("noise", noise)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}.")
    if not x_range[0] < x_range[1]:
        raise ValueError(f"x_range must be (low, high) with low < high, got {x_range}.")

    def sample(key):
        key_x, key_y, key_count = jax.random.split(key, 3)
        rows = most + q_queries
        x = jax.random.uniform(key_x, (rows, 1), minval=x_range[0], maxval=x_range[1])
        distances = jnp.square(x - x.T) / length_scale**2
        covariance = scale**2 * jnp.exp(-0.5 * distances) + noise**2 * jnp.eye(rows)
        y = jnp.linalg.cholesky(covariance) @ jax.random.normal(key_y, (rows, 1))
        is_valid = None
        if least < most:
            count = jax.random.randint(key_count, (), least, most + 1)
            is_valid = jnp.arange(most) < count
        return Episode(Examples(x[:most], y[:most], is_valid), Examples(x[most:], y[most:]))

    return sample
