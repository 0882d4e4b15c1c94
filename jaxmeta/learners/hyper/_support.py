"""What all learners of this family do with the rows of a support set that do not count."""

import jax.numpy as jnp

from jaxmeta.learner import Examples, check_labels


def zeroed(support: Examples) -> Examples:
    """The same support set with zeros in rows that are not valid: not even a NaN may enter.

    Raises:
      ValueError: `x`, `y` and `is_valid` do not have one row each, or `y` is not `[S, N]`.
    """
    check_labels(support=support)
    is_valid = support.is_valid
    if is_valid is None:
        is_valid = jnp.ones(support.x.shape[0], bool)
    rows = is_valid.reshape(-1, *[1] * (support.x.ndim - 1))
    return Examples(
        jnp.where(rows, support.x, 0), jnp.where(is_valid[:, None], support.y, 0), is_valid
    )
