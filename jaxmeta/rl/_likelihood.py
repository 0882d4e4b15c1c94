"""Log-likelihood of given actions over tasks, for agents that learn from given data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmeta.rl.agent import Agent
from jaxmeta.training.evaluate import half_width, over_episodes

TASKS_AT_ONCE = 50  # by vmap


class Likelihood(NamedTuple):
    """Mean log-likelihood of the given actions, over tasks never seen."""

    mean: float  # nats per action, plus the agent's own credit
    interval: float  # half width of the 95% interval; NaN for one task
    per_task: np.ndarray  # [n_tasks]


def make_evaluate_likelihood(
    agent: Agent,
    sample: Callable[[jax.Array], Any],
    *,
    n_episodes: int,
    metric: Callable | None = None,
) -> Callable[[Any, jax.Array], Likelihood]:
    """Compiles `(params, key) -> Likelihood` of fresh data in `n_episodes` tasks, for `fit`.

    A decision-pretrained agent is as good as its posterior, and acts the better in short trials
    the greedier it is: to keep the parameters of the largest return would not keep those that
    sample from the posterior.

    Args:
      agent: one that learns from given data.
      sample: `key -> task`, of an environment.
      n_episodes: number of tasks; task i has the key `fold_in(key, i)`.
      metric: not used; returns have one, and `fit` hands it over.

    Raises:
      ValueError: `n_episodes` is below 1.
    """
    del metric

    def score(params, key):
        key_task, key_agent = jax.random.split(key)
        return -agent.loss(params, key_agent, sample(key_task))[0]

    compiled = over_episodes(score, n_episodes, min(TASKS_AT_ONCE, n_episodes))

    def run(params, key):
        values = np.asarray(compiled(params, key))
        if not np.isfinite(values).all():
            task = int(np.argwhere(~np.isfinite(values))[0][0])
            raise FloatingPointError(f"the likelihood in task {task} is not finite.")
        interval = float(half_width(values.std(), n_episodes))
        return Likelihood(float(values.mean()), interval, values)

    return run
