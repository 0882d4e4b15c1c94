"""Meta-test: mean, interval and per-episode results over reproducible episodes."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.doors import check_episode, check_key, check_learner, check_params, check_sample
from jaxmeta.episodes import Sample
from jaxmeta.learner import Learner, check_classes
from jaxmeta.losses import accuracy, wide
from jaxmeta.training.tracing import jit_passing_constants
from jaxmeta.transforms import one_query_at_a_time
from jaxmeta.transforms import transductive as all_together


class Evaluation(NamedTuple):
    """Results over episodes, and how they were taken."""

    mean: float  # an array where `evaluate` runs inside a compiled program, as the other two
    interval: float  # half width of the 95% interval, 1.96 * std / sqrt(n_episodes); NaN for one
    per_episode: np.ndarray  # [n_episodes] float64
    transductive: bool


def half_width(std: Any, n_episodes: int) -> Any:
    """Half width of the 95% interval of a mean; NaN for one episode, whose spread is not known.

    Args:
      std: standard deviation over episodes, or an array of them.
      n_episodes: number of episodes.
    """
    # Of std a NaN there would pass on to derivatives.
    return 1.96 * std / np.sqrt(n_episodes) if n_episodes > 1 else np.full(np.shape(std), np.nan)


def evaluate(
    learner: Learner,
    params: Any,
    sample: Sample,
    *,
    n_episodes: int,
    key: jax.Array,
    transductive: bool = False,
    metric: Callable = accuracy,
    episodes_at_once: int = 1,
) -> Evaluation:
    """Adapts to each episode's support set and scores its query set.

    Episode i has the key `fold_in(key, i)`, so two learners meet the same episodes.

    Args:
      learner: any learner.
      params: its meta-parameters.
      sample: `key -> Episode`, jittable.
      n_episodes: number of episodes; of one the interval is not known, and is NaN.
      key: seed of the episodes.
      transductive: False tests `jaxmeta.one_query_at_a_time(learner)`: batch statistics come from
        the support set (for learners that keep none, from the support set plus that query). True
        tests `jaxmeta.transductive(learner)`: batch normalisation uses the query set's, as in many
        papers; a warning says so where both are the same, for want of batch statistics.
      metric: `(outputs, query examples) -> scalar`; `jaxmeta.losses.squared_error` for regression.
      episodes_at_once: episodes batched together by `vmap`.

    Raises:
      ValueError: `n_episodes` or `episodes_at_once` is below 1, or `metric` does not give a scalar.
      TypeError: `sample`, `params` or `key` is something else.
      FloatingPointError: a prediction is not finite, or the metric of finite ones is not, as
        accuracy of a regression.
    """
    run = make_evaluate(
        learner,
        sample,
        n_episodes=n_episodes,
        transductive=transductive,
        metric=metric,
        episodes_at_once=episodes_at_once,
    )
    return run(params, key)


def make_evaluate(
    learner: Learner,
    sample: Sample,
    *,
    n_episodes: int,
    transductive: bool = False,
    metric: Callable = accuracy,
    episodes_at_once: int = 1,
) -> Callable[[Any, jax.Array], Evaluation]:
    """`evaluate` compiled once, for many parameters: returns `(params, key) -> Evaluation`.

    Under `jit`, `vmap` or `grad` its numbers are arrays and nothing is raised: NaN stays NaN.
    """
    check_learner(learner)
    check_sample(sample)
    tested = (all_together if transductive else one_query_at_a_time)(learner)

    def score(params, key):
        key_episode, key_learner = jax.random.split(key)
        episode = sample(key_episode)
        check_episode(episode)
        _check_fixed_classes(episode)
        adapted = tested.adapt(params, key_learner, episode.support)
        outputs = tested.predict(params, adapted, episode.query.x)
        value = _measured(metric, outputs, episode.query)
        if value.shape:
            raise ValueError(
                f"metric must give one number for an episode, got shape {value.shape}: take a mean."
            )
        is_alike = transductive and _is_alike(
            learner, params, key_learner, episode, adapted, outputs
        )
        return wide(value), jnp.all(jnp.isfinite(outputs)), is_alike

    compiled = over_episodes(score, n_episodes, episodes_at_once)

    def run(params, key):
        check_params(params)
        check_key(key)
        values, is_finite, is_alike = compiled(params, key)
        if isinstance(values, jax.core.Tracer):  # Nothing can be raised there: NaN stays NaN.
            traced: Any = jnp.where(is_finite, values, jnp.nan)
            mean, interval = jnp.mean(traced), half_width(jnp.std(traced), n_episodes)
            # Inside a program the fields are arrays, where everybody else reads floats.
            return Evaluation(mean, interval, traced, transductive)  # type: ignore[arg-type]
        values = np.asarray(values, np.float64)  # Many results are added up.
        if not np.all(is_finite):
            episode = int(np.argmin(is_finite))
            raise FloatingPointError(f"the predictions of episode {episode} are not finite.")
        if not np.isfinite(values).all():
            episode = int(np.argmin(np.isfinite(values)))
            raise FloatingPointError(
                f"the metric of episode {episode} is {values[episode]}, though its predictions are "
                "finite: accuracy takes labels in [0, 1], `jaxmeta.losses.squared_error` targets."
            )
        if np.all(is_alike):
            warnings.warn(
                "transductive=True changed nothing: this learner keeps no batch statistics and "
                "predicts each query by itself, so both protocols give the same numbers.",
                stacklevel=2,
            )
        interval = half_width(values.std(), n_episodes)
        return Evaluation(float(values.mean()), float(interval), values, transductive)

    return run


def _is_alike(learner, params, key, episode, adapted, outputs):
    """Whether the first query's outputs are the same in company of the support set alone."""
    whole = jax.eval_shape(learner.adapt, params, key, episode.support)
    if len(jax.tree.leaves(whole)) > len(jax.tree.leaves(adapted)):
        return False  # It keeps batch statistics, and `transductive` has left them out.
    x = jnp.concatenate([episode.support.x, episode.query.x[:1]])
    alone = learner.predict(params, adapted, x)[-1]
    return jnp.max(jnp.abs(alone - outputs[0])) <= 1e-3 * jnp.max(jnp.abs(outputs))


def _measured(metric, outputs, query):
    try:
        return jnp.asarray(metric(outputs, query))
    except TypeError as error:
        raise TypeError(
            "metric must take (outputs, query examples) and give one number, as "
            f"jaxmeta.losses.accuracy does; this one raised: {error}"
        ) from error


def _check_fixed_classes(episode):
    """Looks at labels that are there already, as of a sample that gives always one episode."""
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(episode)):
        parts = jax.tree.map(np.asarray, episode)
        check_classes(*(y if is_valid is None else y[is_valid] for _, y, is_valid in parts))


def over_episodes(
    score: Callable[[Any, jax.Array], Any], n_episodes: int, episodes_at_once: int
) -> Callable[[Any, jax.Array], Any]:
    """Compiles `(params, key) -> score(params, fold_in(key, i))` for every episode i, stacked.

    Raises:
      ValueError: a number is below 1.
      TypeError: a number is not an int.
    """
    for name, number in (("n_episodes", n_episodes), ("episodes_at_once", episodes_at_once)):
        if not isinstance(number, int):
            raise TypeError(f"{name} must be an int, got {number!r}.")
        at_least(1, **{name: number})

    def scores(params, key):
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(n_episodes))
        batch_size = episodes_at_once if episodes_at_once > 1 else None
        return jax.lax.map(lambda key: score(params, key), keys, batch_size=batch_size)

    return jit_passing_constants(scores)
