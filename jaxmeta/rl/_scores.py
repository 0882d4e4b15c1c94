"""What `jaxmeta.evaluate` measures of agents: returns, and the likelihood of given actions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.losses import wide
from jaxmeta.training.intervals import is_traced
from jaxmeta.training.scores import (
    Evaluation,
    Score,
    refuse_not_finite,
    refuse_transductive,
    scalar,
)

TASKS_AT_ONCE = 50  # by vmap, where no other number is given


def last(returns: jax.Array) -> jax.Array:
    """Return after the last inner step, or of a trial's last episode, from `[K]` of one task."""
    return returns[-1]


def acting(metric: Callable[[jax.Array], jax.Array] = last) -> Score:
    """Returns of an agent over tasks.

    The mean is that of the metric; `curve` `[K]` has the mean return after k inner steps, or of
    episode k of a trial, and `curves` `[n_episodes, K]` those of each task.

    Args:
      metric: of the returns `[K]` of one task, one number; by default the last. `jnp.sum` gives
        what an agent with a memory earns in a whole trial (and means nothing over inner steps).

    Example:
      >>> import jaxmeta
      >>> bandits = jaxmeta.rl.environments.bernoulli_bandits(2)
      >>> agent = jaxmeta.rl.rl2(jaxmeta.rl.gru(4), bandits, episodes=3)
      >>> key = jax.random.key(0)
      >>> params = agent.init(key, bandits.sample(key))
      >>> result = jaxmeta.evaluate(
      ...     agent, params, bandits.sample, n_episodes=5, key=key, score=acting(jnp.sum)
      ... )
      >>> result.curves.shape
      (5, 3)
    """

    def measure(agent, transductive):
        refuse_transductive("acting", transductive)
        if not callable(getattr(agent, "test", None)):
            raise TypeError(
                f"score=acting() needs an rl.Agent, got {type(agent).__name__}: learners are "
                "scored by score=few_shot() or online()."
            )

        def numbers(params, key, task):
            returns = agent.test(params, key, task).returns
            return _Returns(wide(scalar("metric", jnp.asarray(metric(returns)))), wide(returns))

        return numbers

    def reduce(numbers, estimate):
        values, returns = numbers
        if not is_traced(returns):
            is_finite = np.isfinite(returns).all(axis=1)
            refuse_not_finite(is_finite, "the returns in task {} are not finite.")
            is_finite = np.isfinite(values)
            refuse_not_finite(is_finite, "the metric of the returns in task {} is not finite.")
        mean, interval, *bounds = estimate(values)
        along = estimate(returns)
        return Evaluation(
            mean,
            interval,
            values,
            False,
            tuple(bounds),
            curve=along.mean,
            curve_interval=along.interval,
            curves=returns,
        )

    return Score(measure, reduce, metric, TASKS_AT_ONCE)


def likelihood() -> Score:
    """Mean log-likelihood of the given actions, in nats per action, plus the agent's own credit.

    For agents that learn from given data, on fresh data of each task. A decision-pretrained agent
    is as good as its posterior, and acts the better in short trials the greedier it is: to keep the
    parameters of the largest return would not keep those that sample from the posterior.
    """

    def measure(agent, transductive):
        refuse_transductive("likelihood", transductive)

        def numbers(params, key, task):
            return wide(-agent.loss(params, key, task)[0])

        return numbers

    def reduce(values, estimate):
        if not is_traced(values):
            refuse_not_finite(np.isfinite(values), "the likelihood in task {} is not finite.")
        mean, interval, *bounds = estimate(values)
        return Evaluation(mean, interval, values, False, tuple(bounds))

    return Score(measure, reduce, likelihood, TASKS_AT_ONCE)


class _Returns(NamedTuple):
    value: jax.Array  # the metric
    returns: jax.Array  # [K]
