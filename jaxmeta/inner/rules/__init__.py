"""Update rules of the inner loop: how weights move, given a gradient of the support loss."""

from jaxmeta.inner.rules._lstm import coordinatewise_lstm, log_and_sign, lstm
from jaxmeta.inner.rules._optax import from_optax
from jaxmeta.inner.rules._rule import UpdateRule
from jaxmeta.inner.rules._sgd import per_layer_per_step_sgd, per_parameter_sgd, sgd, truncated

__all__ = [
    "UpdateRule",
    "coordinatewise_lstm",
    "from_optax",
    "log_and_sign",
    "lstm",
    "per_layer_per_step_sgd",
    "per_parameter_sgd",
    "sgd",
    "truncated",
]
