"""Any optax transformation as an inner update."""

from typing import Any

import jax
import optax

from jaxmeta.inner.rules._rule import UpdateRule, nothing
from jaxmeta.inner.rules._singular import without_singular_derivatives


def from_optax(tx: optax.GradientTransformation) -> UpdateRule:
    """Any optax transformation as an inner update, differentiated through.

    The weights are exactly optax's, and so are the derivatives, but where one of its operations has
    none. Adam divides by `sqrt(nu)`, whose derivative at zero is infinite and would make the whole
    meta-gradient NaN for any weight behind a dead ReLU; there the derivative of the root is zero,
    and the meta-gradient that of the net without the dead unit.

    Args:
      tx: transformation whose state starts anew at each episode.

    Raises:
      TypeError: `tx` is not an optax transformation.

    Example:
      >>> import jax.numpy as jnp
      >>> rule = from_optax(optax.adam(0.1))
      >>> weights = jnp.zeros(2)
      >>> state = rule.init_state({}, weights)
      >>> weights, state = rule.update({}, state, weights, jnp.array([3.0, -2.0]), jnp.array(0.0))
      >>> weights.round(3).tolist()
      [-0.10000000149011612, 0.10000000149011612]
    """
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(f"tx must be an optax.GradientTransformation, got {type(tx).__name__}.")
    transform = without_singular_derivatives(tx.update)

    def init_state(rule_params: Any, weights: Any) -> Any:
        del rule_params
        return tx.init(weights)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        del rule_params, loss
        updates, state = transform(grads, state, weights)
        return optax.apply_updates(weights, updates), state

    return UpdateRule(nothing, init_state, update)
