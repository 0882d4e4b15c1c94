"""Which rows of a set count: padding is left out, and so is an unlabelled row where labels matter.

Everything that asks whether a row is padding, has a label, or is of a class asks here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.learner import Examples, check_rank


class Support(NamedTuple):
    """A support set whose padding is zero, with what counts of it said in full."""

    x: jax.Array  # [S, *X], zeros in rows of padding
    y: jax.Array  # [S, N] or [S, D], zeros in rows of padding
    is_valid: jax.Array  # [S] bool: not padding
    is_labelled: jax.Array  # [S] bool: not padding, and not an all-zero one-hot row
    is_present: jax.Array  # [N] bool: the class has a labelled row


def as_support(examples: Examples) -> Support:
    """The one view of a support set that learners read: what padding holds never enters.

    Args:
      examples: `S` rows, with or without `is_valid`.

    Raises:
      ValueError: `y` is not `[S, N]` or `[S, D]`.

    Example:
      >>> x, y = jnp.array([[1.0], [jnp.nan]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> support = as_support(Examples(x, y, jnp.array([True, False])))
      >>> support.x.tolist(), support.is_present.tolist()
      ([[1.0], [0.0]], [True, False])
      >>> as_support(Examples(jnp.ones((2, 1)), y)).is_valid.tolist()
      [True, True]
    """
    x, y, _ = zeroed(examples)
    return Support(x, y, is_valid_row(examples), is_labelled(examples), jnp.any(y > 0, axis=0))


def class_support(examples: Examples) -> Support:
    """The view of a support set whose labels are classes; `y` is zero in rows that do not count.

    Raises:
      ValueError: `y` has one column, in which classes do not show.
    """
    check_rank(examples.y)
    if examples.y.shape[-1] < 2:
        raise ValueError(
            "a learner of classes needs a column for each class, 2 or more, got y of shape "
            f"{examples.y.shape}; `make_episode` makes them of integer labels 0 and 1."
        )
    return as_support(examples)


def zeroed(examples: Examples) -> Examples:
    """The same examples `[M]` with zeros in `x` and `y` where a row is not valid.

    Without `is_valid` they stay as they are, and a net that normalises has no mask to carry.
    """
    is_valid = examples.is_valid
    if is_valid is None:
        return examples

    def masked(rows: jax.Array) -> jax.Array:
        is_row = is_valid.reshape(-1, *[1] * (rows.ndim - 1))
        return jnp.where(is_row, rows, jnp.zeros((), rows.dtype))

    return Examples(masked(examples.x), masked(examples.y), is_valid)


def is_valid_row(examples: Examples) -> jax.Array:
    """Rows that are not padding: `[M]` bool."""
    return jnp.ones(examples.y.shape[0], bool) if examples.is_valid is None else examples.is_valid


def has_label(y: jax.Array) -> jax.Array:
    """Rows `[M]` of `y` that are not all zero; every row of `[M, 1]`, where 0 is a value.

    This is the one place where "unlabelled" is read from `y`: only from one-hot labels of two
    columns or more.
    """
    check_rank(y)
    return jnp.any(y != 0, axis=-1) if y.shape[-1] > 1 else jnp.ones(y.shape[0], bool)


def is_labelled(examples: Examples) -> jax.Array:
    """Rows that are neither padding nor unlabelled (an all-zero one-hot row): `[M]` bool.

    Example:
      >>> rows = Examples(jnp.zeros((3, 1)), jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
      >>> is_labelled(rows).tolist()
      [True, False, True]
    """
    return has_label(examples.y) & is_valid_row(examples)
