"""Matching networks.

Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016,
https://arxiv.org/abs/1606.04080, equations 1 to 6.
Differs from the paper: batch normalisation uses the support set's statistics for both sets. With
full context the support rows are read in the order given, the paper naming none; `tasks.episodes`
gives the classes in random order.
"""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._distances import similarity
from jaxmeta.learners.metric._log_means import log_means
from jaxmeta.losses import LossFn, among, query_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support


class MatchingParams(NamedTuple):
    """Meta-parameters of `matching`."""

    embed: Any  # f' and g'
    support: Any  # of the LSTMs over the support set; {} without full context
    query: Any  # of the LSTM over queries; {} without full context


class Attended(NamedTuple):
    """What a task leaves behind: the rows that queries attend to."""

    embedded: jax.Array  # [S, D], the paper's g(x_i, S)
    labels: jax.Array  # [S, N], zero for rows without a label
    is_valid: jax.Array  # [S] bool
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


@random_in_loss("embed")
def matching(
    embed: NetLike,
    *,
    full_context: bool = False,
    processing_steps: int = 3,
    scale: float = 1.0,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Classifies by attention over the labelled support rows.

    `P(y | x, S) = sum_i a(x, x_i) y_i` with `a = softmax_i scale cos(f(x), g(x_i))` (equation 1).

    Args:
      embed: maps `[M, *X]` to embeddings `[M, D]`; both `f'` and `g'`.
      full_context: embed each support row in the light of all others, by a bidirectional LSTM over
        the set, and each query in the light of the set, by an LSTM that reads from it (section
        2.1.2 and the appendix). The result then depends on the order of the support rows.
      processing_steps: how often a query's LSTM reads, with full context.
      scale: factor of the cosines, 1 in the paper. There the likeliest of 20 classes has a
        probability of 0.28 at most; later work takes 10 and more.
      loss_fn: loss per example of the logarithms of the probabilities.

    Returns a `Learner` with `MatchingParams` whose adapted value is `Attended` and whose outputs
    are log-probabilities `[M, N]`: softmax gives the probabilities back. A class without labelled
    support rows has probability zero.

    Raises:
      ValueError: `processing_steps` is below 1, or `scale` is not finite and positive.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.matching(jaxmeta.networks.mlp(4, hidden=(8,)), scale=10.0)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> outputs = learner.predict(params, adapted, episode.query.x)
      >>> round(float(jax.numpy.exp(outputs).sum()), 4)
      1.0
    """
    at_least(1, processing_steps=processing_steps)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and > 0, got {scale}.")
    embed = as_net(embed, "embed")
    support_context, query_context = _SupportContext(), _QueryContext(processing_steps)

    def init(key: Key, episode: Episode) -> Params:
        key_embed, key_support, key_query = jax.random.split(key, 3)
        params = embed.init(key_embed, episode.support.x)
        if not full_context:
            return MatchingParams(params, {}, {})
        embedded = embed.apply(params, episode.support.x)
        is_valid = jnp.ones(len(embedded), bool)
        return MatchingParams(
            params,
            support_context.init(key_support, embedded, jnp.sum(is_valid)),
            query_context.init(key_query, embedded, embedded, is_valid),
        )

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # Attention needs no randomness.
        embedded, statistics = embed.observe(params.embed, support)
        rows = class_support(support)
        if full_context:
            order = jnp.argsort(~rows.is_valid, stable=True)  # Padding comes last.
            encoded = support_context.apply(params.support, embedded[order], jnp.sum(rows.is_valid))
            embedded = embedded.at[order].set(encoded)
        return Attended(embedded, rows.y, rows.is_valid, statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        embedded = embed.apply(embed.under(params.embed, adapted.statistics), x)
        if full_context:
            embedded = query_context.apply(
                params.query, embedded, adapted.embedded, adapted.is_valid
            )
        cosines = similarity(embedded, adapted.embedded)  # [M, S]
        return _log_attention(scale * cosines, adapted.labels)

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))


def _log_attention(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """`log sum_i softmax(scores)_i y_i`, `[M, N]`, over the rows that have a label."""
    total = jnp.sum(labels, axis=1)  # [S]
    present = jnp.sum(labels, axis=0) > 0
    attention = jax.nn.log_softmax(among(scores, total > 0))
    return among(log_means(attention, labels), present)


class _SupportContext(nn.Module):
    """`g = g' + h_forward + h_backward` (appendix, "The Fully Conditional Embedding g")."""

    @nn.compact
    def __call__(self, embedded: jax.Array, n_valid: jax.Array) -> jax.Array:
        """Rows `[S, D]` of which the first `n_valid` count."""
        width = embedded.shape[1]
        both = nn.Bidirectional(
            nn.RNN(nn.OptimizedLSTMCell(width)),
            nn.RNN(nn.OptimizedLSTMCell(width)),
            merge_fn=jnp.add,
        )
        zeros = jnp.zeros((1, width), embedded.dtype)
        start = ((zeros, zeros), (zeros, zeros))
        outputs = both(embedded[None], initial_carry=start, seq_lengths=n_valid[None])
        return embedded + outputs[0]


class _QueryContext(nn.Module):
    """`h_k = LSTM(f', [h_{k-1}, r_{k-1}], c_{k-1}) + f'` (equations 3 to 6)."""

    processing_steps: int

    @nn.compact
    def __call__(self, queries: jax.Array, support: jax.Array, is_valid: jax.Array) -> jax.Array:
        """Queries `[M, D]` by themselves, each reading from the valid support rows `[S, D]`."""

        def process(cell: Any, carry: Any, _: Any) -> tuple:
            c, h = carry
            weights = jax.nn.softmax(among(h @ support.T, is_valid))
            # The gates are linear in [f', h, r], so the read-out may enter beside f'.
            inputs = jnp.concatenate([queries, weights @ support], axis=1)
            (c, output), _ = cell((c, h), inputs)
            return (c, output + queries), None

        scan = nn.scan(
            process,
            variable_broadcast="params",
            split_rngs={"params": False},
            length=self.processing_steps,
        )
        # Zero at first, so the first read-out is the mean of the set.
        start = (jnp.zeros_like(queries), jnp.zeros_like(queries))
        (_, h), _ = scan(nn.OptimizedLSTMCell(queries.shape[1]), start, None)
        return h
