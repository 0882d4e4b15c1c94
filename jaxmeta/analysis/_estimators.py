"""Ways to a meta-gradient side by side: what they leave out, and what they cost.

All differentiate one problem: T steps of gradient descent from theta on
`L_support(w) + lam/2 |w - theta|^2`, then the query loss. They differ in the derivative.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxmeta.checks import at_least
from jaxmeta.inner import inner_loop, proximal_solution, rules

ESTIMATORS = ("full", "truncated", "implicit", "first order")


class EstimatorCosts(NamedTuple):
    """Arrays `[S, R, 4]` over inner steps, inner rates and `ESTIMATORS`."""

    inner_steps: np.ndarray  # [S]
    inner_lrs: np.ndarray  # [R]
    error: np.ndarray  # |estimate - exact| / |exact|, in the precision of the inputs
    cosine: np.ndarray  # of the angle to the exact meta-gradient
    seconds: np.ndarray  # median of a compiled call
    bytes: np.ndarray  # the compiled program's temporary memory


def estimator_costs(
    support_loss: Callable[[Any], jax.Array],
    query_loss: Callable[[Any], jax.Array],
    weights: Any,
    *,
    inner_steps: Sequence[int],
    inner_lrs: Sequence[float],
    lam: float = 1.0,
    window: int = 2,
    cg_steps: int = 10,
    repeats: int = 5,
) -> EstimatorCosts:
    """Bias and cost of meta-gradients, over inner steps and rates.

    "full" is reverse mode through all steps; "truncated" goes through the last `window` steps and
    takes the earlier ones as constants, as FOMAML does all; "implicit" solves the linear system of
    iMAML by conjugate gradients; "first order" is FOMAML's. "exact" is "full" without
    rematerialisation.

    Args:
      support_loss, query_loss: weights to scalar, of one task.
      weights: pytree, theta.
      inner_steps, inner_lrs: what to measure at.
      lam: pull towards theta; the implicit gradient needs one.
      window: steps of "truncated".
      cg_steps: steps of "implicit"'s solver.
      repeats: timed calls.

    Raises:
      ValueError: `lam` is not positive, or `window` or `repeats` below 1.

    Example:
      >>> costs = estimator_costs(
      ...     lambda w: jnp.sum((w - 1) ** 2),
      ...     lambda w: jnp.sum((w + 1) ** 2),
      ...     jnp.zeros(2),
      ...     inner_steps=[1, 2],
      ...     inner_lrs=[0.1],
      ...     repeats=1,
      ... )
      >>> costs.error.shape  # of inner steps, rates and estimators
      (2, 1, 4)
      >>> costs.error[:, :, 0].tolist()  # "full" is exact
      [[0.0], [0.0]]
    """
    if lam <= 0:
        raise ValueError(f"lam must be > 0, got {lam}.")
    at_least(1, window=window, repeats=repeats)

    def adapted(theta, lr, steps, name, remat=True):
        rule = rules.sgd(lr)
        if name == "implicit":
            return proximal_solution(
                rule, support_loss, theta, steps=steps, lam=lam, cg_steps=cg_steps
            )

        def pulled(w, _):
            squares = jax.tree.map(lambda w, t: jnp.sum(jnp.square(w - t)), w, theta)
            return support_loss(w) + 0.5 * lam * sum(jax.tree.leaves(squares))

        early = {"full": 0, "truncated": max(steps - window, 0), "first order": steps}[name]
        w, _ = inner_loop(rule, pulled, {}, theta, steps=early, derivative="first_order")
        return inner_loop(rule, pulled, {}, w, steps=steps - early, remat=remat)[0]

    def estimate(lr, steps, name, remat=True):
        def loss(theta):
            return query_loss(adapted(theta, lr, steps, name, remat))

        return jax.jit(jax.grad(loss)).lower(weights).compile()

    shape = (len(inner_steps), len(inner_lrs), len(ESTIMATORS))
    error, angle, seconds, memory = (np.zeros(shape) for _ in range(4))
    for s, steps in enumerate(inner_steps):
        for r, lr in enumerate(inner_lrs):
            exact = _flat(estimate(lr, steps, "full", remat=False)(weights))
            for e, name in enumerate(ESTIMATORS):
                compiled = estimate(lr, steps, name)
                found = _flat(compiled(weights))
                error[s, r, e] = np.linalg.norm(found - exact) / np.linalg.norm(exact)
                angle[s, r, e] = found @ exact / np.linalg.norm(found) / np.linalg.norm(exact)
                seconds[s, r, e] = _median_seconds(compiled, weights, repeats)
                memory[s, r, e] = compiled.memory_analysis().temp_size_in_bytes
    return EstimatorCosts(np.array(inner_steps), np.array(inner_lrs), error, angle, seconds, memory)


def _median_seconds(function, weights, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(weights))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _flat(tree):
    return np.asarray(ravel_pytree(tree)[0], np.float64)
