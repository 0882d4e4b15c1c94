"""Policies with a memory, for `rl2`: a step while acting, the whole trial when learning."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jaxmeta.checks import at_least


class MemoryPolicy(NamedTuple):
    """A net over sequences that gives features, in two forms that agree."""

    init: Callable[[jax.Array, jax.Array], Any]
    """`(key, inputs [T, I]) -> params`."""
    start: Callable[[Any, int], Any]
    """`(params, length) -> memory` before the first of `length` steps."""
    step: Callable[[Any, Any, jax.Array], tuple[Any, jax.Array]]
    """`(params, memory, input [I]) -> (memory, features [F])`."""
    apply: Callable[[Any, jax.Array], jax.Array]
    """`(params, inputs [T, I]) -> features [T, F]`."""


def gru(hidden: int = 256) -> MemoryPolicy:
    """A gated recurrent unit, the policy of Duan et al. 2016.

    Raises:
      ValueError: `hidden` is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> policy = gru(8)
      >>> params = policy.init(jax.random.key(0), jnp.ones((3, 4)))
      >>> policy.apply(params, jnp.ones((3, 4))).shape  # of three steps
      (3, 8)
    """
    return _cell(nn.GRUCell, hidden)


def lstm(hidden: int = 48) -> MemoryPolicy:
    """A long short-term memory, the policy of Wang et al. 2016.

    Raises:
      ValueError: `hidden` is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> policy = lstm(8)
      >>> params = policy.init(jax.random.key(0), jnp.ones((3, 4)))
      >>> policy.apply(params, jnp.ones((3, 4))).shape  # of three steps
      (3, 8)
    """
    return _cell(nn.OptimizedLSTMCell, hidden)


def _cell(kind, hidden):
    at_least(1, hidden=hidden)
    cell = kind(hidden)

    def zeros(dtype):
        # Flax asks for a key and an input; the carry of these cells is zeros of their width.
        carry = cell.initialize_carry(jax.random.key(0), (hidden,))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), carry)

    def init(key, inputs):
        return cell.init(key, zeros(inputs.dtype), inputs[0])

    def start(params, length):
        del length
        return zeros(jax.tree.leaves(params)[0].dtype)

    def step(params, memory, x):
        new, features = cell.apply(params, memory, x)
        # Observations of another float type may have promoted it, which a scan refuses.
        return jax.tree.map(lambda new, old: new.astype(old.dtype), new, memory), features

    def apply(params, inputs):
        memory = start(params, len(inputs))
        return jax.lax.scan(lambda memory, x: step(params, memory, x), memory, inputs)[1]

    return MemoryPolicy(init, start, step, apply)
