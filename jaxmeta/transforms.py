"""Learners from learners: how the queries of an episode meet each other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.batch_statistics import STATISTICS
from jaxmeta.learner import Examples, Learner
from jaxmeta.net import Under


class Accompanied(NamedTuple):
    """What a task leaves behind, and the rows that a query is predicted in the company of."""

    adapted: Any
    company: jax.Array  # [S, *X] the support set's inputs, or [0, *X]


def transductive(learner: Learner) -> Learner:
    """The learner that normalises all queries of an episode together, as in many papers.

    `adapt` leaves the support set's batch statistics out, so `predict` takes those of its queries:
    each prediction depends on the other queries. `loss` stays as it is; the gradient family has an
    argument of this name for training.

    Example:
      >>> import jax, jaxmeta
      >>> learner = jaxmeta.transductive(jaxmeta.maml(jaxmeta.networks.mlp(2, normalise=True)))
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9], [0.1]], [1, 0])
      >>> key = jax.random.key(0)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> "statistics" in adapted
      False
    """

    def adapt(params, key, support):
        return _forgotten(learner.adapt(params, key, support))

    return learner._replace(adapt=adapt)


def one_query_at_a_time(learner: Learner) -> Learner:
    """The learner that predicts each query as if it came alone, whatever its net does with a set.

    Where `adapt` gives batch statistics of the support set a query needs no company; where it gives
    none, a net might still mix its rows, so each query comes with the support set's inputs and
    with nothing else. `loss` stays as it is.

    Returns a `Learner` whose adapted value is `Accompanied`.

    Example:
      >>> import jax, jaxmeta
      >>> learner = jaxmeta.one_query_at_a_time(jaxmeta.prototypical(jaxmeta.networks.mlp(2)))
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9], [0.1]], [1, 0])
      >>> key = jax.random.key(0)
      >>> params = learner.init(key, episode)
      >>> learner.adapt(params, key, episode.support).company.shape
      (2, 1)
    """

    def adapt(params, key, support):
        adapted = learner.adapt(params, key, support)
        leaves = jax.tree.leaves
        is_observed = len(leaves(adapted)) > len(leaves(_forgotten(adapted)))
        return Accompanied(adapted, support.x[:0] if is_observed else company_of(support))

    def predict(params, adapted, x):
        def predict_one(row):
            batch = jnp.concatenate([adapted.company, row[None]])
            return learner.predict(params, adapted.adapted, batch)[-1]

        return jax.vmap(predict_one)(x)

    return learner._replace(adapt=adapt, predict=predict)


def company_of(support: Examples) -> jax.Array:
    """The inputs `[S, *X]` of a support set in whose company a query is predicted.

    Valid rows take the places of padding in turn: what padding holds never enters, and averages
    over the company stay near those of the valid rows.
    """
    if support.is_valid is None:
        return support.x
    order = jnp.argsort(~support.is_valid, stable=True)
    n_valid = jnp.maximum(jnp.sum(support.is_valid), 1)
    rows = support.x[order[jnp.arange(len(order)) % n_valid]]
    return jnp.where(jnp.any(support.is_valid), rows, jnp.zeros_like(rows))


def _forgotten(tree):
    """The same tree with all batch statistics emptied, at any depth."""
    if isinstance(tree, Under):
        return tree.params
    if isinstance(tree, dict):
        return {key: _forgotten(value) for key, value in tree.items() if key != STATISTICS}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(_forgotten, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(_forgotten, tree))
    return tree
