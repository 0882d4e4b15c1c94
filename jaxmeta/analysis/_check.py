"""A finite-difference check of any learner's meta-gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxmeta.learner import Episode, Learner


class GradientCheck(NamedTuple):
    """Directional derivatives of a learner's loss, two ways."""

    gradient: np.ndarray  # [directions] by jax.grad
    difference: np.ndarray  # [directions] by central differences
    relative_error: float  # |gradient - difference| / |difference|, norms over directions

    def passes(self, tolerance: float = 1e-5) -> bool:
        """Whether the two agree; a ReLU's bend inside a difference may cost some digits."""
        return self.relative_error <= tolerance


def check_meta_gradient(
    learner: Learner,
    params: Any,
    key: jax.Array,
    episode: Episode,
    *,
    directions: int = 8,
    step: float = 1e-5,
) -> GradientCheck:
    """Compares `jax.grad(learner.loss)` with central differences, in float64.

    A learner whose derivative is a direction of its own (FOMAML, Reptile, a cut gradient) does not
    pass, and the error says by how much its meta-gradient is biased.

    Args:
      learner: any learner.
      params: where; cast to float64, like the episode.
      key: given to `loss`, and source of the directions.
      episode: one episode.
      directions: number of random unit directions.
      step: size of the differences.

    Example:
      >>> import jaxmeta
      >>> learner = jaxmeta.maml(jaxmeta.networks.linear(2), inner_steps=1)
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9], [0.2]], [1, 0])
      >>> params = learner.init(jax.random.key(0), episode)
      >>> check = check_meta_gradient(learner, params, jax.random.key(1), episode, directions=2)
      >>> check.relative_error < 1e-5
      True
    """
    with jax.enable_x64(True):
        params, episode = jax.tree.map(_as_double, (params, episode))
        flat, unravel = ravel_pytree(params)
        vectors = jax.random.normal(key, (directions, flat.size), jnp.float64)
        vectors = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)

        def loss(flat):
            return learner.loss(unravel(flat), key, episode)[0]

        gradient = vectors @ jax.jit(jax.grad(loss))(flat)
        around = jax.jit(
            lambda flat: jax.lax.map(
                lambda v: (loss(flat + step * v) - loss(flat - step * v)) / (2 * step), vectors
            )
        )
        difference = around(flat)
        error = jnp.linalg.norm(gradient - difference) / jnp.linalg.norm(difference)
        return GradientCheck(np.asarray(gradient), np.asarray(difference), float(error))


def _as_double(leaf):
    leaf = jnp.asarray(leaf)
    return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
