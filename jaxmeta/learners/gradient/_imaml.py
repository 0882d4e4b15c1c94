"""Implicit MAML (iMAML).

Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019,
https://arxiv.org/abs/1909.04630, Algorithms 1 and 2.
Differs from the released code, which takes unregularised steps and one proximal step at the end,
and adds 10 to lambda in the linear system: here, as in the paper, all steps are on the regularised
loss and the system is `I + H / lambda`, with the damping that is asked for.
"""

import math
from typing import Any

import jax
import optax

from jaxmeta.checks import at_least
from jaxmeta.inner import UpdateRule, check_inner_loop, proximal_solution, rules
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.gradient._maml import GradientParams, observed, set_loss
from jaxmeta.losses import LossFn, query_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding


@random_in_loss("net")
def imaml(
    net: NetLike,
    *,
    rule: UpdateRule = rules.sgd(0.1),
    inner_steps: int = 16,
    lam: float = 2.0,
    cg_steps: int = 5,
    damping: float = 0.0,
    loss_fn: LossFn = optax.softmax_cross_entropy,
    transductive: bool = False,
) -> Learner:
    """Learns a point near which every task has its solution.

    `phi = argmin L(w) + lam/2 |w - theta|^2`; the meta-gradient `(I + H/lam)^-1 grad L_query(phi)`
    needs phi alone, not the way there. It is exact where the solver and the conjugate gradients
    have converged.

    Args:
      net: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`.
      rule: inner solver, without learned parameters.
      inner_steps: its steps, static; memory does not grow with them.
      lam: strength of the regularisation, the paper's lambda.
      cg_steps: conjugate-gradient steps at most.
      damping: added to the identity in the linear system.
      loss_fn: loss per example, as optax's.
      transductive: as for `maml`.

    Returns a `Learner` with `GradientParams`, whose adapted value is as `maml`'s.

    Raises:
      ValueError: `inner_steps`, `cg_steps` or `damping` is negative, or `lam` not positive.
      TypeError: `inner_steps` is not an int.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.imaml(jaxmeta.networks.mlp(2), inner_steps=4, lam=2.0)
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    check_inner_loop(rule=rule, inner_steps=inner_steps, derivative="first_order")
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"lam must be finite and > 0, got {lam}.")
    at_least(0, cg_steps=cg_steps, damping=damping)

    net = as_net(net)

    def init(key: Key, episode: Episode) -> Params:
        return GradientParams(net.init(key, episode.support.x), {})

    def train(params: Params, key: Key, support: Examples) -> Any:
        del key  # The solver is deterministic.
        return proximal_solution(
            rule,
            lambda weights: set_loss(net, weights, support, loss_fn),
            params.net,
            steps=inner_steps,
            lam=lam,
            cg_steps=cg_steps,
            damping=damping,
        )

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        return observed(net, train(params, key, support), support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        return net.apply(adapted, x)

    loss = query_loss(train if transductive else adapt, predict, loss_fn)
    return ignoring_padding(Learner(init, adapt, predict, loss))
