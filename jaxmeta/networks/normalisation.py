"""Batch normalisation by the statistics of a named set, with nothing running.

A running average has no meaning across tasks, and statistics of the query set let one query see
the others. So the set whose statistics count is named: a `BatchNorm` uses the statistics in the
collection `"statistics"` of its parameters when they are there, and those of its own batch when
they are not:

    adapted = normalised_by(weights, statistics_of(net, weights, support.x))
    net.apply(adapted, query)                      # each query by itself: inductive
    net.apply(without_statistics(adapted), query)  # normalised together: transductive

Bronskill et al., "TaskNorm", ICML 2020, compare the choices (theirs: MetaBN and TBN).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

COLLECTION = "statistics"


class BatchNorm(nn.Module):
    """Normalises each channel, then scales and shifts it (Ioffe & Szegedy 2015).

    Inputs `[M, ..., C]`; mean and variance over all axes but the last, of the recorded set or else
    of the batch, of its rows `is_valid` `[M]` where that is given.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, is_valid=None):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        if self.has_variable(COLLECTION, "mean"):
            mean = self.get_variable(COLLECTION, "mean")
            variance = self.get_variable(COLLECTION, "variance")
        else:
            axes, rows = tuple(range(x.ndim - 1)), None
            if is_valid is not None:
                rows = is_valid.reshape(-1, *[1] * (x.ndim - 1))
            mean = _mean(x, axes, rows)
            variance = _mean(jnp.square(x - mean), axes, rows)
            if self.is_mutable_collection(COLLECTION) and not self.is_initializing():
                self.put_variable(COLLECTION, "mean", mean)
                self.put_variable(COLLECTION, "variance", variance)
        # One multiplication and one addition per pixel: cheap, and so are its derivatives.
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        return x * factor + (bias - mean * factor)


def _mean(x, axes, rows):
    """Over all rows, or over those where `rows` is True; 0 where none is."""
    if rows is None:
        return jnp.mean(x, axes)
    count = jnp.maximum(jnp.sum(rows), 1) * (x[0, ..., 0].size)
    return jnp.sum(jnp.where(rows, x, 0), axes) / count


def of_valid_rows(is_valid: jax.Array | None) -> AbstractContextManager:
    """Within it, every `BatchNorm` takes its statistics from the rows where `is_valid` `[M]`."""
    if is_valid is None:
        return nullcontext()

    def with_rows(next_function, args, kwargs, context):
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            kwargs = {**kwargs, "is_valid": is_valid}
        return next_function(*args, **kwargs)

    return nn.intercept_methods(with_rows)


def statistics_of(net: Any, params: Any, x: jax.Array, *context: jax.Array) -> dict:
    """The statistics of `x` `[M, *X]` in every `BatchNorm` of a net, with what else the net takes.

    Only a Flax Linen module with `BatchNorm` in it has any; every other net gives `{}`.
    """
    if not isinstance(net, nn.Module):
        return {}
    return dict(net.apply(without_statistics(params), x, *context, mutable=[COLLECTION])[1])


def normalised_by(params: Any, statistics: dict) -> Any:
    """Parameters under which a net normalises whatever it sees by `statistics`."""
    return {**params, **statistics} if statistics else params


def without_statistics(tree: Any) -> Any:
    """The same tree with every recorded collection emptied, at any depth."""
    if isinstance(tree, dict):
        return {key: without_statistics(value) for key, value in tree.items() if key != COLLECTION}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(without_statistics, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(without_statistics, tree))
    return tree


def has_statistics(tree: Any) -> bool:
    """Whether a collection of statistics is recorded anywhere in the tree."""
    leaves = jax.tree.leaves
    return len(leaves(tree)) > len(leaves(without_statistics(tree)))
