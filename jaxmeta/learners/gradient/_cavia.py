"""Fast context adaptation (CAVIA).

Zintgraf, Shiarlis, Kurin, Hofmann & Whiteson, "Fast Context Adaptation via Meta-Learning",
ICML 2019, https://arxiv.org/abs/1810.03642, Algorithm 1.
Differs from the released code: no clamping of each task's outer gradient; the images' context acts
before the ReLU of the third block through factors that start at one and shifts that start at zero.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.inner import UpdateRule, check_inner_loop, inner_loop, rules
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.gradient._maml import GradientParams, set_loss
from jaxmeta.losses import LossFn, query_loss
from jaxmeta.net import as_net, random_in_loss
from jaxmeta.padding import ignoring_padding


class ContextAdapted(NamedTuple):
    """What a task leaves behind."""

    context: jax.Array  # [C]
    statistics: Any  # of the support set in the net, {} without batch normalisation


@random_in_loss("net")
def cavia(
    net: Any,
    *,
    context_size: int = 5,
    rule: UpdateRule = rules.sgd(1.0),
    inner_steps: int = 1,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    derivative: str = "reverse",
    remat: bool = True,
    transductive: bool = False,
) -> Learner:
    """Adapts a small context that is an input of the net; the weights are shared by all tasks.

    `phi_0 = 0`, `phi_{t+1} = phi_t - alpha grad_phi L(theta, phi_t)`; the outer gradient of theta
    flows through phi.

    Args:
      net: a net with a second input, the context: `init(key, x, context)` and
        `apply(params, x, context)`; `networks.mlp` and `networks.conv4` have one.
      context_size: numbers in the context, C.
      rule: how a step moves the context.
      inner_steps: gradient steps on the support set, static.
      loss_fn, derivative, remat, transductive: as for `maml`.

    Returns a `Learner` with `GradientParams`, whose adapted value is `ContextAdapted`.

    Raises:
      ValueError: `context_size` is below 1, or another value is bad.
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.cavia(jaxmeta.networks.mlp(2), context_size=3)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> adapted.context.shape, learner.predict(params, adapted, episode.query.x).shape
      ((3,), (1, 2))
    """
    check_inner_loop(rule=rule, inner_steps=inner_steps, derivative=derivative)
    at_least(1, context_size=context_size)
    net = as_net(net)

    def init(key: Key, episode: Episode) -> Params:
        key_net, key_rule = jax.random.split(key)
        zeros = jnp.zeros(context_size)
        weights = net.init(key_net, episode.support.x, zeros)
        return GradientParams(weights, rule.init_params(key_rule, zeros))

    def train(params: Params, key: Key, support: Examples) -> ContextAdapted:
        del key  # The inner loop is deterministic.

        def support_loss(context: jax.Array, _: Any) -> jax.Array:
            return set_loss(net, params.net, support, loss_fn, context)

        context, _ = inner_loop(
            rule,
            support_loss,
            params.rule,
            jnp.zeros(context_size),
            steps=inner_steps,
            derivative=derivative,
            remat=remat,
        )
        return ContextAdapted(context, {})

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        context = train(params, key, support).context
        return ContextAdapted(context, net.observe(params.net, support, context)[1])

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        return net.apply(net.under(params.net, adapted.statistics), x, adapted.context)

    loss = query_loss(train if transductive else adapt, predict, loss_fn)
    return ignoring_padding(Learner(init, adapt, predict, loss))
