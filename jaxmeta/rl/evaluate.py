"""Returns of an agent over tasks, reproducible like the episodes of `jaxmeta.evaluate`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.doors import check_key, check_params, check_sample
from jaxmeta.losses import wide
from jaxmeta.rl.agent import Agent
from jaxmeta.training.evaluate import half_width, over_episodes

TASKS_AT_ONCE = 50  # by vmap, where no other number is given


class Returns(NamedTuple):
    """Returns over tasks: after each inner step, or of each episode of a trial."""

    mean: float  # of the metric: by default the last of `at`, a return like all of them
    interval: float  # half width of the 95% interval, 1.96 * std / sqrt(n_tasks); NaN for one task
    per_task: np.ndarray  # [n_tasks, K] float64
    at: np.ndarray  # [K], mean return after k inner steps, or of episode k of a trial
    at_interval: np.ndarray  # [K], half widths of the 95% intervals of `at`; NaN for one
    per_episode: np.ndarray  # [n_tasks] float64, the metric of each task


def last(returns: jax.Array) -> jax.Array:
    """Return after the last inner step, or of a trial's last episode, from `[K]` of one task."""
    return returns[-1]


def evaluate_returns(
    agent: Agent,
    params: Any,
    sample: Callable[[jax.Array], Any],
    *,
    n_episodes: int,
    key: jax.Array,
    metric: Callable[[jax.Array], jax.Array] = last,
    episodes_at_once: int = TASKS_AT_ONCE,
) -> Returns:
    """Tests an agent in tasks; task i has the key `fold_in(key, i)`, so two agents meet the same.

    Args:
      agent: any agent.
      params: its meta-parameters.
      sample: `key -> task`, of an environment.
      n_episodes: number of tasks; of one the intervals are not known, and are NaN.
      key: seed of the tasks.
      metric: of the returns `[K]` of one task, one number; by default the last. `jnp.sum` gives
        what an agent with a memory earns in a whole trial (and means nothing over inner steps).
      episodes_at_once: tasks batched together by `vmap`.

    Raises:
      ValueError: a count is below 1.
      FloatingPointError: a return is not finite.
    """
    run = make_evaluate_returns(
        agent, sample, n_episodes=n_episodes, metric=metric, episodes_at_once=episodes_at_once
    )
    return run(params, key)


def make_evaluate_returns(
    agent: Agent,
    sample: Callable[[jax.Array], Any],
    *,
    n_episodes: int,
    metric: Callable[[jax.Array], jax.Array] = last,
    episodes_at_once: int = TASKS_AT_ONCE,
) -> Callable[[Any, jax.Array], Returns]:
    """`evaluate_returns` compiled once, for many parameters.

    Under `jit`, `vmap` or `grad` its numbers are arrays and nothing is raised: NaN stays NaN.
    """

    check_sample(sample)

    def score(params, key):
        key_task, key_agent = jax.random.split(key)
        returns = agent.test(params, key_agent, sample(key_task)).returns
        return wide(metric(returns)), wide(returns)

    compiled = over_episodes(score, n_episodes, min(episodes_at_once, n_episodes))

    def run(params, key):
        check_params(params)
        check_key(key)
        values, per_task = compiled(params, key)
        if isinstance(per_task, jax.core.Tracer):
            interval = half_width(jnp.std(values), n_episodes)
            intervals = half_width(jnp.std(per_task, 0), n_episodes)
            mean, at = jnp.mean(values), jnp.mean(per_task, 0)
            # Inside a program the fields are JAX's arrays, where everybody else reads floats.
            return Returns(mean, interval, per_task, at, intervals, values)  # type: ignore[arg-type]
        # Many results are added up.
        values, per_task = np.asarray(values, np.float64), np.asarray(per_task, np.float64)
        if not np.isfinite(per_task).all():
            task = int(np.argwhere(~np.isfinite(per_task))[0][0])
            raise FloatingPointError(f"the returns in task {task} are not finite.")
        return Returns(
            float(values.mean()),
            float(half_width(values.std(), n_episodes)),
            per_task,
            per_task.mean(0),
            half_width(per_task.std(0), n_episodes),
            values,
        )

    return run
