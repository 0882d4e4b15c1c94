"""A trust region step on any loss with any divergence.

Schulman, Levine, Moritz, Jordan & Abbeel, "Trust Region Policy Optimization", ICML 2015,
https://arxiv.org/abs/1502.05477, appendix C.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxmeta.losses import wide


class TrustRegionInfo(NamedTuple):
    """What a trust region step did."""

    grad_norm: jax.Array  # of the loss, before the step
    kl: jax.Array  # from the outputs before to those after
    improvement: jax.Array  # of the loss
    is_accepted: jax.Array  # False: no step of the line search was good, the parameters stay


def conjugate_gradients(product: Callable, b: jax.Array, iterations: int) -> jax.Array:
    """Solves `A x = b` for a positive definite `A`, given `product(v) = A v`."""

    def iterate(carry, _):
        x, residual, direction, square = carry
        image = product(direction)
        curvature = direction @ image
        # Solved to the last digit already: stay.
        rate = jnp.where(curvature > 0, square / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        x, residual = x + rate * direction, residual - rate * image
        new = residual @ residual
        ratio = jnp.where(square > 0, new / jnp.where(square > 0, square, 1.0), 0.0)
        return (x, residual, residual + ratio * direction, new), None

    start = (jnp.zeros_like(b), b, b, b @ b)
    return jax.lax.scan(iterate, start, length=iterations)[0][0]


def trust_region_step(
    params: Any,
    loss: Callable[[Any], jax.Array],
    outputs: Callable[[Any], Any],
    kl: Callable[[Any], jax.Array],
    *,
    max_kl: float = 0.01,
    damping: float = 1e-5,
    cg_iterations: int = 10,
    backtracks: int = 15,
    backtrack_ratio: float = 0.5,
) -> tuple[Any, TrustRegionInfo]:
    """Lowers `loss(params)` while `kl(outputs(params))` stays below `max_kl`.

    The direction solves `F x = g` with F the Hessian of the divergence. The divergence is at its
    minimum, zero, at `params`, so that F is `J^T H J` exactly, with J the Jacobian of `outputs` and
    H the Hessian of `kl` by them: one linearisation serves every conjugate gradient.

    Args:
      params: any pytree.
      loss: to be lowered.
      outputs: what the divergence measures, such as distributions of actions.
      kl: divergence of outputs from those at `params`.
      max_kl: the trust region.
      damping: this times the identity is added to F.
      cg_iterations: of conjugate gradients.
      backtracks: steps of the line search, the first of them of full length.
      backtrack_ratio: of the lengths of two steps of the line search.

    Returns the new parameters, the old ones where no step lowers the loss within the region.

    Example:
      >>> params, info = trust_region_step(
      ...     jnp.zeros(2),
      ...     loss=lambda mean: jnp.sum(mean),
      ...     outputs=lambda mean: mean,
      ...     kl=lambda mean: 0.5 * jnp.sum(mean**2),  # of N(mean, 1) from N(0, 1)
      ...     max_kl=0.01,
      ... )
      >>> params.round(3).tolist()
      [-0.10000000149011612, -0.10000000149011612]
    """
    flat, unravel = ravel_pytree(params)

    def flat_loss(flat):
        return loss(unravel(flat))

    before, gradient = jax.value_and_grad(flat_loss)(flat)
    at, forward = jax.linearize(lambda flat: outputs(unravel(flat)), flat)
    backward = jax.linear_transpose(forward, flat)

    def product(vector):
        bent = jax.jvp(jax.grad(kl), (at,), (forward(vector),))[1]
        return backward(bent)[0] + damping * vector

    direction = conjugate_gradients(product, gradient, cg_iterations)
    curvature = direction @ product(direction)
    length = jnp.sqrt(2 * max_kl / jnp.maximum(curvature, 1e-30))

    def is_good(flat):
        divergence = kl(outputs(unravel(flat)))
        improvement = before - flat_loss(flat)
        return (divergence <= max_kl) & (improvement > 0), divergence, improvement

    def attempt(carry):
        number, *_ = carry
        new = flat - length * backtrack_ratio**number * direction
        return (number + 1, new, *is_good(new))

    def goes_on(carry):
        number, _, good, *_ = carry
        return ~good & (number < backtracks)

    zero = jnp.zeros_like(before)
    start = (jnp.zeros((), jnp.int32), flat, jnp.array(False), zero, zero)
    _, new, good, divergence, improvement = jax.lax.while_loop(goes_on, attempt, start)
    info = TrustRegionInfo(
        jnp.linalg.norm(wide(gradient)),
        jnp.where(good, divergence, 0.0),
        jnp.where(good, improvement, 0.0),
        good,
    )
    return unravel(jnp.where(good, new, flat)), info
