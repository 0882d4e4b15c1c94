"""Logarithms of weighted means whose terms may be smaller than any float."""

import jax
import jax.numpy as jnp

from jaxmeta.losses import among


def log_means(logs: jax.Array, weights: jax.Array) -> jax.Array:
    """`log sum_i w_in exp(l_mi)`, `[M, N]`, of `[M, S]` and weights `[S, N]`, 0 or more.

    Very small where a column of the weights is zero; finite always, and so is its derivative.
    """
    is_term = weights > 0
    terms = logs[:, :, None] + jnp.log(jnp.where(is_term, weights, 1))[None]
    return jax.nn.logsumexp(among(terms, is_term), axis=1)
