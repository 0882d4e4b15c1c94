"""Distances between queries and what stands for the classes."""

import jax
import jax.numpy as jnp


def squared_euclidean(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`|x_m - c_n|^2`, `[M, N]`, of `[M, D]` and `[N, D]`.

    By differences: expanding the square would cancel the digits of near points.
    """
    return jnp.sum(jnp.square(x[:, None] - centres[None]), axis=-1)


def cosine(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`1 - cos(x_m, c_n)`, `[M, N]` in `[0, 2]`, of `[M, D]` and `[N, D]`.

    For a zero vector it is 1, and its derivatives are zero.
    """
    return 1 - similarity(x, centres)


def similarity(x: jax.Array, centres: jax.Array) -> jax.Array:
    """`cos(x_m, c_n)`, `[M, N]`."""
    return unit(x) @ unit(centres).T


def unit(x: jax.Array) -> jax.Array:
    """`x / |x|`, in float32 at least; zero rows stay zero and have zero derivatives of any order.

    A zero vector has no direction and the quotient no derivative there. It is what padding is, and
    what a net whose biases start at zero makes of it.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # Squares leave the range of 16 bits.
    norm_squared = jnp.sum(jnp.square(wide), axis=-1, keepdims=True)
    is_zero = norm_squared < jnp.finfo(wide.dtype).tiny
    # A product with zero would still have the derivative of the other factor.
    wide = jnp.where(is_zero, 0, wide)
    return (wide * jax.lax.rsqrt(jnp.where(is_zero, 1, norm_squared))).astype(x.dtype)
