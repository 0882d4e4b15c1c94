"""What a trained one-pass learner does on tasks of meta_test, for pictures."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.methods.hyper import Conditional, HyperTransformer, OnePass
from jaxmeta.learner import Examples
from jaxmeta.learners.hyper import Generated, GeneratedWeights
from jaxmeta.losses import has_label
from jaxmeta.runs.run import META_TEST, load_best, read_config, stream

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
    if not isinstance(config, OnePass):
        return None
    best = load_best(run_dir, recipe)
    params, experiment = best.params, best.experiment
    key = stream(recipe, META_TEST)
    learner = experiment.at_test
    if isinstance(config, HyperTransformer):
        learner = config.build(recipe.net, None, optax.softmax_cross_entropy, observe=True)
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
    weights, attention, curve = {}, {}, None
    if isinstance(adapted, Generated):
        weights = {f"kernel {n}": kernel for n, kernel in enumerate(adapted.kernels)}
        weights |= {"head": adapted.head, "bias": adapted.bias}
        attention = {
            name: np.asarray(maps.mean(1)) for name, maps in adapted_first.attention.items()
        }
    elif isinstance(adapted, GeneratedWeights):
        weights = adapted.weights
    if not isinstance(recipe.task, Images):
        if isinstance(config, Conditional) and config.least_sigma is not None:
            learner = config.with_sigma(recipe.net, 1, optax.squared_error)
        low, high = first.query.x.min(), first.query.x.max()
        x = jnp.linspace(low, high, POINTS)[:, None]
        outputs = learner.predict(params, adapted_first, x)
        mean, *sigma = np.asarray(outputs).T
        curve = Curve(first.support, first.query, np.asarray(x), mean, sigma[0] if sigma else None)
    return Look(jax.tree.map(np.asarray, weights), attention, labels, curve)
