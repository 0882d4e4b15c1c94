"""A simple neural attentive meta-learner (SNAIL).

Mishra, Rohaninejad, Chen & Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018,
https://arxiv.org/abs/1707.03141, sections 3 and 5.1.
Differs from the paper: batch normalisation in the embedding by the support set's statistics. The
support set comes in an order drawn from the key of `adapt`; nothing else known.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, query_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.networks import CausalAttention, TemporalBlock, causal_attention, temporal_block
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import as_support


class Sequence(NamedTuple):
    """What a task leaves behind: the support set as a sequence, embedded, with its labels."""

    steps: jax.Array  # [S, D + N]
    is_valid: jax.Array  # [S] bool
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


class _Snail(nn.Module):
    """The blocks of section 5.1, from `[T - 1, D + N]` and `[Q, D + N]` to logits `[Q, N]`."""

    n_way: int
    filters: int
    attention: tuple[tuple[int, int], ...]

    @nn.compact
    def __call__(self, x: jax.Array, last: jax.Array, is_valid: jax.Array) -> jax.Array:
        length = len(x) + 1
        for number, (key_size, value_size) in enumerate(self.attention):
            if number:
                x, last = TemporalBlock(length, self.filters, name=f"temporal_{number - 1}")(
                    x, last
                )
            block = CausalAttention(key_size, value_size, name=f"attention_{number}")
            x, last = block(x, last, is_valid)
        return nn.Dense(self.n_way, name="head")(last)


@random_in_loss("embed")
def snail(
    embed: NetLike,
    *,
    filters: int = 128,
    attention: tuple[tuple[int, int], ...] = ((64, 32), (256, 128), (512, 256)),
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Classifies the last element of a sequence of labelled examples.

    The sequence has `T = N K + 1` steps: the support set, embeddings with their labels, then one
    query with zeros for its label. With the paper's sizes it goes through
    `Attention(64, 32), TC(T, 128), Attention(256, 128), TC(T, 128), Attention(512, 256)` and a
    linear layer. The blocks are causal, so the support set passes once, whatever the number of
    queries, and each query follows it by itself.

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`; the paper's for Omniglot is Conv4-64 with a
        linear layer of 64, `networks.conv4(64)`.
      filters: of each dense block.
      attention: sizes of keys and values of each attention block; between any two stands a
        temporal block.
      loss_fn: loss per example of the last step's logits.

    Returns a `Learner` whose adapted value is `Sequence`. The number of dense blocks follows from
    the support set given to `init`, and every other support set must call for the same number.

    Raises:
      ValueError: a size is below 1; or, when called, the support set is too long or too short for
        the parameters.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.snail(jaxmeta.networks.mlp(64))
      >>> params = jax.eval_shape(learner.init, key, episode)
      >>> _, logits = jax.eval_shape(learner.loss, params, key, episode)
      >>> logits.shape
      (1, 2)
    """
    embed = as_net(embed, "embed")
    temporal_block(2, filters)
    for key_size, value_size in attention:
        causal_attention(key_size, value_size)

    def net(n_way: int) -> _Snail:
        return _Snail(n_way, filters, tuple(attention))

    def init(key: Key, episode: Episode) -> Params:
        key_embed, key_net = jax.random.split(key)
        support = as_support(episode.support)
        params = embed.init(key_embed, support.x)
        steps = _steps(embed.apply(params, support.x), support.y)
        return {
            "embed": params,
            "net": net(support.y.shape[1]).init(key_net, steps, steps[:1], support.is_valid),
        }

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        _check_length(params["net"]["params"], len(support.x) + 1)
        embedded, statistics = embed.observe(params["embed"], support)
        rows = as_support(support)
        # Padding is no step: zeros that nobody attends to.
        steps = jnp.where(rows.is_valid[:, None], _steps(embedded, rows.y), 0)
        order = jax.random.permutation(key, len(steps))
        return Sequence(steps[order], rows.is_valid[order], statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        embedded = embed.apply(embed.under(params["embed"], adapted.statistics), x)
        n_way = adapted.steps.shape[1] - embedded.shape[1]
        last = _steps(embedded, jnp.zeros((x.shape[0], n_way), embedded.dtype))
        logits: Any = net(n_way).apply(params["net"], adapted.steps, last, adapted.is_valid)
        return logits

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))


def _steps(embedded: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.concatenate([embedded, y.astype(embedded.dtype)], axis=1)


def _check_length(params: Params, length: int) -> None:
    if "temporal_0" not in params:
        return
    layers = len(params["temporal_0"])
    if not 2 ** (layers - 1) < length <= 2**layers:
        raise ValueError(
            f"the parameters are for {2 ** (layers - 1)} to {2**layers - 1} support rows, "
            f"got {length - 1}."
        )
