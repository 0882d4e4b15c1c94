"""Running robots whose tasks are directions or velocities, through Brax (the extra `brax`)."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jaxmeta.rl.distributions import Continuous
from jaxmeta.rl.environments import Environment, Step

Backend = Literal["generalized", "spring", "positional", "mjx"]


def half_cheetah_direction(*, backend: Backend = "generalized", horizon: int = 200) -> Environment:
    """A half-cheetah that is to run forward or backward; Finn et al. 2017, section 5.3.

    A task is 1 or -1; the reward is the velocity times it, less 0.05 times the squared action.
    Brax sees 17 numbers, where the released environment sees 20.

    Args:
      backend: physics of Brax; only `generalized` and `mjx` compare with papers.
      horizon: steps of an episode.

    Raises:
      ImportError: Brax is not installed.
      ValueError: `horizon` is below 1, or an unknown backend.
    """

    def sample(key):
        return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)

    return _half_cheetah(sample, lambda velocity, task: velocity * task, backend, horizon)


def half_cheetah_velocity(*, backend: Backend = "generalized", horizon: int = 200) -> Environment:
    """A half-cheetah that is to run at a velocity; Finn et al. 2017, section 5.3.

    A task is a velocity from U[0, 2]; the reward is minus the distance to it, less 0.05 times the
    squared action. Arguments and errors as for `half_cheetah_direction`.
    """

    def sample(key):
        return jax.random.uniform(key, maxval=2.0)

    return _half_cheetah(sample, lambda v, task: -jnp.abs(v - task), backend, horizon)


def _half_cheetah(sample: Callable, gain: Callable, backend: str, horizon: int) -> Environment:
    if horizon < 1:
        raise ValueError(f"horizon must be >= 1, got {horizon}.")
    backends = ("generalized", "spring", "positional", "mjx")
    if backend not in backends:
        raise ValueError(f"backend must be one of {', '.join(backends)}, got {backend!r}.")
    try:
        from brax import envs
    except ImportError as error:
        raise ImportError("locomotion needs Brax: pip install 'jaxmeta[brax]'.") from error
    robot = envs.get_environment("halfcheetah", backend=backend)

    def reset(key, task):
        del task
        state = robot.reset(key)
        return state, state.obs

    def step(key, state, action, task):
        del key
        action = jnp.clip(action, -1.0, 1.0)
        state = robot.step(state, action)
        reward = gain(state.metrics["x_velocity"], task) - 0.05 * jnp.sum(action**2)
        return Step(state, state.obs, reward, state.done > 0)

    return Environment(sample, reset, step, Continuous(robot.action_size), horizon)
