"""Siamese networks.

Koch, Zemel & Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", ICML Deep
Learning Workshop 2015, section 3.
Differs from the paper: the pairs are those of an episode's query with its support rows, equal and
unequal pairs weighing a half each in place of being drawn in equal numbers; the weights of the L1
distance start negative, the further apart the less alike; no weight decay and no layer-wise rates;
any embedding (`networks.siamese_embedding` has the paper's sigmoid units); batch normalisation,
where the embedding has it, uses the support set's statistics. K shots are averaged, as in later
work; the paper has one.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._log_means import log_means
from jaxmeta.losses import among, check_outputs, masked_mean
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support, is_labelled

FIRST_BIAS = 2.0  # Equal inputs start with a probability of 0.88.


class SiameseParams(NamedTuple):
    """Meta-parameters of `siamese`."""

    embed: Any
    head: Any  # the weights alpha_j and the bias of the L1 distance


class Twins(NamedTuple):
    """What a task leaves behind: the rows that queries are paired with."""

    embedded: jax.Array  # [S, D]
    labels: jax.Array  # [S, N], zero for rows without a label
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


@random_in_loss("embed")
def siamese(embed: NetLike) -> Learner:
    """Learns whether two inputs are of one class; classifies by the likeliest twin.

    `p(x, x') = sigmoid(sum_j alpha_j |f_j(x) - f_j(x')| + b)`. A class has the mean of p over its
    support rows.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`.

    Returns a `Learner` with `SiameseParams` whose adapted value is `Twins`. Its outputs `[M, N]`
    are the log-odds of that mean, each class by itself: `sigmoid` gives p, and its `loss` is the
    cross-entropy of pairs.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.siamese(jaxmeta.networks.mlp(4, hidden=(8,)))
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> odds = learner.predict(params, adapted, episode.query.x)
      >>> jax.nn.sigmoid(odds).shape  # the probability of each class, by itself
      (1, 2)
    """
    embed = as_net(embed, "embed")
    head = nn.Dense(1, kernel_init=_negative, bias_init=nn.initializers.constant(FIRST_BIAS))

    def init(key: Key, episode: Episode) -> Params:
        key_embed, key_head = jax.random.split(key)
        params = embed.init(key_embed, episode.support.x)
        embedded = embed.apply(params, episode.support.x)
        return SiameseParams(params, head.init(key_head, embedded))

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # Pairs need no randomness.
        embedded, statistics = embed.observe(params.embed, support)
        return Twins(embedded, class_support(support).y, statistics)

    def pair_scores(params: Params, adapted: Adapted, x: jax.Array) -> jax.Array:
        """Log-odds `[M, S]` that each query and each support row are of one class."""
        embedded = embed.apply(embed.under(params.embed, adapted.statistics), x)
        scores: Any = head.apply(params.head, jnp.abs(embedded[:, None] - adapted.embedded[None]))
        return scores[..., 0]

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        return _class_scores(pair_scores(params, adapted, x), adapted.labels)

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        query = episode.query
        adapted = adapt(params, key, episode.support)
        scores = pair_scores(params, adapted, query.x)  # [Q, S]
        outputs = _class_scores(scores, adapted.labels)
        check_outputs(outputs, query.y)
        is_twin = query.y @ adapted.labels.T
        losses = optax.sigmoid_binary_cross_entropy(scores, is_twin)
        counts = is_labelled(query)[:, None] & (jnp.sum(adapted.labels, axis=1) > 0)[None]
        equal, unequal = (masked_mean(losses, counts & (is_twin == same)) for same in (1, 0))
        return (equal + unequal) / 2, outputs

    return ignoring_padding(Learner(init, adapt, predict, loss))


def _negative(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return -jnp.abs(nn.initializers.lecun_normal()(key, shape, dtype))


def _class_scores(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Log-odds `[M, N]` of the mean probability over each class's rows, from `[M, S]`."""
    counts = jnp.sum(labels, axis=0)
    present = counts > 0
    means = labels / jnp.where(present, counts, 1)[None]  # [S, N]
    twin, stranger = (log_means(jax.nn.log_sigmoid(part), means) for part in (scores, -scores))
    return among(twin - stranger, present)
