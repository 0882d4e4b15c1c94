"""What a meta-test measures in an episode, and what it makes of many: the scores of learners.

Those of agents are in `jaxmeta.rl`.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import losses
from jaxmeta.checks import at_least
from jaxmeta.doors import check_learner
from jaxmeta.learner import (
    Adapted,
    Episode,
    Examples,
    Key,
    Learner,
    Params,
    Stream,
    check_classes,
    check_episode,
    check_stream,
)
from jaxmeta.losses import accuracy, wide
from jaxmeta.support import zeroed
from jaxmeta.training.intervals import Estimator, is_traced
from jaxmeta.training.probabilities import Pooled, calibration_and_log_loss, pooled
from jaxmeta.transforms import company_of, one_query_at_a_time
from jaxmeta.transforms import transductive as all_together


class Evaluation(NamedTuple):
    """Results over episodes, and how they were taken.

    Where `evaluate` runs inside a compiled program every number is an array.
    """

    mean: float
    interval: float  # half width of the 95% interval of the mean; NaN for one episode
    per_episode: np.ndarray  # [n_episodes] float64
    transductive: bool
    bounds: tuple[float, float]  # ends of the 95% interval; the bootstrap's are not symmetric
    calibration_error: float = np.nan  # of all queries together, in [0, 1]; NaN: see `evaluate`
    log_loss: float = np.nan  # mean over all queries, in nats; NaN: see `evaluate`
    curve: np.ndarray | None = None  # [K] means along an episode; None of `few_shot`
    curve_interval: np.ndarray | None = None  # [K], half widths of the 95% intervals of `curve`
    curves: np.ndarray | None = None  # [n_episodes, K]


class Score(NamedTuple):
    """What `evaluate` measures: `few_shot`, `online`, `rl.acting` and `rl.likelihood` make one."""

    measure: Callable[[Any, bool], Callable[[Any, jax.Array, Any], Any]]
    """`(learner, transductive) -> ((params, key, task) -> numbers)`: what is taken in one episode,
    any pytree of arrays, on the device. Refuses a learner that does not fit."""
    reduce: Callable[[Any, Estimator], Evaluation]
    """`(numbers, estimate) -> Evaluation`, from the numbers of all episodes `[n_episodes, ...]`: on
    the host, in float64, or in a compiled program; `estimate(values)` gives a mean and its
    interval. On the host it raises where a number is not finite."""
    metric: Callable  # by whose name a run that is resumed knows its score again
    episodes_at_once: int = 1  # batched together by `vmap`, where no other number is given


def few_shot(metric: Callable = accuracy) -> Score:
    """Adapts to each episode's support set and scores its query set.

    Args:
      metric: `(outputs, query examples) -> scalar`; `jaxmeta.losses.squared_error` for regression.

    Example:
      >>> import jaxmeta
      >>> learner = jaxmeta.learners.metric.nearest_neighbour()
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9], [0.1]], [1, 0])
      >>> settings = {"n_episodes": 2, "key": jax.random.key(0)}
      >>> result = jaxmeta.evaluate(
      ...     learner, {}, lambda key: episode, score=few_shot(), **settings
      ... )
      >>> result.mean
      1.0
    """

    def measure(learner: Any, transductive: bool) -> Callable:
        check_learner(learner)
        _check_parts("few_shot", learner, "adapt", "predict")
        tested = (all_together if transductive else one_query_at_a_time)(learner)

        def numbers(params: Params, key: Key, episode: Episode) -> Any:
            check_episode(episode)
            _check_fixed_classes(episode)
            query = zeroed(episode.query)
            adapted = tested.adapt(params, key, episode.support)
            outputs = tested.predict(params, adapted, query.x)
            value = scalar("metric", _measured(metric, outputs, query))
            is_alike = transductive and _is_alike(learner, params, key, episode, adapted, outputs)
            is_finite = jnp.all(jnp.isfinite(outputs))
            return _FewShot(wide(value), is_finite, is_alike, pooled(outputs, query))

        return numbers

    def reduce(numbers: Any, estimate: Estimator) -> Evaluation:
        values = numbers.value
        if is_traced(values):  # Nothing can be raised there: NaN stays NaN.
            values = jnp.where(numbers.is_finite, values, jnp.nan)
        else:
            refuse_not_finite(numbers.is_finite, "the predictions of episode {} are not finite.")
            if not np.isfinite(values).all():
                episode = int(np.argmin(np.isfinite(values)))
                raise FloatingPointError(
                    f"the metric of episode {episode} is {values[episode]}, though its predictions "
                    "are finite: accuracy takes labels in [0, 1], `jaxmeta.losses.squared_error` "
                    "targets."
                )
            if np.all(numbers.is_alike):
                warnings.warn(
                    "transductive=True changed nothing: this learner keeps no batch statistics and "
                    "predicts each query by itself, so both protocols give the same numbers.",
                    stacklevel=4,
                )
        mean, interval, *bounds = estimate(values)
        return Evaluation(
            mean, interval, values, False, tuple(bounds), *calibration_and_log_loss(numbers.sums)
        )

    return Score(measure, reduce, metric)


def online(n_presentations: int = 10, is_right: Callable = losses.is_right) -> Score:
    """Scores every step of streams (`tasks.streams`), each predicted before its label is shown.

    The mean is the accuracy over all steps, `curve` that at the first, second, ... presentation of
    a class, and the probabilities are those of all steps. For learners whose `loss` takes streams,
    such as `mann`.

    Args:
      n_presentations: the last presentation to report, K of `curve`.
      is_right: `(outputs, y) -> [T]` bool; `losses.letters_are_right` for labels that are strings.

    Raises:
      ValueError: `n_presentations` is below 1.

    Example:
      >>> import jaxmeta
      >>> score = jaxmeta.online(n_presentations=3)  # for `jaxmeta.evaluate(..., score=score)`
    """
    at_least(1, n_presentations=n_presentations)

    def measure(learner: Any, transductive: bool) -> Callable:
        check_learner(learner)
        refuse_transductive("online", transductive)

        def numbers(params: Params, key: Key, stream: Stream) -> Any:
            check_stream(stream)
            _, outputs = learner.loss(params, key, stream)
            rows = Examples(*stream)
            number = losses.presentations(rows)
            belongs = number == jnp.arange(1, n_presentations + 1)[:, None]
            belongs = jnp.concatenate([belongs, number[None] > 0])  # [K + 1, T]
            right = belongs & is_right(outputs, rows.y)
            is_finite = jnp.all(jnp.isfinite(outputs))
            sums = pooled(outputs, rows)
            return _Online(belongs.sum(1), right.sum(1), is_finite, sums)

        return numbers

    def reduce(numbers: Any, estimate: Estimator) -> Evaluation:
        steps, right = numbers.steps, numbers.right
        if is_traced(right):
            right = jnp.where(numbers.is_finite[:, None], right, jnp.nan)
        else:
            refuse_not_finite(numbers.is_finite, "the predictions of stream {} are not finite.")
        means, intervals, low, high = estimate(right, steps)
        numpy: Any = jnp if is_traced(right) else np
        shares = numpy.where(steps > 0, right / numpy.maximum(steps, 1), numpy.nan)
        return Evaluation(
            means[-1],
            intervals[-1],
            shares[:, -1],
            False,
            (low[-1], high[-1]),
            *calibration_and_log_loss(numbers.sums),
            means[:-1],
            intervals[:-1],
            shares[:, :-1],
        )

    return Score(measure, reduce, is_right)


def chosen(score: Score | None, metric: Callable | None) -> Score:
    """The score that was asked for: by itself, by the metric of `few_shot`, or neither.

    Raises:
      ValueError: both are given.
      TypeError: `score` is something else.
    """
    if score is None:
        return few_shot() if metric is None else few_shot(metric)
    if metric is not None:
        raise ValueError(
            "give metric or score, not both: metric is short for score=few_shot(metric), and the "
            "other scores take what they measure themselves, as in rl.acting(metric)."
        )
    if not isinstance(score, Score):
        name = getattr(score, "__name__", type(score).__name__)
        raise TypeError(
            f"score must be a Score such as few_shot() or online(), got {name}: a function "
            "(outputs, query examples) -> scalar is a metric."
        )
    return score


class _FewShot(NamedTuple):
    value: jax.Array
    is_finite: jax.Array
    is_alike: jax.Array | bool
    sums: Pooled


class _Online(NamedTuple):
    steps: jax.Array  # [K + 1] by presentation; the last of all steps
    right: jax.Array  # [K + 1], of these
    is_finite: jax.Array
    sums: Pooled


def refuse_not_finite(is_finite: np.ndarray, message: str) -> None:
    """Names the first episode `[n_episodes]` that is not finite, in the place of `{}`.

    Raises:
      FloatingPointError: there is one.
    """
    if not np.all(is_finite):
        raise FloatingPointError(message.format(int(np.argmin(is_finite))))


def refuse_transductive(name: str, transductive: bool) -> None:
    """Refuses the protocol of query sets where there is none.

    Raises:
      ValueError: it was asked for.
    """
    if transductive:
        raise ValueError(
            f"transductive=True is for episodes with a query set; score={name}() has none: leave "
            "it out."
        )


def scalar(name: str, value: jax.Array) -> jax.Array:
    """The one number that a metric gives for an episode.

    Raises:
      ValueError: it gives several.
    """
    if value.shape:
        raise ValueError(
            f"{name} must give one number for an episode, got shape {value.shape}: take a mean."
        )
    return value


def _check_parts(name: str, learner: Any, *parts: str) -> None:
    if not all(callable(getattr(learner, part, None)) for part in parts):
        raise TypeError(
            f"score={name}() needs a learner with {' and '.join(parts)}, got "
            f"{type(learner).__name__}: agents are scored by score=jaxmeta.rl.acting()."
        )


def _is_alike(
    learner: Learner,
    params: Params,
    key: Key,
    episode: Episode,
    adapted: Adapted,
    outputs: jax.Array,
) -> jax.Array | bool:
    """Whether the first query's outputs are the same in company of the support set alone."""
    whole = jax.eval_shape(learner.adapt, params, key, episode.support)
    if len(jax.tree.leaves(whole)) > len(jax.tree.leaves(adapted)):
        return False  # It keeps batch statistics, and `transductive` has left them out.
    x = jnp.concatenate([company_of(episode.support), episode.query.x[:1]])
    alone = learner.predict(params, adapted, x)[-1]
    return jnp.max(jnp.abs(alone - outputs[0])) <= 1e-3 * jnp.max(jnp.abs(outputs))


def _measured(metric: Callable, outputs: jax.Array, query: Examples) -> jax.Array:
    try:
        return jnp.asarray(metric(outputs, query))
    except TypeError as error:
        raise TypeError(
            "metric must take (outputs, query examples) and give one number, as "
            f"jaxmeta.losses.accuracy does; this one raised: {error}"
        ) from error


def _check_fixed_classes(episode: Episode) -> None:
    """Looks at labels that are there already, as of a sample that gives always one episode."""
    if not is_traced(episode):
        parts = jax.tree.map(np.asarray, episode)
        check_classes(*(y if is_valid is None else y[is_valid] for _, y, is_valid in parts))
