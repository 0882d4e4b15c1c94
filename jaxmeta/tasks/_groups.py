"""Regression on the groups of a table."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets import Table
from jaxmeta.learner import Episode, Examples


def groups(table: Table, *, k_shot: int, q_queries: int) -> Callable[[jax.Array], Episode]:
    """Tasks from a table: a group at random, and rows of it drawn without replacement.

    Args:
      table: rows and the group of each.
      k_shot: support rows.
      q_queries: query rows.

    Returns `sample(key) -> Episode` with `x` `[M, D]` and `y` `[M, E]` float32, pure and jittable.

    Raises:
      ValueError: a count is below 1, the arrays of the table do not fit, or a group has fewer rows
        than an episode takes; names it.

    Example:
      >>> rows = np.arange(12, dtype=np.float32)[:, None]
      >>> table = Table(rows, 2 * rows, np.repeat(["a", "b"], 6))
      >>> episode = groups(table, k_shot=2, q_queries=4)(jax.random.key(0))
      >>> episode.support.x.shape, episode.query.y.shape
      ((2, 1), (4, 1))
    """
    at_least(1, k_shot=k_shot, q_queries=q_queries)
    table.check()
    names, number, counts = np.unique(table.group, return_inverse=True, return_counts=True)
    rows = k_shot + q_queries
    if counts.min() < rows:
        least = int(np.argmin(counts))
        raise ValueError(
            f"every group must have k_shot + q_queries = {rows} rows, but {str(names[least])!r} "
            f"has {counts[least]}."
        )
    order = np.argsort(number, kind="stable")  # The rows of a group are adjacent.
    x, y = (np.asarray(values, np.float32)[order] for values in (table.x, table.y))
    starts = np.cumsum(counts) - counts

    def sample(key):
        key_group, key_rows = jax.random.split(key)
        group = jax.random.randint(key_group, (), 0, len(counts))
        # Places beyond the group's rows come last in the random order.
        places = jax.random.uniform(key_rows, (int(counts.max()),))
        is_there = jnp.arange(len(places)) < jnp.asarray(counts)[group]
        chosen = jnp.argsort(jnp.where(is_there, places, 2.0))[:rows] + jnp.asarray(starts)[group]
        inputs, targets = jnp.asarray(x)[chosen], jnp.asarray(y)[chosen]
        return Episode(
            Examples(inputs[:k_shot], targets[:k_shot]), Examples(inputs[k_shot:], targets[k_shot:])
        )

    return sample
