"""XLand-MiniGrid: grid worlds with rules and goals that are tasks of their own.

Nikulin, Kurenkov, Zisman, Agarwal, Sinii & Kolesnikov, "XLand-MiniGrid: Scalable Meta-Reinforcement
Learning Environments in JAX", NeurIPS 2024, https://arxiv.org/abs/2312.12044.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment, Step, Task


def from_xminigrid(
    environment: Any, params: Any, sample: Callable[[jax.Array], Task]
) -> Environment:
    """An environment of XLand-MiniGrid; a task is a `RuleSet`, its rules, goal and first objects.

    The observation is what lies in front of the agent, `[V, V]` tiles and their colours, one-hot
    and flat. An episode ends when the goal is reached, or after `params.max_steps`.

    Example, with one of the library's benchmarks, which it downloads:

        world, params = xminigrid.make("XLand-MiniGrid-R1-9x9")
        benchmark = xminigrid.load_benchmark("trivial-1m")
        tasks = from_xminigrid(world, params.replace(max_steps=243), benchmark.sample_ruleset)

    Args:
      environment, params: those that `xminigrid.make` gives.
      sample: `key -> RuleSet`.

    Raises:
      ImportError: the extra `xminigrid` is not installed.
      ValueError: `params.max_steps` is not set.
    """
    try:
        from xminigrid.core.constants import NUM_COLORS, NUM_TILES
    except ImportError as error:
        raise ImportError(
            "from_xminigrid needs XLand-MiniGrid: pip install 'jaxmeta[xminigrid]'."
        ) from error
    if not params.max_steps:
        raise ValueError(
            f"params.max_steps must be >= 1, got {params.max_steps}: "
            "set it by params.replace(max_steps=...)."
        )

    def look(timestep):
        tile, colour = timestep.observation[..., 0], timestep.observation[..., 1]
        parts = jax.nn.one_hot(tile, NUM_TILES), jax.nn.one_hot(colour, NUM_COLORS)
        return jnp.concatenate(parts, axis=-1).ravel()

    def reset(key, task):
        timestep = environment.reset(params.replace(ruleset=task), key)
        return timestep, look(timestep)

    def step(key, state, action, task):
        del key  # Chance is in the first state only, and in the key that it holds.
        after = environment.step(params.replace(ruleset=task), state, action)
        reward = jnp.asarray(after.reward, jnp.float32)
        return Step(after, look(after), reward, after.last())

    actions = Discrete(int(environment.num_actions(params)))
    return Environment(sample, reset, step, actions, int(params.max_steps))
