"""MAML for reinforcement learning.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
ICML 2017, https://arxiv.org/abs/1703.03400, section 4.2 and Algorithm 3.
Differs from the paper: TRPO's Hessian-vector products are exact, not finite differences. With
`credit_sampling` the meta-gradient also credits the actions taken before the update for what the
update leads to: Stadie, Yang, Houthooft, Chen, Duan, Wu, Abbeel & Sutskever, "Some Considerations
on Learning to Explore via Meta-Reinforcement Learning", 2018, https://arxiv.org/abs/1803.01118.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.net import NetLike, as_net, refusing_dropout
from jaxmeta.rl._rollout import rollout
from jaxmeta.rl.advantages import (
    deviation,
    discounted_returns,
    gae,
    linear_baseline,
    normalised,
)
from jaxmeta.rl.agent import Agent, Batch, Replayed, Test
from jaxmeta.rl.environment import Environment
from jaxmeta.rl.inner_losses import InnerLoss, surrogate


class Episodes(NamedTuple):
    """What one gradient step learns from."""

    observation: jax.Array  # [E, H, O]
    action: jax.Array  # [E, H, ...]
    acted: jax.Array  # [E, H], log-probability under the policy that acted
    advantages: jax.Array  # [E, H]
    is_valid: jax.Array  # [E, H]


class _Data(NamedTuple):
    support: tuple[Episodes, ...]  # K of [E, H, ...], before each inner step
    query: Episodes  # [E, H, ...], after the last
    worth: jax.Array  # scalar, mean reward of a step of the query set, for the credit


def maml_rl(
    net: NetLike,
    environment: Environment,
    *,
    inner_lr: float = 0.1,
    inner_steps: int = 1,
    episodes: int = 20,
    discount: float = 0.99,
    gae_lambda: float = 1.0,
    inner_loss: InnerLoss = surrogate,
    baseline: Callable = linear_baseline,
    normalise: bool = True,
    credit_sampling: bool = False,
    test_inner_lrs: tuple[float, ...] | None = None,
) -> Agent:
    """Learns a policy from which a few policy-gradient steps solve a new task.

    Args:
      net: maps observations `[M, O]` to logits `[M, n]` or means `[M, D]`; the logarithm of the
        standard deviation is a parameter beside it, adapted too.
      environment: tasks.
      inner_lr: step size of the inner loop (the paper's alpha).
      inner_steps: policy-gradient steps in training; 0 is training on all tasks together.
      episodes: acted for every step, and after the last one.
      discount: of rewards.
      gae_lambda: of the advantages; 1 is the return less the baseline.
      inner_loss: `rl.surrogate`, `rl.dice` or `rl.low_variance_curvature`.
      baseline: `rl.linear_baseline` or `rl.no_baseline`; fitted anew to every set of episodes.
      normalise: advantages of a set to mean 0 and standard deviation 1.
      credit_sampling: add the gradient through the distribution of the episodes adapted to.
      test_inner_lrs: step sizes of `test`, as many as it takes steps; by default three, of which
        the second and third are half as long, as in the paper.

    Returns an `Agent`; `Test.returns` are means over the episodes after 0, 1, 2, ... steps.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jaxmeta
      >>> plane = jaxmeta.rl.environments.navigation(horizon=5)
      >>> agent = maml_rl(jaxmeta.networks.mlp(2), plane, episodes=2)
      >>> goal = plane.sample(jax.random.key(0))
      >>> params = agent.init(jax.random.key(1), goal)
      >>> agent.test(params, jax.random.key(2), goal).returns.shape  # after 0 to 3 steps
      (4,)
    """
    for name, number, least in (("inner_steps", inner_steps, 0), ("episodes", episodes, 1)):
        if number < least:
            raise ValueError(f"{name} must be >= {least}, got {number}.")
    for name, share in (("discount", discount), ("gae_lambda", gae_lambda)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {share}.")
    if test_inner_lrs is None:
        test_inner_lrs = (inner_lr, inner_lr / 2, inner_lr / 2)
    actions = environment.actions
    net = refusing_dropout(as_net(net))

    def init(key, task):
        key_net, key_reset = jax.random.split(key)
        _, observation = environment.reset(key_reset, task)
        return {"net": net.init(key_net, observation[None]), "actions": actions.init()}

    def distribution(weights, observations):
        flat = observations.reshape(-1, observations.shape[-1])
        outputs = net.apply(weights["net"], flat).reshape(*observations.shape[:-1], -1)
        return actions.distribution(weights["actions"], outputs)

    def act_episodes(weights, key, task):
        def act(memory, key, seen):
            now = jax.tree.map(lambda leaf: leaf[0], distribution(weights, seen.observation[None]))
            action = now.sample(key)
            return memory, action, now.log_prob(action)

        keys = jax.random.split(key, episodes)
        return jax.vmap(lambda key: rollout(environment, act, key, task))(keys)

    def judge(trajectory):
        """The episodes with advantages, and what the advantages were divided by."""
        observation, is_valid = trajectory.seen.observation, trajectory.is_valid
        returns = jax.vmap(lambda r: discounted_returns(r, discount=discount))(trajectory.reward)
        values = baseline(observation, returns, is_valid)
        advantages = jax.vmap(
            lambda r, v, ok: gae(r, v, ok, discount=discount, gae_lambda=gae_lambda)
        )(trajectory.reward, values, is_valid)
        scale = deviation(advantages, is_valid) if normalise else jnp.ones(())
        if normalise:
            advantages = normalised(advantages, is_valid)
        parts = (trajectory.action, trajectory.extra, advantages, is_valid)
        return jax.lax.stop_gradient((Episodes(observation, *parts), scale))

    def gradient_step(weights, support, rate):
        def loss(weights):
            log_probs = distribution(weights, support.observation).log_prob(support.action)
            return inner_loss(log_probs, support.acted, support.advantages, support.is_valid)

        return jax.tree.map(lambda w, g: w - rate * g, weights, jax.grad(loss)(weights))

    def act_and_step(weights, key, task, rate):
        trajectory = act_episodes(weights, key, task)
        support, _ = judge(trajectory)
        return gradient_step(weights, support, rate), support, trajectory

    def collect(params, key, task):
        key_query, *keys = jax.random.split(key, inner_steps + 1)
        weights, support = params, []
        for key_step in keys:
            weights, before, _ = act_and_step(weights, key_step, task, inner_lr)
            support.append(before)
        trajectory = act_episodes(weights, key_query, task)
        query, scale = judge(trajectory)
        worth = jax.vmap(lambda r: discounted_returns(r, discount=discount)[0])(trajectory.reward)
        worth = jnp.sum(worth) / jnp.sum(trajectory.is_valid) / scale
        return Batch(
            _Data(tuple(support), query, worth),
            distribution(weights, query.observation),
            query.advantages,
            query.is_valid,
            None,
            jnp.mean(jnp.sum(trajectory.reward, axis=-1)),
        )

    def replay(params, batch):
        support, query, worth = batch.data
        weights, log_ratio = params, jnp.zeros(())
        for before in support:
            if credit_sampling:
                now = distribution(weights, before.observation).log_prob(before.action)
                log_ratio += jnp.sum(jnp.where(before.is_valid, now - before.acted, 0.0))
            weights = gradient_step(weights, before, inner_lr)
        after = distribution(weights, query.observation)
        credit = jnp.exp(log_ratio) * worth if credit_sampling else 0.0
        return Replayed(after, after.log_prob(query.action) - query.acted, None, credit)

    def test(params, key, task):
        weights, trajectories = params, []
        *keys, key_last = jax.random.split(key, len(test_inner_lrs) + 1)
        for key_step, rate in zip(keys, test_inner_lrs, strict=True):
            weights, _, trajectory = act_and_step(weights, key_step, task, rate)
            trajectories.append(trajectory)
        trajectories.append(act_episodes(weights, key_last, task))
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trajectories)
        return Test(jnp.mean(jnp.sum(stacked.reward, axis=-1), axis=-1), stacked)

    return Agent(init, collect, replay, test)
