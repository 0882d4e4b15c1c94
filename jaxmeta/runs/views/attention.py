"""Where a trained in-context agent looks in a trial, for pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import rl
from jaxmeta.experiments.methods.in_context import AlgorithmDistillation, DecisionPretrained
from jaxmeta.runs.run import META_TEST, load_best, read_config, stream


class AttentionView(NamedTuple):
    """One trial, and how much each action looked at each earlier step."""

    weights: np.ndarray  # [layers, T, T], mean over heads: from the action at a step, to a step
    reward: np.ndarray  # [T], of each step
    episode: np.ndarray  # [T], number of its episode


def attention_of_run(run_dir: str | Path) -> AttentionView | None:
    """Acts with a run's best parameters in the first task of its meta-test.

    None for agents that are neither decision-pretrained nor distilled.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    _, recipe = read_config(run_dir)
    looks = {DecisionPretrained: _of_set, AlgorithmDistillation: _of_history}
    look = looks.get(type(recipe.learner))
    if look is None:
        return None
    best = load_best(run_dir, recipe)
    key_task, key_agent = jax.random.split(jax.random.fold_in(stream(recipe, META_TEST), 0))
    task = next(iter(best.experiment.meta_test.values()))(key_task)
    trajectory = jax.jit(best.experiment.learner.test)(best.params, key_agent, task).trajectories
    weights = np.asarray(look(recipe, best.params, trajectory)).mean(1)
    reward, episode = np.asarray(trajectory.reward), np.asarray(trajectory.episode)
    length = weights.shape[-1]
    return AttentionView(weights, reward[:length], episode[:length])


def _of_history(recipe: Any, params: Any, trajectory: Any) -> jax.Array:
    net = recipe.net
    look = rl.transformer_attention(width=net.width, layers=net.layers, heads=net.heads)
    return look(params["policy"], trajectory.extra[0])


def _of_set(recipe: Any, params: Any, trajectory: Any) -> jax.Array:
    """As long as nothing is forgotten: `[layers, heads, T, T]`."""
    seen, length = trajectory.seen, min(recipe.learner.context, len(trajectory.reward))
    # What a step led to is seen with the next one; the last one's is not looked at.
    rows = jnp.concatenate(
        [
            seen.observation[: length - 1],
            seen.action[1:length],
            seen.reached[1:length],
            seen.reward[1:length, None],
        ],
        axis=1,
    )
    rows = jnp.concatenate([rows, jnp.zeros_like(rows[:1])])
    reader = recipe.net.build(None)
    is_seen = jnp.arange(length) < jnp.arange(length)[:, None]
    encoded = reader.encode(params["reader"], rows)
    maps = reader.attention(params["reader"], encoded, seen.observation[:length], is_seen)
    return maps[..., 1:]
