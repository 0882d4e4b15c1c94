"""What an update rule is.

What a rule meta-learns lives in its `rule_params`, where the outer gradient reaches it; what it
carries from step to step of one episode lives in its `state`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class UpdateRule(NamedTuple):
    """One way to update weights; every tree below has the structure of the adapted weights."""

    init_params: Callable[[jax.Array, Any], Any]
    """`(key, weights) -> rule_params`, `{}` when nothing is learned."""
    init_state: Callable[[Any, Any], Any]
    """`(rule_params, weights) -> state`."""
    update: Callable[[Any, Any, Any, Any, jax.Array], tuple[Any, Any]]
    """`(rule_params, state, weights, grads, loss) -> (weights, state)`."""


def nothing(*_: Any) -> dict:
    """The parameters or state of a rule that has none."""
    return {}


def check_rule(rule: Any) -> None:
    """Asks a rule for its three functions when a learner is built.

    Raises:
      TypeError: it lacks one, as an optax transformation does.
    """
    if all(callable(getattr(rule, name, None)) for name in UpdateRule._fields):
        return
    if callable(getattr(rule, "init", None)) and callable(getattr(rule, "update", None)):
        raise TypeError(
            "rule must be an UpdateRule, got an optax transformation: wrap it, as in "
            "jaxmeta.rules.from_optax(optax.adam(1e-3))."
        )
    name = getattr(rule, "__name__", type(rule).__name__)
    raise TypeError(f"rule must be an UpdateRule such as jaxmeta.rules.sgd(0.01), got {name}.")
