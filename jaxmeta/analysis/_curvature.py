"""Curvature of losses and meta-losses: Hessian-vector products and spectra.

Lanczos 1950; Golub & Welsch 1969; for nets Ghorbani, Krishnan & Xiao, "An Investigation into Neural
Net Optimization via Hessian Eigenvalue Density", ICML 2019, section 2 (stochastic quadrature).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.checks import at_least


class Spectrum(NamedTuple):
    """Eigenvalues seen by Lanczos; the outermost converge first."""

    eigenvalues: np.ndarray  # [probes, order], ascending
    weights: np.ndarray  # [probes, order], share of each in the density; a row sums to 1
    dimension: int  # size of the Hessian


def hessian_vector_product(function: Callable[[Any], jax.Array], x: Any, vector: Any) -> Any:
    """`H v` of a scalar function of a pytree, with the structure of `x`.

    By reverse mode twice, which every learner's loss allows; the loss of a learner whose derivative
    is a direction of its own (FOMAML, Reptile) has no Hessian here.

    Example:
      >>> x, vector = jnp.array([1.0, 2.0]), jnp.ones(2)
      >>> hessian_vector_product(lambda x: jnp.sum(x**3), x, vector).tolist()
      [6.0, 12.0]
    """
    return jax.grad(lambda x: optax.tree.vdot(jax.grad(function)(x), vector))(x)


def hessian_spectrum(
    function: Callable[[Any], jax.Array],
    x: Any,
    key: jax.Array,
    *,
    order: int = 20,
    probes: int = 1,
) -> Spectrum:
    """Lanczos spectrum of the Hessian of `function` at `x`.

    Args:
      function: pytree to scalar: a task's loss, or a meta-loss
        `lambda params: learner.loss(params, key, episode)[0]`.
      x: where.
      key: of the random starting vectors.
      order: Lanczos steps, at most the number of entries of `x`; with all of them the eigenvalues
        are exact.
      probes: starting vectors.

    Raises:
      ValueError: `order` or `probes` is below 1.

    Example:
      >>> curvature = jnp.array([1.0, 4.0])
      >>> quadratic = lambda x: 0.5 * jnp.sum(curvature * x**2)
      >>> spectrum = hessian_spectrum(quadratic, jnp.zeros(2), jax.random.key(0), order=2)
      >>> jnp.sort(spectrum.eigenvalues.ravel()).round(4).tolist()
      [1.0, 4.0]
    """
    at_least(1, order=order, probes=probes)
    flat, unravel = ravel_pytree(x)
    order = min(order, flat.size)

    @jax.jit
    def tridiagonal(key):
        def product(vector):
            return ravel_pytree(hessian_vector_product(function, x, unravel(vector)))[0]

        return lanczos(product, jax.random.normal(key, flat.shape, flat.dtype), order)

    eigenvalues, weights = [], []
    for probe in range(probes):
        diagonal, off = map(np.asarray, tridiagonal(jax.random.fold_in(key, probe)))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
        eigenvalues.append(values)
        weights.append(vectors[0] ** 2)
    return Spectrum(np.array(eigenvalues), np.array(weights), flat.size)


def lanczos(
    product: Callable[[jax.Array], jax.Array], start: jax.Array, order: int
) -> tuple[jax.Array, jax.Array]:
    """The tridiagonal form of a symmetric operator, reorthogonalised in full.

    Args:
      product: vector `[P]` to vector `[P]`.
      start: starting vector `[P]`.
      order: steps.

    Returns the diagonal `[order]` and the entries beside it `[order - 1]`.

    Example:
      >>> matrix = jnp.diag(jnp.array([1.0, 4.0]))
      >>> diagonal, beside = lanczos(lambda v: matrix @ v, jnp.ones(2) / jnp.sqrt(2), 2)
      >>> diagonal.round(4).tolist(), beside.round(4).tolist()
      ([2.5, 2.5], [1.5])
    """
    tiny = jnp.finfo(start.dtype).eps

    def step(carry, i):
        basis, vector = carry  # basis [order, P], rows i.. are zero
        basis = basis.at[i].set(vector)
        w = product(vector)
        alpha = jnp.vdot(vector, w)
        for _ in range(2):  # Twice is enough (Kahan, Parlett).
            w = w - basis.T @ (basis @ w)
        beta = jnp.linalg.norm(w)
        # An exhausted space ends in zeros, not in a blown-up rounding error.
        is_left = beta > tiny * jnp.maximum(jnp.abs(alpha), 1)
        w = jnp.where(is_left, w / jnp.where(is_left, beta, 1), 0)
        return (basis, w), (alpha, jnp.where(is_left, beta, 0))

    basis = jnp.zeros((order, start.size), start.dtype)
    start = start / jnp.linalg.norm(start)
    _, (alphas, betas) = jax.lax.scan(step, (basis, start), jnp.arange(order))
    return alphas, betas[:-1]
