"""Relation networks.

Sung et al., "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018,
https://arxiv.org/abs/1711.06025, equations 1 to 3.
Differs from the paper: batch normalisation uses the support set's statistics throughout, those of
the comparison taken over all pairs of a support row with a class; the released code normalises the
queries of an episode together, in training and at test (transductive).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import among, check_outputs, masked_mean
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.networks import relation_head
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support, is_labelled


class RelationParams(NamedTuple):
    """Meta-parameters of `relation`."""

    embed: Any
    compare: Any


class ClassMaps(NamedTuple):
    """What a task leaves behind."""

    sums: jax.Array  # [N, ...] of the embeddings of each class's support rows
    is_present: jax.Array  # [N] bool: the class has labelled support rows
    statistics: RelationParams  # of the support set in both nets, {} without batch normalisation


@random_in_loss("embed", "compare")
def relation(embed: NetLike, compare: Any = None) -> Learner:
    """Learns the comparison too: a net scores each query with each class.

    `r_mn = g(sum_i f(x_i), f(x_m))` in `[0, 1]`, the sum over the support rows of class n; the loss
    is the mean squared error of r against the one-hot labels.

    Args:
      embed: maps `[M, *X]` to maps `[M, h, w, C]` (`networks.relation_embedding`) or vectors
        `[M, C]`.
      compare: `init(key, queries, classes)` and `apply(params, queries, classes, is_counted)`,
        which gives `[M, N]` log-odds of r; `is_counted` `[M * N]` says which pairs a normalisation
        counts. By default `networks.relation_head()`, the paper's.

    Returns a `Learner` with `RelationParams` whose adapted value is `ClassMaps`. Its outputs
    `[M, N]` are the log-odds of r, each class by itself: `sigmoid` gives r.

    Example:
      >>> import jax, jaxmeta
      >>> key = jax.random.key(0)
      >>> images = jax.random.uniform(key, (3, 28, 28, 1))
      >>> episode = jaxmeta.make_episode(images[:2], [0, 1], images[2:], [1])
      >>> learner = jaxmeta.relation(jaxmeta.networks.relation_embedding(width=4))
      >>> params = jax.eval_shape(learner.init, key, episode)
      >>> _, logits = jax.eval_shape(learner.loss, params, key, episode)
      >>> logits.shape
      (1, 2)
    """
    embed = as_net(embed, "embed")
    head = as_net(relation_head() if compare is None else compare, "compare")

    def init(key: Key, episode: Episode) -> Params:
        key_embed, key_compare = jax.random.split(key)
        params = embed.init(key_embed, episode.support.x)
        embedded = embed.apply(params, episode.support.x)
        classes = _class_sums(embedded, episode.support.y)
        return RelationParams(params, head.init(key_compare, embedded, classes))

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # Sums need no randomness.
        embedded, of_embed = embed.observe(params.embed, support)
        rows = class_support(support)
        sums = _class_sums(embedded, rows.y)
        pairs = (rows.is_labelled[:, None] & rows.is_present[None]).ravel()
        _, of_compare = head.observe(params.compare, Examples(embedded, rows.y), sums, pairs)
        return ClassMaps(sums, rows.is_present, RelationParams(of_embed, of_compare))

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        statistics = adapted.statistics
        queries = embed.apply(embed.under(params.embed, statistics.embed), x)
        everyone = jnp.broadcast_to(adapted.is_present, (x.shape[0], len(adapted.sums))).ravel()
        compare = head.under(params.compare, statistics.compare)
        scores = head.apply(compare, queries, adapted.sums, everyone)
        return among(scores, adapted.is_present)

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        adapted = adapt(params, key, episode.support)
        outputs = predict(params, adapted, episode.query.x)
        check_outputs(outputs, episode.query.y)
        errors = jnp.square(jax.nn.sigmoid(outputs) - episode.query.y)
        is_counted = is_labelled(episode.query)[:, None] & adapted.is_present[None]
        return masked_mean(errors, is_counted), outputs

    return ignoring_padding(Learner(init, adapt, predict, loss))


def _class_sums(embedded: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.tensordot(labels.T, embedded, axes=1)
