"""Controllers of a memory-augmented net: what turns inputs and reads into keys and outputs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.learner import Key, Params


class Controller(NamedTuple):
    """A recurrent or feed-forward layer of `size` units.

    The inputs of all steps are projected at once, outside the loop over time: half of the
    arithmetic, and the gradient of its weights one matrix product in place of one a step.
    """

    size: int
    init: Callable[[jax.Array, int, int], Any]  # (key, n_inputs, n_reads) -> params
    start: Callable[[Any], Any]  # (params) -> state
    project: Callable[[Any, jax.Array], jax.Array]  # (params, inputs [T, I]) -> [T, G]
    step: Callable[[Any, Any, jax.Array, jax.Array], tuple[Any, jax.Array]]
    # (params, state, projected [G], read [R]) -> (state, h [size])


def lstm(size: int = 200) -> Controller:
    """An LSTM (Hochreiter & Schmidhuber 1997, with forget gates): the paper's has 200 units.

    Kernels by Glorot's uniform rule, biases zero but that of the forget gate, which is one.

    Raises:
      ValueError: `size` is below 1.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.learners import memory
      >>> controller = memory.lstm(5)
      >>> learner = jaxmeta.mann(controller=controller, memory=memory.lrua(6, 4, heads=2))
    """
    at_least(1, size=size)

    def init(key: Key, n_inputs: int, n_reads: int) -> Params:
        key_inputs, key_recurrent = jax.random.split(key)
        # One matrix [I + R + size, 4 size] drawn as a whole, so that its parts share a scale.
        kernel = glorot(key_inputs, (n_inputs + n_reads, 4 * size))
        return {
            "inputs": kernel[:n_inputs],
            "reads": kernel[n_inputs:],
            "recurrent": nn.initializers.orthogonal()(key_recurrent, (size, 4 * size)),
            "bias": jnp.zeros(4 * size).at[size : 2 * size].set(1.0),
        }

    def start(params: Params) -> Any:
        return (jnp.zeros(size, params["bias"].dtype),) * 2

    def project(params: Params, inputs: jax.Array) -> jax.Array:
        return inputs @ params["inputs"] + params["bias"][None]

    def step(
        params: Params, state: Any, projected: jax.Array, read: jax.Array
    ) -> tuple[Any, jax.Array]:
        c, h = state
        gates = projected + read @ params["reads"] + h @ params["recurrent"]
        i, f, g, o = jnp.split(gates, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h

    return Controller(size, init, start, project, step)


def feed_forward(size: int = 200) -> Controller:
    """One layer `tanh(W [x, r] + b)`: all that is remembered is in the memory.

    Raises:
      ValueError: `size` is below 1.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.learners import memory
      >>> controller = memory.feed_forward(5)
      >>> learner = jaxmeta.mann(controller=controller, memory=memory.lrua(6, 4, heads=2))
    """
    at_least(1, size=size)

    def init(key: Key, n_inputs: int, n_reads: int) -> Params:
        kernel = glorot(key, (n_inputs + n_reads, size))
        return {"inputs": kernel[:n_inputs], "reads": kernel[n_inputs:], "bias": jnp.zeros(size)}

    def start(params: Params) -> Any:
        del params
        return ()

    def project(params: Params, inputs: jax.Array) -> jax.Array:
        return inputs @ params["inputs"] + params["bias"][None]

    def step(
        params: Params, state: Any, projected: jax.Array, read: jax.Array
    ) -> tuple[Any, jax.Array]:
        return state, jnp.tanh(projected + read @ params["reads"])

    return Controller(size, init, start, project, step)


def glorot(key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Glorot's uniform rule, for a kernel without columns too."""
    return nn.initializers.glorot_uniform()(key, shape) if min(shape) else jnp.zeros(shape)
