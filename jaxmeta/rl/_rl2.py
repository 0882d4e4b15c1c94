"""Fast reinforcement learning via slow reinforcement learning (RL^2).

Duan, Schulman, Chen, Bartlett, Sutskever & Abbeel, "RL^2: Fast Reinforcement Learning via Slow
Reinforcement Learning", 2016, https://arxiv.org/abs/1611.02779; Wang, Kurth-Nelson, Tirumala,
Soyer, Leibo, Munos, Blundell, Kumaran & Botvinick, "Learning to Reinforcement Learn", 2016,
https://arxiv.org/abs/1611.05763.
Differs from the papers: where Duan et al. take TRPO with a net of its own for the values, values
are a linear function of the policy's features and the update is `rl.ppo`, or `rl.a2c` as in Wang et
al.; they are learned in units of the discounted number of steps left, a mean reward.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl._rollout import returns_by_episode, rollout
from jaxmeta.rl.advantages import discounted_returns, gae
from jaxmeta.rl.agent import Agent, Batch, Replayed, Test
from jaxmeta.rl.environment import Environment
from jaxmeta.rl.recurrent import MemoryPolicy


class _Data(NamedTuple):
    inputs: jax.Array  # [T, I]
    action: jax.Array  # [T, ...]
    acted: jax.Array  # [T], log-probability under the parameters that acted


def rl2(
    policy: MemoryPolicy,
    environment: Environment,
    *,
    episodes: int,
    discount: float = 0.99,
    gae_lambda: float = 0.3,
) -> Agent:
    """Learns a memory that learns: trained on whole trials, each some episodes in one task.

    A step reads observation, last action, last reward and whether an episode has just ended. The
    memory is kept over the episodes of a trial and empty at its start. The objective is the
    discounted return of the trial, over the ends of episodes.

    Args:
      policy: `rl.gru(256)`, `rl.lstm(48)`, `rl.snail()` or `rl.transformer()`.
      environment: tasks.
      episodes: of a trial.
      discount: of rewards.
      gae_lambda: of the advantages.

    Returns an `Agent`; `Test.returns` are those of each episode of a trial.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> from jaxmeta.rl import gru
      >>> from jaxmeta.rl.environments import bernoulli_bandits
      >>> bandits = bernoulli_bandits(5)
      >>> agent = rl2(gru(8), bandits, episodes=10)
      >>> arms = bandits.sample(jax.random.key(0))
      >>> params = agent.init(jax.random.key(1), arms)
      >>> agent.test(params, jax.random.key(2), arms).returns.shape  # of each pull
      (10,)
    """
    at_least(1, episodes=episodes)
    for name, share in (("discount", discount), ("gae_lambda", gae_lambda)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {share}.")
    actions, length = environment.actions, episodes * environment.horizon

    def steps_left():
        return discounted_returns(jnp.ones(length), discount=discount)

    def init(key, task):
        key_policy, key_reset, key_start = jax.random.split(key, 3)
        _, observation = environment.reset(key_reset, task)
        width = len(observation) + len(actions.nothing()) + 2
        inputs = jnp.zeros((length, width))
        params = policy.init(key_policy, inputs)
        _, features = policy.step(params, policy.start(params, length), inputs[0])
        n_outputs = actions.n_outputs + 1  # The last one is the value.
        # Small weights: the first policy is nearly uniform, the first values nearly zero.
        kernel = 0.01 * jax.random.normal(key_start, (len(features), n_outputs))
        head = {"kernel": kernel, "bias": jnp.zeros(n_outputs)}
        return {"policy": params, "head": head, "actions": actions.init()}

    def read(params, features):
        """Distribution of actions, and values per step left."""
        outputs = features @ params["head"]["kernel"] + params["head"]["bias"]
        return actions.distribution(params["actions"], outputs[..., :-1]), outputs[..., -1]

    def trial(params, key, task):
        def act(memory, key, seen):
            inputs = jnp.concatenate(
                [seen.observation, seen.action, seen.reward[None], seen.done[None]]
            )
            memory, features = policy.step(params["policy"], memory, inputs)
            now, mean = read(params, features)
            action = now.sample(key)
            return memory, action, (inputs, now, now.log_prob(action), mean)

        start = policy.start(params["policy"], length)
        return rollout(environment, act, key, task, start, episodes=episodes)

    def collect(params, key, task):
        trajectory = jax.lax.stop_gradient(trial(params, key, task))
        inputs, acted_by, log_prob, means = trajectory.extra
        values = means * steps_left()
        is_valid = trajectory.is_valid
        advantages = gae(
            trajectory.reward, values, is_valid, discount=discount, gae_lambda=gae_lambda
        )
        return Batch(
            _Data(inputs, trajectory.action, log_prob),
            acted_by,
            advantages,
            is_valid,
            (advantages + values) / steps_left(),
            jnp.sum(trajectory.reward),
        )

    def replay(params, batch):
        inputs, action, acted = batch.data
        now, means = read(params, policy.apply(params["policy"], inputs))
        return Replayed(now, now.log_prob(action) - acted, means)

    def test(params, key, task):
        trajectory = trial(params, key, task)
        return Test(returns_by_episode(trajectory, episodes), trajectory)

    return Agent(init, collect, replay, test)
