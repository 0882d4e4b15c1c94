"""What a trained one-pass learner does on tasks of meta_test, for pictures."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.experiments.metric import SQUARED_ERROR
from jaxmeta.learner import Examples
from jaxmeta.runs.run import META_TEST, load_best, read_config, seed_key
from jaxmeta.support import has_label

TASKS = 20
POINTS = 200


class Curve(NamedTuple):
    """A regression of one input on one task."""

    support: Examples
    query: Examples
    x: np.ndarray  # [POINTS, 1]
    mean: np.ndarray  # [POINTS]
    sigma: np.ndarray | None  # [POINTS]; None where none is predicted


class Look(NamedTuple):
    """What there is to see; empty or None where the learner has no such thing."""

    weights: dict[str, np.ndarray]  # generated, [TASKS, ...]
    attention: dict[str, np.ndarray]  # first task, heads' mean, [layers, weight tokens, S]
    labels: np.ndarray  # [S] of the first task; -1 unlabelled
    curve: Curve | None


def look_run(run_dir: str | Path) -> Look | None:
    """Adapts a run's best parameters to tasks of meta_test; None for learners with inner steps.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    _, recipe = read_config(run_dir)
    config = recipe.learner
    if not config.one_pass:
        return None
    best = load_best(run_dir, recipe)
    params, experiment = best.params, best.experiment
    key = seed_key(recipe, META_TEST)
    learner = config.look(recipe.net, experiment.at_test)
    sample = next(iter(experiment.meta_test.values()))

    def adapt(key):
        key_episode, key_learner = jax.random.split(key)
        episode = sample(key_episode)
        return episode, learner.adapt(params, key_learner, episode.support)

    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(TASKS))
    episodes, adapted = jax.jit(lambda keys: jax.lax.map(adapt, keys))(keys)
    first, adapted_first = jax.tree.map(lambda leaf: leaf[0], (episodes, adapted))
    labels = np.asarray(
        jnp.where(has_label(first.support.y), jnp.argmax(first.support.y, axis=1), -1)
    )
    weights = config.weights(adapted)
    attention = jax.tree.map(np.asarray, config.attention(adapted_first))
    curve = None
    if recipe.task.metric is SQUARED_ERROR:
        learner = config.curve(recipe.net, learner)
        low, high = first.query.x.min(), first.query.x.max()
        x = jnp.linspace(low, high, POINTS)[:, None]
        outputs = learner.predict(params, adapted_first, x)
        mean, *sigma = np.asarray(outputs).T
        curve = Curve(first.support, first.query, np.asarray(x), mean, sigma[0] if sigma else None)
    return Look(jax.tree.map(np.asarray, weights), attention, labels, curve)
