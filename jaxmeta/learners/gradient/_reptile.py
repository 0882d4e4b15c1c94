"""Reptile.

Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018,
https://arxiv.org/abs/1803.02999, Algorithms 1 and 2.
Differs from the released code: the inner optimiser's moments start anew at each task, where that
code carries them from one training task to the next.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.inner import UpdateRule, check_inner_loop, inner_loop, rules
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.gradient._maml import GradientParams, observed, set_loss
from jaxmeta.losses import LossFn, mean_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import is_valid_row


@random_in_loss("net")
def reptile(
    net: NetLike,
    *,
    rule: UpdateRule = rules.sgd(0.01),
    inner_steps: int = 5,
    batch_size: int | None = None,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Moves the initialisation towards the weights that each task's training ends at.

    `phi <- phi + epsilon (phi_k - phi)`: the meta-gradient is `phi - phi_k`, so epsilon is the rate
    of an outer `optax.sgd`. The value of `loss` is the true query loss.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      rule: how a step moves the weights; the paper's is
        `rules.from_optax(optax.adam(1e-3, b1=0))`.
      inner_steps: the paper's k; static.
      batch_size: support rows per step, drawn by shuffling the support set anew each time it has
        been gone through, without its padding; None takes all of them at every step.
      loss_fn: loss per example, as optax's.

    Returns a `Learner` with `GradientParams`, whose adapted value is as `maml`'s.

    Raises:
      ValueError: a bad value; at tracing, a `batch_size` over the number of support rows.

    Example:
      >>> import jax, jaxmeta, optax
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> rule = jaxmeta.rules.from_optax(optax.adam(1e-3, b1=0))
      >>> learner = jaxmeta.reptile(jaxmeta.networks.mlp(2), rule=rule, inner_steps=2, batch_size=1)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    check_inner_loop(rule=rule, inner_steps=inner_steps, derivative="first_order")
    at_least(1, batch_size=batch_size)
    net = as_net(net)

    def init(key: Key, episode: Episode) -> Params:
        key_net, key_rule = jax.random.split(key)
        weights = net.init(key_net, episode.support.x)
        return GradientParams(weights, rule.init_params(key_rule, weights))

    def train(params: Params, key: Key, support: Examples) -> Any:
        rows = None
        if batch_size is not None:
            rows = _minibatches(key, is_valid_row(support), batch_size, inner_steps)

        def support_loss(weights: Any, rows: jax.Array) -> jax.Array:
            batch = support if rows is None else jax.tree.map(lambda leaf: leaf[rows], support)
            return set_loss(net, weights, batch, loss_fn)

        weights, _ = inner_loop(
            rule,
            support_loss,
            params.rule,
            params.net,
            steps=inner_steps,
            batches=rows,
            derivative="first_order",
        )
        return weights

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        return observed(net, train(params, key, support), support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return net.apply(adapted, x)

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        fixed = jax.lax.stop_gradient(params)
        weights = train(fixed, key, episode.support)
        outputs = predict(fixed, observed(net, weights, episode.support), episode.query.x)
        value = mean_loss(loss_fn, outputs, episode.query)
        direction = jax.tree.map(jnp.subtract, fixed.net, weights)
        carrier = optax.tree.vdot(params.net, direction)
        return value + carrier - jax.lax.stop_gradient(carrier), outputs

    return ignoring_padding(Learner(init, adapt, predict, loss))


def _minibatches(key: Key, is_valid: jax.Array, batch_size: int, steps: int) -> jax.Array:
    """Row numbers `[steps, batch_size]`, epoch after shuffled epoch of the rows that are valid."""
    n_rows = len(is_valid)
    if batch_size > n_rows:
        raise ValueError(f"batch_size must be at most the {n_rows} support rows, got {batch_size}.")
    drawn = steps * batch_size

    def epoch(key: Key) -> jax.Array:
        order = jax.random.permutation(key, n_rows)
        return order[jnp.argsort(~is_valid[order], stable=True)]  # Padding comes last.

    # An epoch ends with its valid rows, of which there may be a single one.
    rows = jax.vmap(epoch)(jax.random.split(key, max(drawn, 1)))
    n_valid = jnp.maximum(jnp.sum(is_valid), 1)
    turns = jnp.arange(drawn)
    return rows[turns // n_valid, turns % n_valid].reshape(steps, batch_size)
