"""The solution of a regularised inner problem, differentiated at the solution alone.

Rajeswaran et al., "Meta-Learning with Implicit Gradients", NeurIPS 2019,
https://arxiv.org/abs/1909.04630, equation 3 and section 2.3. How the solution was found does not
matter and nothing of it is kept, so memory does not grow with the number of inner steps.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.inner.loop import inner_loop
from jaxmeta.inner.reverse_only import reverse_only
from jaxmeta.inner.rules import UpdateRule

_REVERSE_ONLY = (
    "the implicit gradient of imaml cannot be differentiated in forward mode (jax.jvp, "
    "jax.hessian): take reverse mode twice, jax.jacrev(jax.grad(...)), or "
    'maml(derivative="reverse").'
)


def proximal_solution(
    rule: UpdateRule,
    loss: Callable[[Any], jax.Array],
    start: Any,
    *,
    steps: int,
    lam: float,
    cg_steps: int,
    damping: float = 0.0,
) -> Any:
    """`phi = argmin L(w) + lam/2 |w - start|^2`, by `steps` updates from `start`.

    With the Hessian H of L at phi, `d phi / d start = (I + H / lam)^-1`: the outer gradient v
    becomes the g that solves `((1 + damping) I + H / lam) g = v`, by conjugate gradients on
    Hessian-vector products. What `loss` closes over is differentiated as well.

    Args:
      rule: how the solver moves; a rule with learned parameters has no gradient here.
      loss: `weights -> scalar`.
      start: pytree of weights, the paper's theta.
      steps: updates of the solver.
      lam: strength of the pull towards `start`.
      cg_steps: conjugate-gradient steps at most.
      damping: added to the system, for curvature that is not positive.

    Returns weights with the structure of `start`.
    """
    pure_loss, consts = jax.closure_convert(loss, start)
    rule_params = jax.lax.stop_gradient(rule.init_params(jax.random.key(0), start))

    @jax.custom_vjp
    def solve(start: Any, consts: Any) -> Any:
        def regularised(weights: Any, _: Any) -> jax.Array:
            pull = jax.tree.map(lambda w, s: jnp.sum(jnp.square(w - s)), weights, start)
            return pure_loss(weights, *consts) + 0.5 * lam * sum(jax.tree.leaves(pull))

        return inner_loop(
            rule, regularised, rule_params, start, steps=steps, derivative="first_order"
        )[0]

    def forward(start: Any, consts: Any) -> tuple:
        solution = solve(start, consts)
        return solution, (solution, consts)

    def backward(residuals: Any, v: Any) -> tuple:
        solution, consts = residuals

        def grad_at(weights: Any, consts: Any) -> Any:
            return jax.grad(pure_loss)(weights, *consts)

        def system(u: Any) -> Any:
            _, hu = jax.jvp(lambda w: grad_at(w, consts), (solution,), (u,))
            return jax.tree.map(lambda u, hu: (1 + damping) * u + hu / lam, u, hu)

        # At a tolerance of zero the steps past the float's precision end in 0/0.
        precision = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(v))).eps)
        g, _ = jax.scipy.sparse.linalg.cg(system, v, tol=precision, maxiter=cg_steps)
        # The solution moves with the constants c by -(H + lam I)^-1 d(grad L)/dc.
        _, pull_back = jax.vjp(lambda consts: grad_at(solution, consts), consts)
        (of_consts,) = pull_back(jax.tree.map(lambda leaf: -leaf / lam, g))
        return g, of_consts

    solve.defvjp(forward, backward)
    start, consts = reverse_only((start, consts), words=_REVERSE_ONLY)
    return solve(start, consts)
