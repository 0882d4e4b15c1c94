"""Learners whose histories `rl.algorithm_distillation` learns from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl._rollout import Trajectory, rollout
from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment, Task

Source = Callable[[jax.Array, Task], Trajectory]
"""`(key, task) -> Trajectory`: all that a learner did in one task, from its first step on."""


class _Memory(NamedTuple):
    values: jax.Array  # [n_states, n]
    state: jax.Array  # in which the last action was taken
    action: jax.Array  # the last one
    steps: jax.Array  # int32, so far


def q_learning(
    environment: Environment,
    *,
    episodes: int,
    rate: float = 0.5,
    discount: float = 0.9,
    first_value: float = 1.0,
    exploration: tuple[float, float] = (0.1, 0.0),
) -> Source:
    """Q-learning in a table, begun anew in each task.

    Watkins & Dayan, "Q-learning", Machine Learning 8, 1992. With values that begin too high it
    tries what it has not tried; beside this it takes a random action now and then. An update costs
    a row of a table, so that `jax.vmap` runs thousands of learners at once.

    Args:
      environment: tasks, with a table.
      episodes: that it learns for.
      rate: step size of an update.
      discount: of rewards.
      first_value: of every action in every state.
      exploration: shares of random actions in the first and in the last episode; in between the
        share changes linearly.

    Returns `(key, task) -> Trajectory`, of `episodes * environment.horizon` steps.

    Raises:
      ValueError: the environment has no table or continuous actions, or a number is out of range.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> room, key = rl.environments.dark_room(size=3, horizon=4), jax.random.key(0)
      >>> task = room.sample(key)
      >>> history = jax.eval_shape(rl.q_learning(room, episodes=8), key, task)
      >>> history.reward.shape  # 8 episodes of 4 steps
      (32,)
    """
    table, actions = environment.table, environment.actions
    if table is None or not isinstance(actions, Discrete):
        raise ValueError("q_learning needs an environment with a table and discrete actions.")
    at_least(1, episodes=episodes)
    shares = {"rate": rate, "discount": discount}
    shares |= {"exploration": max(exploration, key=lambda share: abs(share - 0.5))}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {share}.")
    first, last = exploration
    length = episodes * environment.horizon

    # The learner sees the number of the state beside what others see.
    def reset(key, task):
        state, observation = environment.reset(key, task)
        return state, (state, observation)

    def step(key, state, action, task):
        after: Any = environment.step(key, state, action, task)
        return after._replace(observation=(after.state, after.observation))

    counted = environment._replace(reset=reset, step=step)

    def act(memory, key, seen):
        values, before, action, steps = memory
        state, reached = seen.observation[0], seen.reached[0]
        # Nothing is to come after the end of an episode.
        worth = seen.reward + discount * jnp.where(seen.done > 0, 0.0, jnp.max(values[reached]))
        error = jnp.where(steps > 0, worth - values[before, action], 0.0)
        values = values.at[before, action].add(rate * error)
        key_whether, key_random, key_ties = jax.random.split(key, 3)
        here = values[state]
        best = jax.random.categorical(key_ties, jnp.where(here == jnp.max(here), 0.0, -jnp.inf))
        share = first + (last - first) * steps / max(length - 1, 1)
        is_random = jax.random.bernoulli(key_whether, share)
        action = jnp.where(is_random, jax.random.randint(key_random, (), 0, actions.n), best)
        return _Memory(values, state, action, steps + 1), action, ()

    def history(key, task):
        zero = jnp.zeros((), jnp.int32)
        values = jnp.full((table.n_states, actions.n), first_value, float)
        start = _Memory(values, zero, zero, zero)
        trajectory = rollout(counted, act, key, task, start, episodes=episodes)
        seen = trajectory.seen
        others = seen._replace(observation=seen.observation[1], reached=seen.reached[1])
        return trajectory._replace(seen=others)

    return history
