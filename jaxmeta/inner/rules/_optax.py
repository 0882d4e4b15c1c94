"""Any optax transformation as an inner update."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.inner.rules._rule import UpdateRule, nothing


def from_optax(tx: optax.GradientTransformation) -> UpdateRule:
    """Any optax transformation as an inner update, differentiated through.

    The weights are exactly optax's. The derivative is taken with gradient entries that are exactly
    zero moved to a tiny number: Adam divides by `sqrt(nu)`, whose derivative at zero is infinite
    and would make the whole meta-gradient NaN for any weight behind a dead ReLU.

    Args:
      tx: transformation whose state starts anew at each episode.

    Raises:
      TypeError: `tx` is not an optax transformation.

    Example:
      >>> rule = from_optax(optax.adam(0.1))
      >>> weights = jnp.zeros(2)
      >>> state = rule.init_state({}, weights)
      >>> weights, state = rule.update({}, state, weights, jnp.array([3.0, -2.0]), jnp.array(0.0))
      >>> weights.round(3).tolist()
      [-0.10000000149011612, 0.10000000149011612]
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

    return UpdateRule(nothing, init_state, update)


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
