"""A transformer that reads a set: one token that asks, and tokens of a context in no order.

Lee et al., "Supervised Pretraining Can Learn In-Context Reinforcement Learning", NeurIPS 2023,
https://arxiv.org/abs/2306.14892, take GPT-2 for this, in which the tokens of the context read one
another from left to right, so that their order matters a little. Here only the asking token reads:
in every layer it attends to itself and to the context. Hence the order does not matter at all, a
context is encoded once for all that is asked of it, and a step in acting costs as much as the
context is long.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least


class Encoded(NamedTuple):
    """What is kept of a context: keys and values of its rows in every layer."""

    keys: jax.Array  # [layers, C, heads, D]
    values: jax.Array  # [layers, C, heads, D]


class ContextReader(NamedTuple):
    """A net over a set of rows, in parts, so that rows can be added one by one."""

    init: Callable[[jax.Array, jax.Array, jax.Array], Any]
    """`(key, rows [C, I], questions [Q, J]) -> params`."""
    encode: Callable[[Any, jax.Array], Encoded]
    """`(params, rows [C, I]) -> Encoded`, each row by itself."""
    read: Callable[[Any, Encoded, jax.Array, jax.Array], jax.Array]
    """`(params, encoded, questions [Q, J], is_seen [Q, C]) -> features [Q, width]`."""
    attention: Callable[[Any, Encoded, jax.Array, jax.Array], jax.Array]
    """As `read`, to attention `[layers, heads, Q, 1 + C]`: to itself first, then to the rows."""


class _Rows(nn.Module):
    layers: int
    heads: int
    width: int

    @nn.compact
    def __call__(self, rows):
        x = nn.Dense(self.width, name="embed")(rows)
        keys, values = [], []
        for layer in range(self.layers):
            x += _perceptron(self.width, f"{layer}", nn.LayerNorm(name=f"norm_a_{layer}")(x))
            seen = nn.LayerNorm(name=f"norm_b_{layer}")(x)
            shape = (self.heads, self.width // self.heads)
            keys.append(nn.DenseGeneral(shape, name=f"key_{layer}")(seen))
            values.append(nn.DenseGeneral(shape, name=f"value_{layer}")(seen))
        return Encoded(jnp.stack(keys), jnp.stack(values))


class _Questions(nn.Module):
    layers: int
    heads: int
    width: int

    @nn.compact
    def __call__(self, encoded, questions, is_seen):
        x = nn.Dense(self.width, name="embed")(questions)
        shape = (self.heads, self.width // self.heads)
        maps = []
        for layer in range(self.layers):
            seen = nn.LayerNorm(name=f"norm_a_{layer}")(x)
            query, key, value = (
                nn.DenseGeneral(shape, name=f"{part}_{layer}")(seen)
                for part in ("query", "key", "value")
            )
            to_itself = jnp.einsum("qhd,qhd->hq", query, key)[..., None]
            to_rows = jnp.einsum("qhd,chd->hqc", query, encoded.keys[layer])
            to_rows = jnp.where(is_seen, to_rows, -jnp.inf)
            logits = jnp.concatenate([to_itself, to_rows], axis=-1) * shape[1] ** -0.5
            weights = jax.nn.softmax(logits)
            maps.append(weights)
            attended = jnp.einsum("hqc,chd->qhd", weights[..., 1:], encoded.values[layer])
            attended += weights[..., 0].T[..., None] * value
            x += nn.DenseGeneral(self.width, axis=(-2, -1), name=f"out_{layer}")(attended)
            x += _perceptron(self.width, f"{layer}", nn.LayerNorm(name=f"norm_b_{layer}")(x))
        return nn.LayerNorm(name="norm")(x), jnp.stack(maps)


def _perceptron(width, name, x):
    hidden = nn.relu(nn.Dense(4 * width, name=f"dense_a_{name}")(x))
    return nn.Dense(width, name=f"dense_b_{name}")(hidden)


def context_reader(*, width: int = 32, layers: int = 4, heads: int = 1) -> ContextReader:
    """A transformer over a set of rows; the sizes of Lee et al. by default.

    Args:
      width: numbers per row inside, and features that come out.
      layers: of attention.
      heads: of the attention; `width` is a multiple of them.

    Raises:
      ValueError: a number is below 1, or `width` is no multiple of `heads`.

    Example:
      >>> import jax, jaxmeta
      >>> reader = jaxmeta.rl.context_reader(width=8, layers=1)
      >>> rows, questions = jax.numpy.zeros((5, 3)), jax.numpy.zeros((2, 1))
      >>> params = jax.eval_shape(reader.init, jax.random.key(0), rows, questions)
      >>> encoded = jax.eval_shape(reader.encode, params, rows)
      >>> is_seen = jax.numpy.ones((2, 5), bool)
      >>> jax.eval_shape(reader.read, params, encoded, questions, is_seen).shape
      (2, 8)
    """
    at_least(1, width=width, layers=layers, heads=heads)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads = {heads}, got {width}.")
    row_net, question_net = _Rows(layers, heads, width), _Questions(layers, heads, width)

    def init(key, rows, questions):
        key_rows, key_questions = jax.random.split(key)
        encoded, params = row_net.init_with_output(key_rows, rows)
        is_seen = jnp.ones((len(questions), len(rows)), bool)
        asked = question_net.init(key_questions, encoded, questions, is_seen)
        return {"rows": params, "questions": asked}

    def encode(params, rows):
        return row_net.apply(params["rows"], rows)

    def read(params, encoded, questions, is_seen):
        return question_net.apply(params["questions"], encoded, questions, is_seen)[0]

    def attention(params, encoded, questions, is_seen):
        return question_net.apply(params["questions"], encoded, questions, is_seen)[1]

    return ContextReader(init, encode, read, attention)
