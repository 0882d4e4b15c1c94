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


def nothing(*_) -> dict:
    """The parameters or state of a rule that has none."""
    return {}
