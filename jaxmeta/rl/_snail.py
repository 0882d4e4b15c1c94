"""SNAIL as a policy with a memory.

Mishra, Rohaninejad, Chen & Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018,
https://arxiv.org/abs/1707.03141, section 5.2.
Differs from the paper: policy and values share all blocks but the last linear layer; in acting, a
step is computed from what earlier steps left behind, not from the whole trial again.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.networks import CausalAttention, TemporalBlock, causal_attention, temporal_block
from jaxmeta.rl.recurrent import MemoryPolicy


class _Memory(NamedTuple):
    """Rows of the steps so far; a block's inputs are the first columns of its outputs."""

    time: jax.Array  # steps so far
    rows: jax.Array  # [T, C], what the attention reads
    keys: jax.Array  # [T, key_size]
    values: jax.Array  # [T, value_size]


class _Blocks(nn.Module):
    embedding: int
    filters: int
    n_blocks: int
    key_size: int
    value_size: int

    @nn.compact
    def __call__(self, x):
        length = max(len(x), 2)
        x = nn.Dense(self.embedding, name="embed")(x)
        for number in range(self.n_blocks):
            x = TemporalBlock(length, self.filters, name=f"temporal_{number}")(x)
        return CausalAttention(self.key_size, self.value_size, name="attention")(x)


def snail(
    *,
    embedding: int = 32,
    filters: int = 32,
    n_blocks: int = 2,
    key_size: int = 32,
    value_size: int = 32,
) -> MemoryPolicy:
    """A linear layer, temporal blocks over the trial and causal attention.

    Args:
      embedding: width of the linear layer.
      filters: of each dense block.
      n_blocks: temporal blocks.
      key_size, value_size: of the attention.

    Raises:
      ValueError: a size is below 1.

    Example:
      >>> policy = snail(embedding=4, filters=3, n_blocks=1, key_size=2, value_size=2)
      >>> params = policy.init(jax.random.key(0), jnp.ones((3, 5)))
      >>> len(policy.apply(params, jnp.ones((3, 5))))  # of three steps
      3
    """
    temporal_block(2, filters)
    causal_attention(key_size, value_size)
    at_least(1, embedding=embedding, n_blocks=n_blocks)
    net = _Blocks(embedding, filters, n_blocks, key_size, value_size)

    def dense_blocks(params):
        for number in range(n_blocks):
            layers = params["params"][f"temporal_{number}"]
            for layer in range(len(layers)):
                yield 2**layer, layers[f"dense_{layer}"]

    def start(params, length):
        width = embedding + filters * sum(1 for _ in dense_blocks(params))
        # Of observations and parameters, so that acting is no coarser than learning.
        dtype = jnp.result_type(jnp.zeros(()), params["params"]["embed"]["kernel"])
        rows, keys, values = (
            jnp.zeros((length, columns), dtype) for columns in (width, key_size, value_size)
        )
        return _Memory(jnp.zeros((), jnp.int32), rows, keys, values)

    def step(params, memory, x):
        time, rows, keys, values = memory
        row = _linear(params["params"]["embed"], x)
        for rate, block in dense_blocks(params):
            earlier = jax.lax.dynamic_index_in_dim(rows, time - rate, keepdims=False)[: len(row)]
            earlier = jnp.where(time >= rate, earlier, 0.0)
            both = jnp.concatenate([earlier, row]) @ block["kernel"] + block["bias"]
            f, g = jnp.split(both, 2)
            row = jnp.concatenate([row, jnp.tanh(f) * jax.nn.sigmoid(g)])
        attention = params["params"]["attention"]
        rows = rows.at[time].set(row.astype(rows.dtype))
        keys = keys.at[time].set(_linear(attention["key"], row).astype(keys.dtype))
        values = values.at[time].set(_linear(attention["value"], row).astype(values.dtype))
        logits = keys @ _linear(attention["query"], row) * key_size**-0.5
        logits = jnp.where(jnp.arange(len(keys)) <= time, logits, -jnp.inf)
        features = jnp.concatenate([row, jax.nn.softmax(logits) @ values])
        return _Memory(time + 1, rows, keys, values), features

    def apply(params, inputs):
        return net.apply(params, inputs)

    return MemoryPolicy(net.init, start, step, apply)


def _linear(layer, x):
    return x @ layer["kernel"] + layer["bias"]
