"""Pretrain, then adapt: a classifier of all training classes whose features serve new ones.

Chen, Liu, Kira, Wang & Huang, "A Closer Look at Few-shot Classification", ICLR 2019,
https://arxiv.org/abs/1904.04232, section 3.1 (Baseline); Tian et al., "Rethinking Few-Shot Image
Classification", ECCV 2020, https://arxiv.org/abs/2003.11539, equation 4 (RFS); Chen, Liu, Xu,
Darrell & Wang, "Meta-Baseline", ICCV 2021, https://arxiv.org/abs/2003.04390, section 3
(Classifier-Baseline, with cosine class means for `head`).
Differs from the papers: nothing known.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._logistic_regression import logistic_regression
from jaxmeta.losses import LossFn, mean_loss, wide
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import is_labelled


class WholeParams(NamedTuple):
    """Parameters of a classifier of all training classes."""

    embed: Any
    kernel: jax.Array  # [D, C] of the classifier
    bias: jax.Array  # [C]
    statistics: Any  # averages of the embedding's batch statistics, which `averaging` moves


class OnStatistics(NamedTuple):
    """What a task leaves behind."""

    head: Any  # the adapted value of the head
    statistics: Any  # those of the parameters, {} without batch normalisation


@random_in_loss("embed")
def whole_classification(
    embed: NetLike,
    *,
    head: Learner | None = None,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Learns to tell all training classes apart, and gives the features to a few-shot head.

    `loss` is that of a linear classifier of the query rows, whose columns of labels are the C
    training classes (`tasks.whole_batches`); the support set has no part in it. `adapt` fits the
    head to the features of the support set, and the classifier is not used any more. Batch
    normalisation uses the batch's statistics in `loss`, and their average over training after it.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`.
      head: a `Learner` of features, without parameters; by default
        `learners.metric.logistic_regression()`, as in RFS.
      loss_fn: loss per example of the classifier's logits; with label smoothing it is
        `lambda logits, y: optax.softmax_cross_entropy(logits, optax.smooth_labels(y, 0.1))`.

    Returns a `Learner` with `WholeParams` whose adapted value is `OnStatistics`. The outer
    optimiser is to be wrapped in `averaging`.

    Raises:
      ValueError: by `init`, `head` has parameters of its own.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta.learners.metric import whole_classification
      >>> learner = whole_classification(jaxmeta.networks.mlp(4, hidden=(8,)))
      >>> key, x = jax.random.key(0), jax.numpy.ones((6, 3))
      >>> batch = jaxmeta.Examples(x, jax.numpy.eye(6))  # one image of each of six classes
      >>> params = learner.init(key, jaxmeta.Episode(batch, batch))
      >>> task = jaxmeta.make_episode(x[:2], [0, 1], x[2:3], [1])
      >>> adapted = jax.eval_shape(learner.adapt, params, key, task.support)
      >>> jax.eval_shape(learner.predict, params, adapted, task.query.x).shape
      (1, 2)
    """
    embed = as_net(embed, "embed")
    few_shot = logistic_regression() if head is None else head

    def init(key: Key, episode: Episode) -> Params:
        key_embed, key_kernel, key_head = jax.random.split(key, 3)
        params = embed.init(key_embed, episode.query.x)
        embedded, statistics = embed.observe(params, episode.query)
        batch = episode.query._replace(x=embedded)
        if jax.tree.leaves(few_shot.init(key_head, episode._replace(support=batch, query=batch))):
            raise ValueError("head must be a learner without parameters, and this one has some.")
        shape = embedded.shape[1], episode.query.y.shape[1]
        kernel = jax.nn.initializers.glorot_uniform()(key_kernel, shape, embedded.dtype)
        return WholeParams(params, kernel, jnp.zeros(shape[1], embedded.dtype), statistics)

    def features(params: Params, x: jax.Array) -> jax.Array:
        return embed.apply(embed.under(params.embed, params.statistics), x)

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        embedded = support._replace(x=features(params, support.x))
        return OnStatistics(few_shot.adapt({}, key, embedded), params.statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        params = params._replace(statistics=adapted.statistics)
        return few_shot.predict({}, adapted.head, features(params, x))

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        del key
        batch = episode.query._replace(is_valid=is_labelled(episode.query))
        embedded, statistics = embed.observe(params.embed, batch)
        logits = embedded @ params.kernel + params.bias[None]
        # The derivative is the way from this batch's statistics to the averages; the value is zero.
        way = jax.tree.map(
            lambda old, new: jnp.sum(wide(old) * wide(jax.lax.stop_gradient(old - new))),
            params.statistics,
            statistics,
        )
        way = sum(jax.tree.leaves(way), jnp.zeros(()))
        value = mean_loss(loss_fn, logits, batch)
        return value + way - jax.lax.stop_gradient(way), logits

    return ignoring_padding(Learner(init, adapt, predict, loss))


def averaging(tx: optax.GradientTransformation, rate: float = 0.1) -> optax.GradientTransformation:
    """The outer optimiser `tx` for `WholeParams`: batch statistics are averaged, and not learned.

    Args:
      tx: of all other parameters.
      rate: share of the newest batch in the average.

    Example:
      >>> import optax
      >>> tx = averaging(optax.adamw(1e-3, weight_decay=5e-4))
    """
    labels = WholeParams(*cast(tuple[Any, ...], ("learned",) * 3 + ("averaged",)))
    return optax.partition({"learned": tx, "averaged": optax.sgd(rate)}, labels)
