"""Batch normalisation by the statistics of a named set, with nothing running.

A `BatchNorm` uses the statistics in the collection `"statistics"` of its parameters, or those that
its net is under (`jaxmeta.net`), when there are any, and those of its own batch when there are not.

Bronskill et al., "TaskNorm", ICML 2020, compare the choices (theirs: MetaBN and TBN).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.batch_statistics import STATISTICS, batch_statistics


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
        if self.has_variable(STATISTICS, "mean"):
            mean: Any = self.get_variable(STATISTICS, "mean")
            variance: Any = self.get_variable(STATISTICS, "variance")
        else:
            mean, variance = batch_statistics(partial(_moments, x), is_valid)
            if self.is_mutable_collection(STATISTICS) and not self.is_initializing():
                self.put_variable(STATISTICS, "mean", mean)
                self.put_variable(STATISTICS, "variance", variance)
        # One multiplication and one addition per pixel: cheap, and so are its derivatives.
        factor = scale * jax.lax.rsqrt(variance + self.epsilon)
        if self.pool is not None:
            sign = _beside(jnp.where(factor < 0, -1.0, 1.0).astype(x.dtype), x)
            x = sign * self.pool(sign * x)
        return x * _beside(factor, x) + _beside(bias - mean * factor, x)


def _beside(channels, x):
    """`[C]` with an axis of one for every other axis of `x` `[M, ..., C]`."""
    return channels.reshape(*[1] * (x.ndim - 1), -1)


def _moments(x, is_valid):
    mean = _mean(x, is_valid)
    centre = jax.lax.stop_gradient(mean)
    return mean, _mean(jnp.square(x - _beside(centre, x)), is_valid) - jnp.square(mean - centre)


def _mean(x, is_valid):
    axes = tuple(range(x.ndim - 1))
    if is_valid is None:
        return jnp.mean(x, axes)
    counted = jnp.where(is_valid.reshape(-1, *[1] * (x.ndim - 1)), x, 0)
    return jnp.mean(counted, axes) * (x.shape[0] / jnp.maximum(jnp.sum(is_valid), 1))
