"""Learned optimiser: a recurrent net that trains other nets.

Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NeurIPS 2016,
https://arxiv.org/abs/1606.04474, equations 2 and 3.
Differs from the paper: the mean over steps in place of the sum (Adam does not see the factor); one
outer update from all windows of a trajectory, where the released code makes one after each window.
"""

from collections.abc import Callable
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


@random_in_loss("net")
def learned_optimizer(
    net: NetLike,
    *,
    rule: UpdateRule | None = None,
    inner_steps: int = 100,
    unroll: int = 20,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Learns an update rule for nets that start anew, at random, with every task.

    The loss is that of the query set, averaged over the trajectory theta_1, ..., theta_T; gradients
    fed to the rule are constants, and the outer gradient is cut every `unroll` steps. Where support
    and query set are one, as for `tasks.quadratic`, it is the paper's `sum_t f(theta_t)`.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      rule: the rule to learn, by default `rules.coordinatewise_lstm()`.
      inner_steps: updates in training, static; a learner built with more uses the same parameters.
      unroll: steps of a window of truncated backpropagation.
      loss_fn: loss per example, as optax's.

    Returns a `Learner` with `GradientParams`, `net` being `{}`, whose adapted value is the net's
    parameters. Key and support set decide the start; `loss` and `adapt` with one key agree.

    Raises:
      ValueError: `inner_steps` or `unroll` is below 1.
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.learned_optimizer(jaxmeta.networks.mlp(2), inner_steps=4, unroll=2)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> params.net, learner.predict(params, adapted, episode.query.x).shape
      ({}, (1, 2))
    """
    whole = rules.coordinatewise_lstm() if rule is None else rule
    check_inner_loop(rule=whole, inner_steps=inner_steps, derivative="first_order")
    at_least(1, inner_steps=inner_steps)
    windowed = rules.truncated(whole, unroll)
    net = as_net(net)

    def init(key: Key, episode: Episode) -> Params:
        key_net, key_rule = jax.random.split(key)
        return GradientParams({}, whole.init_params(key_rule, net.init(key_net, episode.support.x)))

    def train(
        params: Params, key: Key, support: Examples, observe: Callable | None = None
    ) -> tuple[Any, Any]:
        return inner_loop(
            windowed,
            lambda weights, _: set_loss(net, weights, support, loss_fn),
            params.rule,
            # Flax draws float32 whatever the precision of everything else.
            jax.tree.map(lambda leaf: leaf.astype(support.x.dtype), net.init(key, support.x)),
            steps=inner_steps,
            observe=observe,
            derivative="first_order",
        )

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        return observed(net, train(params, key, support)[0], support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return net.apply(adapted, x)

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        support, query = episode

        def query_loss(weights: Any, _: Any) -> jax.Array:
            outputs = net.apply(observed(net, weights, support), query.x)
            return mean_loss(loss_fn, outputs, query)

        weights, losses = train(params, key, support, query_loss)
        return jnp.mean(losses), net.apply(observed(net, weights, support), query.x)

    return ignoring_padding(Learner(init, adapt, predict, loss))
