"""Logistic regression on features: the head of RFS.

Tian, Wang, Krishnan, Tenenbaum & Isola, "Rethinking Few-Shot Image Classification: a Good Embedding
Is All You Need?", ECCV 2020, https://arxiv.org/abs/2003.11539, sections 3.2 and 4.2: features of
length one, multinomial logistic regression with the settings of scikit-learn (C = 1, no penalty on
the bias).
Differs from the paper: nothing known.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._distances import unit
from jaxmeta.losses import among, query_loss, wide
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support


class LogisticHead(NamedTuple):
    """What a task leaves behind."""

    weights: jax.Array  # [D, N]
    bias: jax.Array  # [N]
    is_present: jax.Array  # [N] bool: the class has labelled support rows


def logistic_regression(*, c: float = 1.0, most_steps: int = 200) -> Learner:
    """Multinomial logistic regression on features `[M, D]` of length one; nothing is meta-learned.

    With `u = x / |x|` the weights minimise `sum_i -log softmax(u_i W + b)_(y_i) + |W|^2 / (2 c)`
    over the labelled support rows, by L-BFGS; the logits are `u W + b`.

    Args:
      c: inverse strength of the penalty.
      most_steps: steps of L-BFGS at most; it ends before, where no entry of the derivative is over
        1e-4, the default of scikit-learn.

    Returns a `Learner` without parameters whose adapted value is `LogisticHead`. No derivative goes
    through its `adapt`. A class without labelled support rows is never predicted.

    Raises:
      ValueError: `c` is not finite and positive, or `most_steps` is below 1.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta.learners.metric import logistic_regression
      >>> features = jax.numpy.array([[1.0, 0.1], [0.1, 1.0], [1.0, 0.2]])
      >>> episode = jaxmeta.make_episode(features[:2], [0, 1], features[2:], [0])
      >>> _, logits = logistic_regression().loss({}, jax.random.key(0), episode)
      >>> logits.argmax(axis=1).tolist()
      [0]
    """
    if not (math.isfinite(c) and c > 0):
        raise ValueError(f"c must be finite and > 0, got {c}.")
    at_least(1, most_steps=most_steps)

    def init(key: Key, episode: Episode) -> Params:
        del key, episode
        return {}

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del params, key  # The minimum is one, and is found without chance.
        rows = class_support(support)
        x = wide(unit(rows.x))

        def penalised(head: tuple[jax.Array, jax.Array]) -> jax.Array:
            weights, bias = head
            logits = among(x @ weights + bias[None], rows.is_present)
            losses = optax.softmax_cross_entropy(logits, wide(rows.y))
            losses = jnp.where(rows.is_labelled, losses, 0)
            return jnp.sum(losses) + jnp.sum(jnp.square(weights)) / (2 * c)

        width, n_way = x.shape[1], rows.y.shape[1]
        start = jnp.zeros((width, n_way), x.dtype), jnp.zeros(n_way, x.dtype)
        weights, bias = jax.lax.stop_gradient(_minimum(penalised, start, most_steps))
        return LogisticHead(weights, bias, rows.is_present)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return among(unit(x) @ adapted.weights + adapted.bias[None], adapted.is_present)

    loss = query_loss(adapt, predict, optax.softmax_cross_entropy)
    return ignoring_padding(Learner(init, adapt, predict, loss))


def _minimum(function: Callable[[Any], jax.Array], start: Any, most_steps: int) -> Any:
    """Where the function has its minimum, by L-BFGS with a line search."""
    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(function)

    def step(carry: tuple[Any, Any, jax.Array]) -> tuple[Any, Any, jax.Array]:
        point, state, _ = carry
        value, grad = value_and_grad(point, state=state)
        updates, state = solver.update(
            grad, state, point, value=value, grad=grad, value_fn=function
        )
        largest = optax.tree.norm(optax.tree.get(state, "grad"), ord=jnp.inf)
        return optax.apply_updates(point, updates), state, largest

    def goes_on(carry: tuple[Any, Any, jax.Array]) -> jax.Array:
        _, state, largest = carry
        return (optax.tree.get(state, "count") < most_steps) & (largest > 1e-4)

    infinity = jnp.asarray(jnp.inf, start[0].dtype)
    return jax.lax.while_loop(goes_on, step, (start, solver.init(start), infinity))[0]
