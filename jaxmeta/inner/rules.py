"""Update rules of the inner loop: how weights move, given a gradient of the support loss.

What a rule meta-learns lives in its `rule_params`, where the outer gradient reaches it; what it
carries from step to step of one episode lives in its `state`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class UpdateRule(NamedTuple):
    """One way to update weights; every tree below has the structure of the adapted weights."""

    init_params: Callable[[jax.Array, Any], Any]
    """`(key, weights) -> rule_params`, `{}` when nothing is learned."""
    init_state: Callable[[Any, Any], Any]
    """`(rule_params, weights) -> state`."""
    update: Callable[[Any, Any, Any, Any, jax.Array], tuple[Any, Any]]
    """`(rule_params, state, weights, grads, loss) -> (weights, state)`."""


def sgd(lr: float) -> UpdateRule:
    """Plain gradient descent, `w <- w - lr * g`.

    Args:
      lr: step size, the alpha of Finn et al. 2017; the support loss is a mean over examples.

    Raises:
      ValueError: `lr` is negative or not finite.
    """
    _check_rate(lr)

    def update(rule_params, state, weights, grads, loss):
        del rule_params, loss
        return jax.tree.map(lambda w, g: w - lr * g, weights, grads), state

    return UpdateRule(_nothing, _nothing, update)


def per_parameter_sgd(lr: float) -> UpdateRule:
    """Gradient descent with one learned rate per weight, `w <- w - alpha o g`.

    Li et al., "Meta-SGD", 2017, https://arxiv.org/abs/1707.09835, equation 3. The rates have no
    sign constraint.

    Args:
      lr: initial value of every rate.

    Raises:
      ValueError: `lr` is negative or not finite.
    """
    _check_rate(lr)

    def init_params(key, weights):
        del key
        return jax.tree.map(lambda w: jnp.full_like(w, lr), weights)

    def update(rule_params, state, weights, grads, loss):
        del loss
        moved = jax.tree.map(lambda w, alpha, g: w - alpha * g, weights, rule_params, grads)
        return moved, state

    return UpdateRule(init_params, _nothing, update)


def from_optax(tx: optax.GradientTransformation) -> UpdateRule:
    """Any optax transformation as an inner update, differentiated through.

    The weights are exactly optax's. The derivative is taken with gradient entries that are exactly
    zero moved to a tiny number: Adam divides by `sqrt(nu)`, whose derivative at zero is infinite
    and would make the whole meta-gradient NaN for any weight behind a dead ReLU.

    Args:
      tx: transformation whose state starts anew at each episode.

    Raises:
      TypeError: `tx` is not an optax transformation.
    """
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(f"tx must be an optax.GradientTransformation, got {type(tx).__name__}.")

    def init_state(rule_params, weights):
        del rule_params
        return tx.init(weights)

    def update(rule_params, state, weights, grads, loss):
        del rule_params, loss
        exact = tx.update(grads, state, weights)
        smooth = tx.update(jax.tree.map(_away_from_zero, grads), state, weights)
        updates, state = jax.tree.map(_value_and_derivative, exact, smooth)
        return optax.apply_updates(weights, updates), state

    return UpdateRule(_nothing, init_state, update)


def _nothing(*_):
    return {}


def _check_rate(lr) -> None:
    if not math.isfinite(lr) or lr < 0:
        raise ValueError(f"lr must be finite and >= 0, got {lr}.")


def _away_from_zero(grad):
    # Squared and scaled by 1 - beta2 it still must not underflow.
    tiny = 100 * jnp.sqrt(jnp.finfo(grad.dtype).tiny)
    return jnp.where(grad == 0, grad + tiny.astype(grad.dtype), grad)


@jax.custom_jvp
def _value_and_derivative(value, derivative):
    """The number of the first argument, the derivative of the second."""
    del derivative
    return value


@_value_and_derivative.defjvp
def _(primals, tangents):
    return primals[0], tangents[1]
