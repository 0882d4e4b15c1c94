"""Acting in an environment, compiled: episodes one after another in one `lax.scan`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.rl.environment import Environment, Task


class Seen(NamedTuple):
    """What can be seen before an action, with what the action before it led to."""

    observation: jax.Array  # [O]
    action: jax.Array  # the last one as a net reads it; zeros before the first
    reward: jax.Array  # of the last action
    done: jax.Array  # 1.0 where the last action ended an episode
    reached: jax.Array  # [O], where the last action led, before any reset; zeros before the first


class Trajectory(NamedTuple):
    """Steps in order, `T = episodes * horizon` of them."""

    seen: Seen  # [T, ...]
    action: jax.Array  # [T, ...]
    reward: jax.Array  # [T]; 0 where not valid
    is_valid: jax.Array  # [T] bool; False after the last episode has ended
    episode: jax.Array  # [T] int32, the number of the episode
    extra: Any  # [T, ...], what the policy gave beside the action


def rollout(
    environment: Environment,
    act: Callable,
    key: jax.Array,
    task: Task,
    memory: Any = (),
    *,
    episodes: int = 1,
) -> Trajectory:
    """Acts for some episodes in one task.

    Args:
      environment: where.
      act: `(memory, key, seen) -> (memory, action, extra)`.
      key: of the environment and of the actions.
      task: in which.
      memory: the policy's own, kept from one episode to the next.
      episodes: how many; each at most `environment.horizon` steps.

    Example:
      >>> from jaxmeta.rl.environments import bernoulli_bandits
      >>> bandits = bernoulli_bandits(2)
      >>> first_arm = lambda memory, key, seen: (memory, jnp.array(0), ())
      >>> arms = jnp.array([1.0, 0.0])
      >>> rollout(bandits, first_arm, jax.random.key(0), arms, episodes=3).reward.tolist()
      [1.0, 1.0, 1.0]
    """
    encode = environment.actions.encode

    def one_step(carry, key):
        state, seen, time, episode, memory = carry
        key_act, key_step, key_reset = jax.random.split(key, 3)
        memory, action, extra = act(memory, key_act, seen)
        after = environment.step(key_step, state, action, task)
        is_valid = episode < episodes
        done = after.done | (time + 1 >= environment.horizon)
        reward = jnp.where(is_valid, after.reward, 0.0)
        state, observation, reached = after.state, after.observation, after.observation
        if episodes > 1:
            fresh = environment.reset(key_reset, task)
            state, observation = jax.tree.map(
                lambda new, old: jnp.where(done, new, old), fresh, (state, observation)
            )
        record = Trajectory(seen, action, reward, is_valid, episode, extra)
        reward, ends = reward.astype(float), done.astype(float)
        seen = Seen(observation, encode(action), reward, ends, reached)
        time, episode = jnp.where(done, 0, time + 1), episode + done
        return (state, seen, time, episode, memory), record

    key_reset, key_steps = jax.random.split(key)
    state, observation = environment.reset(key_reset, task)
    nothing = environment.actions.nothing()
    nowhere = jax.tree.map(jnp.zeros_like, observation)
    seen = Seen(observation, nothing, jnp.zeros(()), jnp.zeros(()), nowhere)
    zero = jnp.zeros((), jnp.int32)
    keys = jax.random.split(key_steps, episodes * environment.horizon)
    return jax.lax.scan(one_step, (state, seen, zero, zero, memory), keys)[1]


def returns_by_episode(trajectory: Trajectory, episodes: int) -> jax.Array:
    """Sum of the rewards of each episode, `[episodes]`."""
    return jax.ops.segment_sum(trajectory.reward, trajectory.episode, episodes)
