"""The paths that an agent walks in the plane."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.runs.run import META_TEST, load_best, read_config, seed_key
from jaxmeta.training.evaluate import over_episodes

PATHS = 4


class Paths(NamedTuple):
    """Where an agent walks in some tasks of the plane."""

    goals: np.ndarray  # [P, 2]
    positions: np.ndarray  # [P, K, E, H, 2], of E episodes after 0, 1, ... steps, or of K episodes
    is_valid: np.ndarray  # [P, K, E, H]


def paths_of_run(run_dir: str | Path) -> Paths | None:
    """Walks with a run's best parameters in the first tasks of its meta-test; None elsewhere.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    _, recipe = read_config(run_dir)
    if not recipe.task.has_paths:
        return None
    best = load_best(run_dir, recipe)
    key = seed_key(recipe, META_TEST)
    agent, sample = best.experiment.learner, next(iter(best.experiment.meta_test.values()))
    method: Any = recipe.learner  # of an agent
    domain: Any = recipe.task  # to act in

    def walk(params, key):
        key_task, key_agent = jax.random.split(key)
        goal = sample(key_task)
        trajectory = agent.test(params, key_agent, goal).trajectories
        positions, is_valid = trajectory.seen.observation, trajectory.is_valid
        if not method.adapts:  # One trial, cut into its episodes.
            number = jnp.arange(domain.trial)[:, None, None]
            is_valid = is_valid & (trajectory.episode == number)
            positions = jnp.broadcast_to(positions, (*is_valid.shape, 2))
        return goal, positions, is_valid

    return Paths(*map(np.asarray, over_episodes(walk, PATHS, PATHS)(best.params, key)))
