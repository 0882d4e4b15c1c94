"""Batch normalisation by the statistics of a named set, with nothing running.

A running average has no meaning across tasks, and statistics of the query set let one query see
the others. So the set whose statistics count is named: a `BatchNorm` uses the statistics in the
collection `"statistics"` of its parameters when they are there, and those of its own batch when
they are not:

    _, statistics = record_set(net, weights, support)
    adapted = normalised_by(weights, statistics)
    net.apply(adapted, query)                      # each query by itself: inductive
    net.apply(without_statistics(adapted), query)  # normalised together: transductive

Bronskill et al., "TaskNorm", ICML 2020, compare the choices (theirs: MetaBN and TBN).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.learner import Examples

COLLECTION = "statistics"


class BatchNorm(nn.Module):
    """Normalises each channel, then scales and shifts it (Ioffe & Szegedy 2015).

    Inputs `[M, ..., C]`; mean and variance over all axes but the last, of the recorded set or else
    of the batch, in which only the rows with `is_valid` `[M]` count.

    `pool`, a maximum over windows of `x`, comes after the normalisation and is taken before it: a
    map `a x + b` and a maximum change places, which leaves fewer pixels to the map, its derivatives
    and what they keep. Where `a` is negative the maximum is of `-x`.
    """

    epsilon: float = 1e-5
    pool: Callable[[jax.Array], jax.Array] | None = None

    @nn.compact
    def __call__(self, x, is_valid=None):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        if self.has_variable(COLLECTION, "mean"):
            mean = self.get_variable(COLLECTION, "mean")
            variance = self.get_variable(COLLECTION, "variance")
        else:
            mean = _mean(x, is_valid)
            centre = jax.lax.stop_gradient(mean)
            variance = _mean(jnp.square(x - centre), is_valid) - jnp.square(mean - centre)
            if self.is_mutable_collection(COLLECTION) and not self.is_initializing():
                self.put_variable(COLLECTION, "mean", mean)
                self.put_variable(COLLECTION, "variance", variance)
        # One multiplication and one addition per pixel: cheap, and so are its derivatives.
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        if self.pool is not None:
            sign = jnp.where(factor < 0, -1.0, 1.0).astype(x.dtype)
            x = sign * self.pool(sign * x)
        return x * factor + (bias - mean * factor)


def _mean(x, is_valid):
    axes = tuple(range(x.ndim - 1))
    if is_valid is None:
        return jnp.mean(x, axes)
    counted = jnp.where(is_valid.reshape(-1, *[1] * (x.ndim - 1)), x, 0)
    return jnp.mean(counted, axes) * (x.shape[0] / jnp.maximum(jnp.sum(is_valid), 1))


def record(net: Any, params: Any, x: jax.Array, *context: jax.Array) -> tuple[jax.Array, dict]:
    """Outputs of a net, and the statistics of `x` `[M, *X]` in every `BatchNorm` of it.

    Only a Flax Linen module with `BatchNorm` in it has any; every other net gives `{}`. `context`
    is what else the net takes; statistics recorded in `params` before are left aside.
    """
    if not isinstance(net, nn.Module):
        return net.apply(params, x, *context), {}
    outputs, statistics = net.apply(without_statistics(params), x, *context, mutable=[COLLECTION])
    return outputs, dict(statistics)


def record_set(
    net: Any, params: Any, examples: Examples, *context: jax.Array
) -> tuple[jax.Array, dict]:
    """`record` for a support set: rows of padding do not count, whatever they hold."""
    if examples.is_valid is None:
        return record(net, params, examples.x, *context)
    x = jnp.where(examples.is_valid.reshape(-1, *[1] * (examples.x.ndim - 1)), examples.x, 0)
    with of_valid_rows(examples.is_valid):
        return record(net, params, x, *context)


def of_valid_rows(is_valid: jax.Array | None) -> AbstractContextManager:
    """Within it, every `BatchNorm` takes its statistics from the rows where `is_valid` `[M]`."""
    if is_valid is None:
        return nullcontext()

    def hand_over(call, args, kwargs, context):
        if isinstance(context.module, BatchNorm):
            return call(*args, is_valid=is_valid)
        return call(*args, **kwargs)

    return nn.intercept_methods(hand_over)


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
