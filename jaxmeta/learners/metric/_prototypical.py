"""Prototypical networks.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017,
https://arxiv.org/abs/1703.05175, equations 1 and 2.
Differs from the paper: batch normalisation uses the support set's statistics for support and query,
in training and at test, where the released code uses the whole batch's and running averages.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Learner, Net
from jaxmeta.losses import LossFn, is_labelled, query_loss
from jaxmeta.networks.normalisation import normalised_by, statistics_of


class Prototypes(NamedTuple):
    """What a task leaves behind."""

    centres: jax.Array  # [N, D]
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


def prototypical(embed: Net, *, loss_fn: LossFn = optax.softmax_cross_entropy) -> Learner:
    """Classifies by the nearest class mean of a learned embedding.

    `c_n = mean f(x_i)` over the support rows of class n; the logits are `-|f(x) - c_n|^2`.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`.
      loss_fn: loss per example of the logits.

    Returns a `Learner` whose parameters are those of `embed` and whose adapted value is
    `Prototypes`. A class without support rows has its centre at zero.
    """

    def init(key, episode):
        return embed.init(key, episode.support.x)

    def adapt(params, key, support):
        del key  # Class means need no randomness.
        statistics = statistics_of(embed, params, support.x)
        embedded = embed.apply(params, support.x)
        weights = support.y * is_labelled(support)[:, None]  # [S, N]
        counts = jnp.maximum(weights.sum(0), 1)
        return Prototypes(weights.T @ embedded / counts[:, None], statistics)

    def predict(params, adapted, x):
        embedded = embed.apply(normalised_by(params, adapted.statistics), x)
        return -jnp.sum(jnp.square(embedded[:, None] - adapted.centres), axis=-1)

    return Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn))
