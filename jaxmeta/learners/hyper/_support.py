"""What all learners of this family do with the rows of a support set that do not count."""

import jax.numpy as jnp

from jaxmeta.learner import Examples


def zeroed(support: Examples) -> Examples:
    """The same support set with zeros in rows that are not valid: not even a NaN may enter.

    Raises:
      ValueError: `x`, `y` and `is_valid` do not have one row each, or `y` is not `[S, N]`.
    """
    is_valid = support.is_valid
    if is_valid is None:
        is_valid = jnp.ones(len(support.x), bool)
    if support.y.ndim != 2 or not len(support.x) == len(support.y) == len(is_valid):
        raise ValueError(
            "support needs x [S, *X], y [S, N] one-hot or [S, D] and is_valid [S], got shapes "
            f"{support.x.shape}, {support.y.shape} and {is_valid.shape}."
        )
    rows = is_valid.reshape(-1, *[1] * (support.x.ndim - 1))
    return Examples(
        jnp.where(rows, support.x, 0), jnp.where(is_valid[:, None], support.y, 0), is_valid
    )
