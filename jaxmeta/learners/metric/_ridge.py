"""Ridge regression as the inner solver (R2-D2).

Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019,
https://arxiv.org/abs/1805.08136, equations 4 to 6.
Differs from the paper: the smaller of the two linear systems is solved whatever the method is
called (the paper: always Woodbury's); as in the released code both sides are divided by the square
root of the number of rows. Batch normalisation uses the support set's statistics for both sets.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import jax.scipy.linalg
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, among, query_loss, wide
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support


class RidgeParams(NamedTuple):
    """Meta-parameters of `ridge`."""

    embed: Any
    log_lam: jax.Array  # [] logarithm of the regulariser
    scale: jax.Array  # [] of the logits, the paper's alpha
    shift: jax.Array  # [] of the logits, the paper's beta


class LinearHead(NamedTuple):
    """What a task leaves behind."""

    weights: jax.Array  # [D + 1, N], the last row for the constant input
    is_present: jax.Array  # [N] bool: the class has labelled support rows
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


@random_in_loss("embed")
def ridge(
    embed: NetLike,
    *,
    lam: float = 50.0,
    scale: float = 1.0,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Classifies by ridge regression of the labels on a learned embedding.

    With rows `X = [f(x_i), 1] / sqrt(S)` and labels `Y / sqrt(S)`, `W = (X'X + lam I)^-1 X'Y` or,
    for fewer rows than columns, the same by `X'(XX' + lam I)^-1 Y`; the logits are
    `scale [f(x), 1] W + shift`.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`.
      lam: where the regulariser starts; it is learned, by its logarithm.
      scale: where the scale of the logits starts; it is learned, as is the shift, from zero.
      loss_fn: loss per example of the logits.

    Returns a `Learner` with `RidgeParams` whose adapted value is `LinearHead`. A class without
    labelled support rows is never predicted.

    Raises:
      ValueError: `lam` or `scale` is not finite and positive.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.ridge(jaxmeta.networks.mlp(4, hidden=(8,)), lam=1.0)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    for name, number in (("lam", lam), ("scale", scale)):
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name} must be finite and > 0, got {number}.")
    embed = as_net(embed, "embed")

    def init(key: Key, episode: Episode) -> Params:
        params = embed.init(key, episode.support.x)
        return RidgeParams(params, jnp.log(lam), jnp.asarray(scale, float), jnp.zeros(()))

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # The solution is closed.
        embedded, statistics = embed.observe(params.embed, support)
        rows = class_support(support)
        is_counted = rows.is_labelled[:, None]
        factor = jax.lax.rsqrt(jnp.maximum(jnp.sum(is_counted), 1).astype(embedded.dtype))
        # Rows that do not count are zero: they add nothing to either system.
        inputs = jnp.where(is_counted, with_constant(embedded), 0) * factor
        labels = rows.y * factor
        n_rows, width = inputs.shape
        # An export leaves the number of rows open; the other system is then the one of known size.
        is_small = not jax.export.is_symbolic_dim(n_rows) and n_rows < width
        solve = woodbury if is_small else primal
        # No linear system is solved in 16 bits.
        lam = jnp.exp(wide(params.log_lam))
        weights = solve(wide(inputs), wide(labels), lam).astype(inputs.dtype)
        return LinearHead(weights, rows.is_present, statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        embedded = embed.apply(embed.under(params.embed, adapted.statistics), x)
        logits = params.scale * (with_constant(embedded) @ adapted.weights) + params.shift
        return among(logits, adapted.is_present)

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))


def with_constant(embedded: jax.Array) -> jax.Array:
    """`[M, D]` with a last column of ones."""
    return jnp.concatenate([embedded, jnp.ones_like(embedded[:, :1])], axis=1)


def primal(inputs: jax.Array, targets: jax.Array, lam: jax.Array) -> jax.Array:
    """`(X'X + lam I)^-1 X'Y`, `[D, N]` of `[S, D]` and `[S, N]` (equation 4)."""
    system = inputs.T @ inputs + lam * jnp.eye(inputs.shape[1], dtype=inputs.dtype)
    return jax.scipy.linalg.solve(system, inputs.T @ targets, assume_a="pos")


def woodbury(inputs: jax.Array, targets: jax.Array, lam: jax.Array) -> jax.Array:
    """`X'(XX' + lam I)^-1 Y`: the same, by a system of the size of the set (equation 5)."""
    system = inputs @ inputs.T + lam * jnp.eye(len(inputs), dtype=inputs.dtype)
    return inputs.T @ jax.scipy.linalg.solve(system, targets, assume_a="pos")
