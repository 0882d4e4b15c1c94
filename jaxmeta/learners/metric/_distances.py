"""Distances between queries and what stands for the classes."""

import jax
import jax.numpy as jnp


def squared_euclidean(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`|x_m - c_n|^2`, `[M, N]`, of `[M, D]` and `[N, D]`.

    By differences: expanding the square would cancel the digits of near points.
    """
    return jnp.sum(jnp.square(x[:, None] - centres), axis=-1)


def cosine(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`1 - cos(x_m, c_n)`, `[M, N]` in `[0, 2]`, of `[M, D]` and `[N, D]`; 1 for a zero vector."""
    return 1 - similarity(x, centres)


def similarity(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`cos(x_m, c_n)`, `[M, N]`."""
    return _unit(x) @ _unit(centres).T


def _unit(x):
    # The smallest normal number: no gradient of a square root at zero.
    norm_squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(norm_squared, jnp.finfo(x.dtype).tiny))
