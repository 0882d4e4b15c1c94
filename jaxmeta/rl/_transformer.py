"""A causal transformer as a policy with a memory.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, https://arxiv.org/abs/1706.03762, with
the normalisation before each layer of Radford et al., "Language Models are Unsupervised Multitask
Learners", 2019, and the rotary positions of Su et al., "RoFormer", 2021,
https://arxiv.org/abs/2104.09864, equation 34.
Differs from the papers: no dropout. Rotary positions see differences of time only, so a window cut
from the middle of a trial is read as it is read in acting, whatever stood before it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl.recurrent import MemoryPolicy

PERIOD = 10_000.0  # of the slowest rotation, in units of 2 pi tokens; Su et al., section 3.2.2


class Cache(NamedTuple):
    """Keys and values of the tokens so far, so that a step costs one token, not the whole trial."""

    time: jax.Array  # int32, tokens so far
    keys: jax.Array  # [layers, T, heads, D]
    values: jax.Array  # [layers, T, heads, D]


class CausalTransformer(nn.Module):
    """Tokens `[T, I]` to features `[T, width]`; see `__call__`.

    `context` is how many tokens one attends to, itself included; None: all before it. Where the
    caller makes the collection `"intermediates"` mutable, each layer leaves its attention
    `[heads, T, T]` there.
    """

    layers: int
    heads: int
    width: int
    context: int | None = None

    @nn.compact
    def __call__(self, tokens, is_valid=None, cache=None):
        """Reads tokens `[T, I]`, those after the ones in `cache` where that is given.

        Tokens where `is_valid` `[T]` is False are never looked at. Returns the features
        `[T, width]` and the cache after them.
        """
        now = jnp.arange(len(tokens), dtype=jnp.int32) + (0 if cache is None else cache.time)
        there = now if cache is None else jnp.arange(cache.keys.shape[1])
        back = now[:, None] - there[None]
        mask = (back >= 0) & (self.context is None or back < self.context)
        if is_valid is not None:
            mask &= is_valid[None]
        observed = self.is_mutable_collection("intermediates") and not self.is_initializing()
        x = nn.Dense(self.width, name="embed")(tokens)
        all_keys, all_values = [], []
        for layer in range(self.layers):
            seen = nn.LayerNorm(name=f"norm_a_{layer}")(x)
            query, key, value = (
                nn.DenseGeneral((self.heads, self.width // self.heads), name=f"{part}_{layer}")(
                    seen
                )
                for part in ("query", "key", "value")
            )
            query, key = _rotated(query, now), _rotated(key, now)
            if cache is not None:
                key = _written(cache.keys[layer], key, cache.time)
                value = _written(cache.values[layer], value, cache.time)
            all_keys.append(key)
            all_values.append(value)
            weights = nn.dot_product_attention_weights(query, key, mask=mask[None])
            if observed:
                self.sow("intermediates", f"attention_{layer}", weights)
            attended = jnp.einsum("hqk,khd->qhd", weights, value)
            x += nn.DenseGeneral(self.width, axis=(-2, -1), name=f"out_{layer}")(attended)
            hidden = nn.LayerNorm(name=f"norm_b_{layer}")(x)
            hidden = nn.relu(nn.Dense(4 * self.width, name=f"dense_a_{layer}")(hidden))
            x += nn.Dense(self.width, name=f"dense_b_{layer}")(hidden)
        after = Cache(now[-1] + 1, jnp.stack(all_keys), jnp.stack(all_values))
        return nn.LayerNorm(name="norm")(x), after


def _written(kept, rows, time):
    """`rows` put among those kept, whose float type stays: a scan refuses another."""
    return jax.lax.dynamic_update_slice_in_dim(kept, rows.astype(kept.dtype), time, 0)


def _rotated(rows, time):
    """Turns pairs of columns of `[T, heads, D]` by angles in proportion to the time."""
    half = rows.shape[-1] // 2
    angles = time[:, None] * PERIOD ** (-jnp.arange(half) / half)[None]
    sine, cosine = (f(angles)[:, None].astype(rows.dtype) for f in (jnp.sin, jnp.cos))
    a, b = rows[..., :half], rows[..., half:]
    return jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)


def transformer(
    *, width: int = 64, layers: int = 2, heads: int = 2, context: int | None = None
) -> MemoryPolicy:
    """A causal transformer that reads one step of a trial after another.

    In acting, keys and values of earlier steps are kept, so that a step costs as much as the steps
    it looks at, and not as all of them again.

    Args:
      width: numbers per step inside, and features that come out.
      layers: of attention, each with a layer of `4 * width` units after it.
      heads: of the attention of each layer; `width` is a multiple of twice as many.
      context: steps that a step attends to in each layer, itself included; None: all before it.

    Raises:
      ValueError: a number is below 1, or `width` is no multiple of `2 * heads`.

    Example:
      >>> policy = transformer(width=8, layers=1)
      >>> params = policy.init(jax.random.key(0), jnp.zeros((5, 3)))
      >>> policy.apply(params, jnp.zeros((5, 3))).shape
      (5, 8)
    """
    at_least(1, width=width, layers=layers, heads=heads, context=context)
    if width % (2 * heads):
        raise ValueError(
            f"width must be a multiple of 2 * heads = {2 * heads}, for rotary positions turn pairs "
            f"of numbers, got {width}."
        )
    net = CausalTransformer(layers, heads, width, context)

    def start(params, length):
        # Of observations and parameters, so that acting is no coarser than learning.
        dtype = jnp.result_type(jnp.zeros(()), params["params"]["embed"]["kernel"])
        zeros = jnp.zeros((layers, length, heads, width // heads), dtype)
        return Cache(jnp.zeros((), jnp.int32), zeros, zeros)

    def step(params, memory, x):
        features, memory = net.apply(params, x[None], cache=memory)
        return memory, features[0]

    def apply(params, inputs):
        return net.apply(params, inputs)[0]

    return MemoryPolicy(net.init, start, step, apply)


def transformer_attention(
    *, width: int = 64, layers: int = 2, heads: int = 2, context: int | None = None
) -> Callable[[Any, jax.Array], jax.Array]:
    """`(params, inputs [T, I]) -> [layers, heads, T, T]`: how much a step looks at each before it.

    Args:
      width, layers, heads, context: those of the `rl.transformer` that has the parameters.

    Example:
      >>> import jax
      >>> sizes = {"width": 8, "layers": 2, "heads": 1}
      >>> inputs = jax.numpy.ones((5, 3))
      >>> params = transformer(**sizes).init(jax.random.key(0), inputs)
      >>> transformer_attention(**sizes)(params, inputs).shape
      (2, 1, 5, 5)
    """
    net = CausalTransformer(layers, heads, width, context)

    def attention(params, inputs):
        _, state = net.apply(params, inputs, mutable=["intermediates"])
        return jnp.stack([state["intermediates"][f"attention_{n}"][0] for n in range(layers)])

    return attention
