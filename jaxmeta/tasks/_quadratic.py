"""Random quadratics: Andrychowicz et al. 2016, section 3.1."""

from collections.abc import Callable

import jax

from jaxmeta.checks import at_least
from jaxmeta.learner import Episode, Examples


def quadratic(dimension: int = 10) -> Callable[[jax.Array], Episode]:
    """Problems `f(theta) = |W theta - y|^2 / dimension`, with W and y of unit normal entries.

    Rows of W are inputs and entries of y targets of a linear net without bias
    (`networks.linear`) under the squared error. Support and query set are one.

    Returns `sample(key) -> Episode` with `x` `[dimension, dimension]`, `y` `[dimension, 1]`,
    float32, pure and jittable.

    Raises:
      ValueError: `dimension` is below 1.

    Example:
      >>> episode = quadratic(dimension=3)(jax.random.key(0))
      >>> episode.support.x.shape
      (3, 3)
    """
    at_least(1, dimension=dimension)

    def sample(key):
        key_x, key_y = jax.random.split(key)
        rows = Examples(
            jax.random.normal(key_x, (dimension, dimension)),
            jax.random.normal(key_y, (dimension, 1)),
        )
        return Episode(rows, rows)

    return sample
