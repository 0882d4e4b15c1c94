"""Causal blocks for sequences: dilated temporal convolutions and attention.

Mishra, Rohaninejad, Chen & Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018,
https://arxiv.org/abs/1707.03141, section 3 and figure 2.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least


class DenseBlock(nn.Module):
    """`[x, tanh(f) * sigmoid(g)]`, f and g causal convolutions of kernel size two.

    A step sees itself and the one `rate` steps before it, zeros before the first.

    Inputs `[T, C]`, outputs `[T, C + filters]`. With a second input, rows `[Q, C]` each of which
    follows the T steps by itself, the same for both.
    """

    rate: int
    filters: int

    @nn.compact
    def __call__(self, x, last=None):
        init = nn.initializers.glorot_uniform()
        kernel = self.param("kernel", init, (2 * x.shape[-1], 2 * self.filters))
        bias = self.param("bias", nn.initializers.zeros, (2 * self.filters,))
        before, now = jnp.split(kernel, 2)

        def gated(x, earlier):
            f, g = jnp.split(x @ now + earlier @ before + bias[None], 2, axis=-1)
            return jnp.concatenate([x, jnp.tanh(f) * jax.nn.sigmoid(g)], axis=-1)

        steps = len(x)
        shifted = jnp.concatenate([jnp.zeros((self.rate, x.shape[1]), x.dtype), x])
        outputs = gated(x, shifted[:steps])
        if last is None:
            return outputs
        return outputs, gated(last, shifted[steps : steps + 1])


class TemporalBlock(nn.Module):
    """Dense blocks of rates 1, 2, 4, ... that together see `length` steps: `TC(length, filters)`.

    Inputs `[T, C]`, outputs `[T, C + n_layers(length) * filters]`; a second input as for
    `DenseBlock`.
    """

    length: int
    filters: int

    @nn.compact
    def __call__(self, x, last=None):
        for layer in range(n_layers(self.length)):
            block = DenseBlock(2**layer, self.filters, name=f"dense_{layer}")
            if last is None:
                x = block(x)
            else:
                x, last = block(x, last)
        return x if last is None else (x, last)


class CausalAttention(nn.Module):
    """Key-value attention of each step over itself and the steps before it.

    `[x, softmax(q k^T / sqrt(key_size)) v]`, all three linear in x (Vaswani et al. 2017).

    Inputs `[T, C]`, outputs `[T, C + value_size]`; a second input as for `DenseBlock`. Steps where
    `is_valid` `[T]` is False are seen by themselves alone.
    """

    key_size: int
    value_size: int

    @nn.compact
    def __call__(self, x, last=None, is_valid=None):
        keys = nn.Dense(self.key_size, name="key")
        queries = nn.Dense(self.key_size, name="query")
        values = nn.Dense(self.value_size, name="value")
        scale = self.key_size**-0.5
        k, v = keys(x), values(x)
        may_see = jnp.tril(jnp.ones((len(x),) * 2, bool))
        if is_valid is not None:
            may_see = may_see & (is_valid[None] | jnp.eye(len(x), dtype=bool))
        logits = jnp.where(may_see, scale * queries(x) @ k.T, -jnp.inf)
        outputs = jnp.concatenate([x, jax.nn.softmax(logits) @ v], axis=-1)
        if last is None:
            return outputs
        q = scale * queries(last)
        past = q @ k.T
        if is_valid is not None:
            past = jnp.where(is_valid, past, -jnp.inf)
        own = jnp.sum(q * keys(last), axis=-1, keepdims=True)
        weights = jax.nn.softmax(jnp.concatenate([past, own], axis=1))
        attended = weights[:, :-1] @ v + weights[:, -1:] * values(last)
        return outputs, jnp.concatenate([last, attended], axis=-1)


def n_layers(length: int) -> int:
    """Dense blocks whose rates 1, 2, 4, ... reach over `length` steps: `ceil(log2(length))`."""
    return math.ceil(math.log2(length))


def temporal_block(length: int, filters: int) -> TemporalBlock:
    """A `TemporalBlock`, `TC(length, filters)` of the paper.

    Raises:
      ValueError: `length` is below 2 or `filters` below 1.

    Example:
      >>> block = temporal_block(8, filters=4)  # three layers of 4 filters reach over 8 steps
      >>> steps = jnp.zeros((10, 3))
      >>> block.apply(block.init(jax.random.key(0), steps), steps).shape
      (10, 15)
    """
    if length < 2:
        raise ValueError(f"length must be >= 2, got {length}.")
    at_least(1, filters=filters)
    return TemporalBlock(length, filters)


def causal_attention(key_size: int, value_size: int) -> CausalAttention:
    """A `CausalAttention`, `AttentionBlock(key_size, value_size)` of the paper.

    Raises:
      ValueError: a size is below 1.

    Example:
      >>> attention = causal_attention(8, 4)
      >>> steps = jnp.zeros((10, 3))
      >>> attention.apply(attention.init(jax.random.key(0), steps), steps).shape
      (10, 7)
    """
    at_least(1, key_size=key_size, value_size=value_size)
    return CausalAttention(key_size, value_size)
