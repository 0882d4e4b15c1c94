"""Update rules that are recurrent nets, one for all coordinates of the weights.

Ravi & Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017, section 3; and
Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NeurIPS 2016,
section 2. Their learned parameters are shared over coordinates; each coordinate has its own state.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxmeta.checks import at_least
from jaxmeta.inner.rules._rule import UpdateRule
from jaxmeta.learner import Key, Params


def log_and_sign(x: jax.Array, p: float = 10.0) -> jax.Array:
    """Size and direction of numbers of any magnitude: `[*X]` to `[*X, 2]`.

    `(log|x| / p, sign x)` where `|x| >= e^-p`, else `(-1, e^p x)`; Andrychowicz et al. 2016,
    appendix A.

    Example:
      >>> log_and_sign(jnp.array([1.0, 0.0])).tolist()
      [[0.0, 1.0], [-1.0, 0.0]]
    """
    is_large = jnp.abs(x) >= math.exp(-p)
    size = jnp.where(is_large, jnp.log(jnp.where(is_large, jnp.abs(x), 1.0)) / p, -1.0)
    direction = jnp.where(is_large, jnp.sign(x), math.exp(p) * x)
    return jnp.stack([size, direction], axis=-1)


def lstm(
    hidden: int = 20,
    *,
    forget_bias: tuple[float, float] = (4.0, 5.0),
    input_bias: tuple[float, float] = (-5.0, -4.0),
) -> UpdateRule:
    """The LSTM meta-learner's update: the weights are the cell state of an LSTM.

    `c_t = f_t o c_{t-1} - i_t o grad_t` with gates
    `i_t = sigmoid(W_I [h_t, c_{t-1}, i_{t-1}] + b_I)` and `f_t` alike. `h_t` is the output of an
    ordinary LSTM on the preprocessed gradient and loss; the gates fed back are those before the
    sigmoid, as in the released code. It starts close to gradient descent, by default at a rate of
    0.01.

    Args:
      hidden: units of the ordinary LSTM.
      forget_bias, input_bias: between which numbers b_F and b_I start, uniformly; the sigmoid of
        b_I is about the rate.

    Raises:
      ValueError: `hidden` is below 1, or a range of biases runs backwards.

    Example:
      >>> rule = lstm(hidden=4)
      >>> weights = jnp.ones(3)
      >>> params = rule.init_params(jax.random.key(0), weights)
      >>> state = rule.init_state(params, weights)
      >>> weights, state = rule.update(params, state, weights, jnp.ones(3), jnp.array(1.0))
      >>> weights.shape
      (3,)
    """
    at_least(1, hidden=hidden)
    for name, (low, high) in (("forget_bias", forget_bias), ("input_bias", input_bias)):
        if not low <= high:
            raise ValueError(f"{name} must go from the smaller to the larger, got {(low, high)}.")
    cell = _cell(hidden)

    def init_params(key: Key, weights: Any) -> Any:
        del weights
        key_cell, key_forget, key_input, key_f, key_i = jax.random.split(key, 5)
        return {
            "cell": cell.init(key_cell, cell.initialize_carry(key_cell, (1, 4)), jnp.zeros((1, 4))),
            "forget": {
                "kernel": _uniform(key_forget, (hidden + 2,)),
                "bias": jax.random.uniform(key_f, minval=forget_bias[0], maxval=forget_bias[1]),
            },
            "input": {
                "kernel": _uniform(key_input, (hidden + 2,)),
                "bias": jax.random.uniform(key_i, minval=input_bias[0], maxval=input_bias[1]),
            },
        }

    def init_state(rule_params: Any, weights: Any) -> Any:
        del rule_params
        flat, _ = ravel_pytree(weights)
        carry = (jnp.zeros((flat.size, hidden), flat.dtype),) * 2
        return carry, jnp.zeros_like(flat), jnp.zeros_like(flat)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        carry, f, i = state
        h: Any
        c, unravel = ravel_pytree(weights)
        grad, _ = ravel_pytree(grads)
        seen = jnp.concatenate(
            [log_and_sign(grad), jnp.broadcast_to(log_and_sign(loss), (grad.size, 2))], axis=-1
        )
        carry, h = cell.apply(rule_params["cell"], carry, seen)
        f = _gate(rule_params["forget"], h, c, f)
        i = _gate(rule_params["input"], h, c, i)
        c = jax.nn.sigmoid(f) * c - jax.nn.sigmoid(i) * grad
        return unravel(c), (carry, f, i)

    return UpdateRule(init_params, init_state, update)


def _gate(params: Params, h: jax.Array, c: jax.Array, before: jax.Array) -> jax.Array:
    """A gate before its sigmoid, `[P]`."""
    kernel = params["kernel"]
    return h @ kernel[:-2] + c * kernel[-2] + before * kernel[-1] + params["bias"]


def coordinatewise_lstm(
    hidden: int = 20,
    *,
    layers: int = 2,
    scale: float = 0.01,
    preprocess: Callable[[jax.Array], jax.Array] = log_and_sign,
) -> UpdateRule:
    """The learned optimiser: `theta_{t+1} = theta_t + scale * m(grad_t, h_t)`.

    `m` is a stack of LSTMs and a linear layer, run on every coordinate by itself.

    Args:
      hidden: units of each LSTM.
      layers: LSTMs on top of each other.
      scale: factor of the output.
      preprocess: maps gradients `[P]` to inputs `[P, n]`; the paper's quadratics take
        `lambda grad: grad[:, None]`.

    Raises:
      ValueError: `hidden` or `layers` is below 1.

    Example:
      >>> rule = coordinatewise_lstm(hidden=4, layers=1)
      >>> weights = {"kernel": jnp.ones((2, 3))}
      >>> params = rule.init_params(jax.random.key(0), weights)
      >>> state = rule.init_state(params, weights)
      >>> weights, state = rule.update(params, state, weights, weights, jnp.array(1.0))
      >>> weights["kernel"].shape
      (2, 3)
    """
    at_least(1, hidden=hidden)
    at_least(1, layers=layers)
    cells = [_cell(hidden, nn.initializers.lecun_normal()) for _ in range(layers)]

    def init_params(key: Key, weights: Any) -> Any:
        flat, _ = ravel_pytree(weights)
        seen = preprocess(flat[:1])
        keys = jax.random.split(key, layers + 1)
        params = []
        for cell, key in zip(cells, keys[:-1], strict=True):
            params.append(cell.init(key, cell.initialize_carry(key, seen.shape), seen))
            seen = jnp.zeros((1, hidden))
        return {
            "cells": params,
            "kernel": nn.initializers.lecun_normal()(keys[-1], (hidden, 1))[:, 0],
            "bias": jnp.zeros(()),
        }

    def init_state(rule_params: Any, weights: Any) -> Any:
        del rule_params
        flat, _ = ravel_pytree(weights)
        return [(jnp.zeros((flat.size, hidden), flat.dtype),) * 2 for _ in cells]

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        del loss
        theta, unravel = ravel_pytree(weights)
        h: Any = preprocess(ravel_pytree(grads)[0])
        carries = []
        for cell, params, carry in zip(cells, rule_params["cells"], state, strict=True):
            carry, h = cell.apply(params, carry, h)
            carries.append(carry)
        theta = theta + scale * (h @ rule_params["kernel"] + rule_params["bias"])
        return unravel(theta), carries

    return UpdateRule(init_params, init_state, update)


def _uniform(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -0.01, 0.01)


def _cell(hidden: int, kernel_init: Any = _uniform) -> nn.Module:
    return nn.OptimizedLSTMCell(hidden, kernel_init=kernel_init, recurrent_kernel_init=kernel_init)
