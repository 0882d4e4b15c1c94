"""Trajectories to begin with, for `rl.online_rounds`: of a noisy teacher, or of a data set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl import _rollout
from jaxmeta.rl._buffer import Trajectory, return_to_go
from jaxmeta.rl._rollout import rollout
from jaxmeta.rl._sources import Source
from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment


def teacher_with_noise(
    environment: Environment,
    *,
    episodes: int,
    most_skill: float = 1.0,
    teacher: Callable | None = None,
) -> Source:
    """Acts as a teacher who knows the task in a share of the steps, and at random in the others.

    The share is drawn for each trial from U[0, `most_skill`]. Random actions are as likely as each
    other, or of vectors uniform in [-1, 1].

    Args:
      environment: tasks.
      episodes: of a trial.
      most_skill: largest share.
      teacher: `(state, task) -> action`; None: `environment.table.optimal`.

    Returns `(key, task) -> Trajectory`, as `rl.rollout` gives.

    Raises:
      ValueError: there is no teacher, or `most_skill` is not in [0, 1].

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> room, key = rl.environments.dark_room(size=3, horizon=4), jax.random.key(0)
      >>> task = room.sample(key)
      >>> behaviour = rl.teacher_with_noise(room, episodes=2)
      >>> jax.eval_shape(behaviour, key, task).reward.shape
      (8,)
    """
    if teacher is None and environment.table is not None:
        teacher = environment.table.optimal
    if teacher is None:
        raise ValueError("teacher must be given where environment.table.optimal is not there.")
    if not 0 <= most_skill <= 1:
        raise ValueError(f"most_skill must be in [0, 1], got {most_skill}.")
    actions, knows = environment.actions, teacher

    # The teacher sees the state beside what others see.
    def reset(key, task):
        state, observation = environment.reset(key, task)
        return state, (state, observation)

    def step(key, state, action, task):
        after: Any = environment.step(key, state, action, task)
        return after._replace(observation=(after.state, after.observation))

    def any_action(key):
        if isinstance(actions, Discrete):
            return jax.random.randint(key, (), 0, actions.n)
        return jax.random.uniform(key, (actions.size,), minval=-1.0)

    def trial(key, task):
        key_skill, key_trial = jax.random.split(key)
        skill = jax.random.uniform(key_skill, maxval=most_skill)

        def act(memory, key, seen):
            key_who, key_action = jax.random.split(key)
            is_teacher = jax.random.bernoulli(key_who, skill)
            best = knows(seen.observation[0], task)
            return memory, jnp.where(is_teacher, best, any_action(key_action)), ()

        world = environment._replace(reset=reset, step=step)
        trajectory = rollout(world, act, key_trial, task, episodes=episodes)
        seen = trajectory.seen
        others = seen._replace(observation=seen.observation[1], reached=seen.reached[1])
        return trajectory._replace(seen=others)

    return trial


def offline_trials(
    environment: Environment, behaviour: Source, *, n: int
) -> Callable[[jax.Array], Trajectory]:
    """`key -> Trajectory [n, T, ...]` of a behaviour in n tasks, as a buffer keeps them.

    Raises:
      ValueError: `n` is below 1.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> room, key = rl.environments.dark_room(size=3, horizon=4), jax.random.key(0)
      >>> task = room.sample(key)
      >>> behaviour = rl.teacher_with_noise(room, episodes=2)
      >>> jax.eval_shape(rl.offline_trials(room, behaviour, n=5), key).reward.shape
      (5, 8)
    """
    at_least(1, n=n)

    def one(key):
        key_task, key_behaviour = jax.random.split(key)
        return kept(behaviour(key_behaviour, environment.sample(key_task)))

    return lambda key: jax.vmap(one)(jax.random.split(key, n))


def kept(trajectory: _rollout.Trajectory) -> Trajectory:
    """A roll-out as a buffer keeps it; what it got counts as what it was asked for."""
    seen = trajectory.seen
    return Trajectory(
        jnp.concatenate([seen.observation, seen.done[..., None]], axis=-1),
        trajectory.action,
        trajectory.reward,
        return_to_go(trajectory.reward),
        jnp.sum(trajectory.is_valid, axis=-1).astype(jnp.int32),
    )
