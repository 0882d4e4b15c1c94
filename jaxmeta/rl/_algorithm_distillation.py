"""Algorithm distillation.

Laskin, Wang, Oh, Parisotto, Spencer, Steigerwald, Strouse, Hansen, Filos, Brooks, Gazeau, Sahni,
Singh & Mnih, "In-context Reinforcement Learning with Algorithm Distillation", 2022,
https://arxiv.org/abs/2210.14215, algorithm 1 and equation 4.
Differs from the paper: a training sequence is a whole history, thinned out to as many episodes as a
trial has, so that training and acting begin alike; the paper cuts windows of several episodes out
of histories that may be thinned out too (its section 4.4).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl._rollout import returns_by_episode, rollout
from jaxmeta.rl._sources import Source
from jaxmeta.rl.agent import Agent, Batch, Replayed, Test
from jaxmeta.rl.environment import Environment
from jaxmeta.rl.recurrent import MemoryPolicy


class _Data(NamedTuple):
    inputs: jax.Array  # [T, I]
    action: jax.Array  # [T, ...], of the source
    episode: jax.Array  # [T] int32, of the source


def algorithm_distillation(
    policy: MemoryPolicy,
    environment: Environment,
    *,
    source: Source,
    source_episodes: int,
    episodes: int,
) -> Agent:
    """Learns to learn by imitating the history of a learner, over several of its episodes.

    It is trained on given data by `rl.imitation()`: `collect` lets the source learn a task from the
    start, and keeps evenly spaced episodes of its history, as many as a trial has. Each action is
    predicted from all that came before, so that the net can only do well by improving as the source
    did, and it improves faster, by as much as the history is thinned out. It reads what `rl.rl2`
    reads, and acts by drawing from its prediction.

    It can only explore as what is kept of a history does. A source that explores at random looks
    random in any of its episodes: then what it found is used sooner, and not found sooner.

    Args:
      policy: `rl.transformer()`, or another memory.
      environment: tasks.
      source: `rl.q_learning(...)`, or any `(key, task) -> Trajectory` of a learner's history.
      source_episodes: episodes in a history of the source.
      episodes: of a trial, at most as many; only whole spaces are left between two of them.

    Returns an `Agent`; `Test.returns` are those of each episode of a trial.

    Raises:
      ValueError: a number is below 1, or `episodes` does not divide `source_episodes`.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> room, key = rl.environments.dark_room(size=3, horizon=4), jax.random.key(0)
      >>> task = room.sample(key)
      >>> source = rl.q_learning(room, episodes=8)
      >>> agent = rl.algorithm_distillation(
      ...     rl.transformer(width=8, layers=1, heads=1),
      ...     room,
      ...     source=source,
      ...     source_episodes=8,
      ...     episodes=4,
      ... )
      >>> params = jax.eval_shape(agent.init, key, task)
      >>> jax.eval_shape(agent.test, params, key, task).returns.shape  # of each episode
      (4,)
    """
    at_least(1, episodes=episodes)
    if source_episodes < 1 or source_episodes % episodes:
        raise ValueError(
            f"source_episodes must be a multiple of episodes = {episodes}, got {source_episodes}."
        )
    actions, length = environment.actions, episodes * environment.horizon
    every = source_episodes // episodes

    def init(key, task):
        key_policy, key_reset, key_head = jax.random.split(key, 3)
        _, observation = environment.reset(key_reset, task)
        row = jnp.zeros((1, len(observation) + len(actions.nothing()) + 2))
        params = policy.init(key_policy, row)
        features = policy.apply(params, row)
        kernel = 0.01 * jax.random.normal(key_head, (features.shape[-1], actions.n_outputs))
        head = {"kernel": kernel, "bias": jnp.zeros(actions.n_outputs)}
        return {"policy": params, "head": head, "actions": actions.init()}

    def read(params, features):
        outputs = features @ params["head"]["kernel"] + params["head"]["bias"]
        return actions.distribution(params["actions"], outputs)

    def collect(params, key, task):
        del params  # It learns from what the source did.
        key_source, key_first = jax.random.split(key)
        history = source(key_source, task)
        first = jax.random.randint(key_first, (), 0, every)
        is_kept = history.is_valid & (history.episode % every == first)
        # Episodes may end early: what is kept moves together, the padding comes last.
        order = jnp.argsort(~is_kept, stable=True)[:length]
        observation, action, reward, episode, is_valid = (
            leaf[order]
            for leaf in (
                history.seen.observation,
                history.action,
                history.reward,
                history.episode,
                is_kept,
            )
        )
        # What came before is the last step kept, not the last one of the source.
        before = jax.vmap(actions.encode)(action)
        before = jnp.concatenate([actions.nothing()[None], before[:-1]])
        paid = jnp.append(0.0, reward[:-1])
        done = jnp.append(False, episode[1:] != episode[:-1]).astype(float)
        inputs = jnp.concatenate([observation, before, paid[:, None], done[:, None]], axis=1)
        total = jnp.sum(jnp.where(is_valid, reward, 0.0))
        return Batch(_Data(inputs, action, episode), None, None, is_valid, None, total)

    def replay(params, batch):
        inputs, action, _ = batch.data
        now = read(params, policy.apply(params["policy"], inputs))
        return Replayed(now, now.log_prob(action), None)

    def test(params, key, task):
        def act(memory, key, seen):
            inputs = jnp.concatenate(
                [seen.observation, seen.action, seen.reward[None], seen.done[None]]
            )
            memory, features = policy.step(params["policy"], memory, inputs)
            now = read(params, features)
            return memory, now.sample(key), (inputs, now)

        start = policy.start(params["policy"], length)
        trajectory = rollout(environment, act, key, task, start, episodes=episodes)
        return Test(returns_by_episode(trajectory, episodes), trajectory)

    return Agent(init, collect, replay, test)
