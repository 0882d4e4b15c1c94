"""Prototypical networks.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017,
https://arxiv.org/abs/1703.05175, equations 1 and 2; with `refine_steps`, soft k-means of Ren et
al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018,
https://arxiv.org/abs/1803.00676, equation 3.
Differs from the papers: batch normalisation uses the support set's statistics for support and
query, in training and at test, where the released code uses the whole batch's and running averages.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._distances import squared_euclidean
from jaxmeta.losses import LossFn, among, query_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding, weighted_means
from jaxmeta.support import class_support


class Prototypes(NamedTuple):
    """What a task leaves behind."""

    centres: jax.Array  # [N, D]
    is_present: jax.Array  # [N] bool: the class has labelled support rows
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


@random_in_loss("embed")
def prototypical(
    embed: NetLike,
    *,
    distance: Callable[[jax.Array, jax.Array], jax.Array] = squared_euclidean,
    refine_steps: int = 0,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Classifies by the nearest class mean of a learned embedding.

    `c_n = mean f(x_i)` over the support rows of class n; the logits are `-d(f(x), c_n)`.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`.
      distance: maps `[M, D]` and `[N, D]` to `[M, N]`; `learners.metric.squared_euclidean` or
        `learners.metric.cosine`.
      refine_steps: times the unlabelled support rows (all-zero labels) are shared among the
        centres, each by the softmax of its logits, and the centres taken anew. 0 leaves them out.
      loss_fn: loss per example of the logits.

    Returns a `Learner` whose parameters are those of `embed` and whose adapted value is
    `Prototypes`. A class without labelled support rows is never predicted.

    Raises:
      ValueError: `refine_steps` is below 0.
      TypeError: `distance` is not a function.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.prototypical(jaxmeta.networks.mlp(4, hidden=(8,)))
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    if not callable(distance):
        raise TypeError(
            f"distance must be a function, got {distance!r}: take learners.metric.cosine or "
            "learners.metric.squared_euclidean."
        )
    at_least(0, refine_steps=refine_steps)
    embed = as_net(embed, "embed")

    def init(key: Key, episode: Episode) -> Params:
        return embed.init(key, episode.support.x)

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # Class means need no randomness.
        embedded, statistics = embed.observe(params, support)
        rows = class_support(support)
        is_unlabelled = rows.is_valid & ~rows.is_labelled

        def refined(centres: jax.Array, _: Any) -> tuple:
            shares = jax.nn.softmax(among(-distance(embedded, centres), rows.is_present))
            shares = jnp.where(is_unlabelled[:, None], shares, rows.y)
            return weighted_means(embedded, shares), None

        centres = weighted_means(embedded, rows.y)
        if refine_steps:
            centres, _ = jax.lax.scan(refined, centres, length=refine_steps)
        return Prototypes(centres, rows.is_present, statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        embedded = embed.apply(embed.under(params, adapted.statistics), x)
        return among(-distance(embedded, adapted.centres), adapted.is_present)

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))
