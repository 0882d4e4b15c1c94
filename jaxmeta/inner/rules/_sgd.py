"""Gradient descent, with a rate that is fixed or learned."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.inner.rules._rule import UpdateRule, nothing
from jaxmeta.learner import Key


def sgd(lr: float) -> UpdateRule:
    """Plain gradient descent, `w <- w - lr * g`.

    Args:
      lr: step size, the alpha of Finn et al. 2017; the support loss is a mean over examples.

    Raises:
      ValueError: `lr` is negative or not finite.

    Example:
      >>> rule = sgd(0.1)
      >>> weights, _ = rule.update({}, {}, jnp.array(1.0), jnp.array(2.0), jnp.array(0.0))
      >>> round(float(weights), 6)
      0.8
    """
    check_rate(lr)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        del rule_params, loss
        return jax.tree.map(lambda w, g: w - lr * g, weights, grads), state

    return UpdateRule(nothing, nothing, update)


def per_parameter_sgd(lr: float) -> UpdateRule:
    """Gradient descent with one learned rate per weight, `w <- w - alpha o g`.

    Li et al., "Meta-SGD", 2017, https://arxiv.org/abs/1707.09835, equation 3. The rates have no
    sign constraint.

    Args:
      lr: initial value of every rate.

    Raises:
      ValueError: `lr` is negative or not finite.

    Example:
      >>> rule = per_parameter_sgd(0.5)
      >>> rule.init_params(jax.random.key(0), jnp.zeros(3)).tolist()
      [0.5, 0.5, 0.5]
    """
    check_rate(lr)

    def init_params(key: Key, weights: Any) -> Any:
        del key
        return jax.tree.map(lambda w: jnp.full_like(w, lr), weights)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        del loss
        moved = jax.tree.map(lambda w, alpha, g: w - alpha * g, weights, rule_params, grads)
        return moved, state

    return UpdateRule(init_params, nothing, update)


def per_layer_per_step_sgd(lr: float, steps: int) -> UpdateRule:
    """Gradient descent with one learned rate per layer and step, `w_l <- w_l - alpha_lt g_l`.

    Antoniou et al., "How to Train Your MAML", ICLR 2019, section 4, "LSLR". A layer is a leaf of
    the weights: a kernel, a bias.

    Args:
      lr: initial value of every rate.
      steps: number of steps that have rates; later ones take the last.

    Raises:
      ValueError: `lr` is negative or not finite, or `steps` is below 1.

    Example:
      >>> rule = per_layer_per_step_sgd(0.5, steps=2)
      >>> rule.init_params(jax.random.key(0), {"kernel": jnp.zeros((3, 4))})["kernel"].tolist()
      [0.5, 0.5]
    """
    check_rate(lr)
    at_least(1, steps=steps)

    def init_params(key: Key, weights: Any) -> Any:
        del key
        return jax.tree.map(lambda w: jnp.full(steps, lr, w.dtype), weights)

    def init_state(rule_params: Any, weights: Any) -> Any:
        del rule_params, weights
        return jnp.zeros((), jnp.int32)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        del loss
        step = jnp.minimum(state, steps - 1)
        moved = jax.tree.map(lambda w, a, g: w - a[step] * g, weights, rule_params, grads)
        return moved, state + 1

    return UpdateRule(init_params, init_state, update)


def truncated(rule: UpdateRule, every: int) -> UpdateRule:
    """The same updates, with the outer gradient cut at every `every`-th step.

    Truncated backpropagation through time: nothing flows from one window of `every` steps into the
    one before it.

    Args:
      rule: how weights move.
      every: steps of a window.

    Raises:
      ValueError: `every` is below 1.

    Example:
      >>> rule = truncated(sgd(0.1), every=5)
      >>> step, _ = rule.init_state({}, jnp.zeros(3))
      >>> int(step)
      0
    """
    at_least(1, every=every)

    def init_state(rule_params: Any, weights: Any) -> Any:
        return jnp.zeros((), jnp.int32), rule.init_state(rule_params, weights)

    def update(
        rule_params: Any, state: Any, weights: Any, grads: Any, loss: jax.Array
    ) -> tuple[Any, Any]:
        step, inner = state
        is_start = (step > 0) & (step % every == 0)
        cut = jax.tree.map(
            lambda leaf: jnp.where(is_start, jax.lax.stop_gradient(leaf), leaf),
            (inner, weights, grads, loss),
        )
        weights, inner = rule.update(rule_params, *cut)
        return weights, (step + 1, inner)

    return UpdateRule(rule.init_params, init_state, update)


def check_rate(lr: float) -> None:
    """Refuses a step size that is none; that of a trace is not known yet."""
    if isinstance(lr, jax.core.Tracer):
        return
    if not math.isfinite(lr) or lr < 0:
        raise ValueError(f"lr must be finite and >= 0, got {lr}.")
