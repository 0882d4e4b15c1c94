"""Where a trained in-context agent looks in a trial, for pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmeta.runs.run import META_TEST, load_best, read_config, seed_key


class AttentionView(NamedTuple):
    """One trial, and how much each action looked at each earlier step."""

    weights: np.ndarray  # [layers, T, T], mean over heads: from the action at a step, to a step
    reward: np.ndarray  # [T], of each step
    episode: np.ndarray  # [T], number of its episode


def attention_of_run(run_dir: str | Path) -> AttentionView | None:
    """Acts with a run's best parameters in the first task of its meta-test.

    None for learners that do not look back, such as all that are neither decision-pretrained nor
    distilled.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    _, recipe = read_config(run_dir)
    method: Any = recipe.learner
    if method.look_back is None:
        return None
    best = load_best(run_dir, recipe)
    key_task, key_agent = jax.random.split(jax.random.fold_in(seed_key(recipe, META_TEST), 0))
    task = next(iter(best.experiment.meta_test.values()))(key_task)
    trajectory = jax.jit(best.experiment.learner.test)(best.params, key_agent, task).trajectories
    weights = np.asarray(method.look_back(recipe.net, best.params, trajectory)).mean(1)
    reward, episode = np.asarray(trajectory.reward), np.asarray(trajectory.episode)
    length = weights.shape[-1]
    return AttentionView(weights, reward[:length], episode[:length])
