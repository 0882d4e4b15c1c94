"""The inner loop: a few updates of the weights on one task's support set.

One `lax.scan` serves every update rule. The outer gradient flows through it in one of three ways:

    "reverse"               reverse mode through the inner gradients: plain second order
    "forward_over_reverse"  the inner gradient's vector-Jacobian product is a Jacobian-vector
                            product of the gradient, the Hessian being symmetric
                            (Kemaev et al., "MixFlow-MG", 2025)
    "first_order"           inner gradients are constants (FOMAML; Finn et al. 2017, section 5.2)

The first two give the same numbers. With `remat`, only the weights of each step are kept and the
rest is computed again in the backward pass, so memory is flat in the number of steps.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.inner.reverse_only import reverse_only
from jaxmeta.inner.rules import UpdateRule
from jaxmeta.inner.rules._rule import check_rule

_REVERSE_ONLY = (
    'derivative="forward_over_reverse" cannot be differentiated in forward mode (jax.jvp, '
    'jax.hessian): take derivative="reverse", or reverse mode twice, jax.jacrev(jax.grad(...)).'
)


def inner_loop(
    rule: UpdateRule,
    loss: Callable[..., jax.Array],
    rule_params: Any,
    weights: Any,
    *,
    steps: int,
    batches: Any = None,
    observe: Callable[..., Any] | None = None,
    derivative: str = "reverse",
    remat: bool = True,
) -> tuple[Any, Any]:
    """Runs `steps` updates of `weights` on `loss`.

    Args:
      rule: how weights move.
      loss: `(weights, batch) -> scalar`, the support loss; what it closes over is differentiated
        through as well.
      rule_params: the rule's learned parameters.
      weights: where the loop starts.
      steps: number of updates, static.
      batches: pytree with a leading axis of length `steps`, one slice per step; None hands `loss`
        None each time.
      observe: `(weights, batch) -> pytree`, taken after each update.
      derivative: `"reverse"`, `"forward_over_reverse"` or `"first_order"`, see above.
      remat: keep only each step's weights, and in first order its gradient, for the backward pass.

    Returns the weights after the last step, with the structure and types of `weights`; and what was
    observed, with a leading axis `[steps]`.
    """
    value_and_grad = _GRADIENTS[derivative]
    # The inner gradient of first order is not differentiated: only the update is worth redoing.
    redo_update = remat and derivative == "first_order"
    update = jax.checkpoint(rule.update, prevent_cse=False) if redo_update else rule.update

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        weights, state = carry
        value, grads = value_and_grad(lambda w: loss(w, batch), weights)
        moved = update(rule_params, state, weights, grads, value)
        # Data of another float type may have promoted them, which a scan refuses.
        weights, state = jax.tree.map(_in_type_of, moved, carry)
        return (weights, state), observe(weights, batch) if observe else None

    if remat and derivative != "first_order":
        step = jax.checkpoint(step, prevent_cse=False)
    # Some of optax's states begin, and go on, as numbers of Python.
    state = jax.tree.map(jnp.asarray, rule.init_state(rule_params, weights))
    (weights, _), observed = jax.lax.scan(step, (weights, state), batches, length=steps)
    return weights, observed


def _in_type_of(new: Any, old: jax.Array) -> jax.Array:
    return jnp.asarray(new, old.dtype)


def check_inner_loop(*, inner_steps: int, derivative: str, rule: UpdateRule | None = None) -> None:
    """Refuses bad arguments when a learner is built.

    Raises:
      TypeError: `inner_steps` is not an int, or `rule` is not an update rule.
      ValueError: `inner_steps` is negative, or `derivative` is not one of the three.
    """
    if rule is not None:  # And not one of the learner's own.
        check_rule(rule)
    if isinstance(inner_steps, bool) or not isinstance(inner_steps, int):
        raise TypeError(f"inner_steps must be an int, got {inner_steps!r}.")
    at_least(0, inner_steps=inner_steps)
    if derivative not in _GRADIENTS:
        choices = ", ".join(map(repr, _GRADIENTS))
        raise ValueError(f"derivative must be one of {choices}, got {derivative!r}.")


def _first_order(loss: Callable, weights: Any) -> tuple:
    return jax.lax.stop_gradient(jax.value_and_grad(loss)(weights))


def _reverse(loss: Callable, weights: Any) -> tuple:
    return jax.value_and_grad(loss)(weights)


def _forward_over_reverse(loss: Callable, weights: Any) -> tuple:
    pure_loss, floats, others = _hoisted(loss, weights)

    @jax.custom_vjp
    def value_and_grad(weights: Any, floats: list, others: list) -> tuple:
        return jax.value_and_grad(pure_loss)(weights, floats, others)

    def forward(*args: Any) -> tuple:
        # Residuals that are plain arguments come back shuffled when a scan of this rule is
        # differentiated twice (seen in JAX 0.10 and 0.12): the barrier makes them new values.
        return value_and_grad(*args), jax.lax.optimization_barrier(args)

    def backward(residuals: Any, cotangents: Any) -> tuple:
        # For the outputs (L, g = dL/dw) and cotangents (l, v): the answer is l dL + v' dg, and
        # v' dg/d(w, c) = d(dL/d(w, c))/dw v by the symmetry of second derivatives.
        weights, floats, others = residuals
        value_bar, grad_bar = cotangents

        def joint_grad(weights: Any) -> tuple:
            return jax.grad(pure_loss, argnums=(0, 1))(weights, floats, others)

        grads, products = jax.jvp(joint_grad, (weights,), (grad_bar,))
        # The loss is wider than 16-bit weights, whose types the answer has.
        whole = jax.tree.map(lambda g, p: (value_bar * g + p).astype(p.dtype), grads, products)
        return *whole, None

    value_and_grad.defvjp(forward, backward)
    weights, floats = reverse_only((weights, floats), words=_REVERSE_ONLY)
    return value_and_grad(weights, floats, others)


def _hoisted(loss: Callable, weights: Any) -> tuple[Callable, list, list]:
    """The loss as a function of all that it closes over.

    Unlike `jax.closure_convert`, which leaves integers such as the number of the step behind.
    Returns `pure_loss(weights, floats, others)` and its last two arguments.
    """
    closed = jax.make_jaxpr(loss)(weights)
    is_float = [jnp.issubdtype(const.dtype, jnp.inexact) for const in closed.consts]
    floats = [const for const, yes in zip(closed.consts, is_float, strict=True) if yes]
    others = [const for const, yes in zip(closed.consts, is_float, strict=True) if not yes]

    def pure_loss(weights: Any, floats: list, others: list) -> jax.Array:
        left = {True: iter(floats), False: iter(others)}
        consts = [next(left[yes]) for yes in is_float]
        run = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(closed.jaxpr, consts))
        return run(*jax.tree.leaves(weights))[0]

    return pure_loss, floats, others


_GRADIENTS = {
    "reverse": _reverse,
    "forward_over_reverse": _forward_over_reverse,
    "first_order": _first_order,
}
