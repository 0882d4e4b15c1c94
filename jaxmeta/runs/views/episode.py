"""One episode of a run's meta-test, as its trained learner sees it."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.experiments.recipe import Recipe
from jaxmeta.learner import Episode
from jaxmeta.net import as_net
from jaxmeta.runs.run import META_TEST, load_best, read_config, seed_key


class EpisodeView(NamedTuple):
    """What there is to draw of an episode."""

    episode: Episode  # as numpy arrays
    shares: np.ndarray  # [Q, N] softmax of the outputs for each query
    projection: np.ndarray | None  # [S + Q, 2] of the embeddings, support first; None without any
    explained: float | None  # share of the variance that the projection keeps


def has_images(recipe: Recipe) -> bool:
    """Whether a run of the recipe has episodes to draw."""
    return recipe.task.has_images


def episode_of_run(run_dir: str | Path, *, number: int = 0) -> EpisodeView:
    """Adapts a run's best parameters to one episode of its meta-test and predicts the queries.

    Args:
      run_dir: folder of the run.
      number: of the episode; those of `evaluate_run` are counted from 0.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
      ValueError: the task has no images.
    """
    name, recipe = read_config(run_dir)
    if not has_images(recipe):
        raise ValueError(f"an episode is drawn of images, and recipe {name!r} has none.")
    best = load_best(run_dir, recipe)
    learner = best.experiment.at_test
    key = jax.random.fold_in(seed_key(recipe, META_TEST), number)
    key_episode, key_learner = jax.random.split(key)
    episode = next(iter(best.experiment.meta_test.values()))(key_episode)
    adapted = learner.adapt(best.params, key_learner, episode.support)
    outputs = learner.predict(best.params, adapted, episode.query.x)
    projection, explained = _projection(recipe, best.params, episode)
    return EpisodeView(
        jax.tree.map(np.asarray, episode),
        np.asarray(jax.nn.softmax(outputs)),
        projection,
        explained,
    )


def _projection(recipe: Recipe, params: Any, episode: Episode):
    """The two principal components of the embeddings of an episode."""
    method: Any = recipe.learner
    embed = method.embedder(recipe.net)
    if embed is None:
        return None, None
    net, weights = as_net(embed), method.embedding(params)
    support, statistics = net.observe(weights, episode.support)
    query = net.apply(net.under(weights, statistics), episode.query.x)
    rows = np.asarray(jnp.concatenate([support, query]), np.float64)
    rows = rows.reshape(len(rows), -1)
    left, spread, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    variance = np.square(spread)
    return (left * spread)[:, :2], float(variance[:2].sum() / variance.sum())
