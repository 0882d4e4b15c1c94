"""What the meta-test of an in-context agent adds: exact posteriors, optima, given contexts."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import rl
from jaxmeta.experiments.parts import Work
from jaxmeta.rl import bandits
from jaxmeta.rl._rollout import returns_by_episode
from jaxmeta.training import evaluate
from jaxmeta.training.evaluate import over_episodes
from jaxmeta.training.intervals import half_width

MOST_CONTEXTS = 200_000  # for which all contexts are gone through: 5 arms and 10 pulls
AT_ONCE = 2_000  # contexts, by vmap
TOGETHER = 200  # tasks, by vmap


def source_by_episode(work: Work, source: Callable) -> dict[str, list[float]]:
    """Return of each episode of the learner that is imitated, in tasks like those of the test."""
    episodes, n_tasks = work.recipe.learner.source_episodes, work.n_episodes
    sample = next(iter(work.experiment.meta_test.values()))

    def one(params, key):
        del params
        key_task, key_source = jax.random.split(key)
        return returns_by_episode(source(key_source, sample(key_task)), episodes)

    returns = np.asarray(over_episodes(one, n_tasks, TOGETHER)((), work.key))
    width = half_width(returns.std(0), n_tasks)
    return {"mean": returns.mean(0).tolist(), "interval": width.tolist()}


def given_context(work: Work) -> dict[str, Any]:
    """Return of the first episode after a full context that another has acted."""
    recipe, results = work.recipe, {}
    config: Any = recipe.learner
    for name, share in (("behaviour alone", 0.0), ("with the teacher", 1.0)):
        agent = config.build(recipe.net, recipe.task, given=config.context, teacher_share=share)
        returns = evaluate(
            agent,
            work.params,
            next(iter(work.experiment.meta_test.values())),
            n_episodes=work.n_episodes,
            key=work.key,
            score=rl.acting(lambda returns: returns[0]),
        )
        results[name] = {
            "mean": returns.mean,
            "interval": returns.interval,
            "n_episodes": work.n_episodes,
        }
    return results


def posterior(task: Any, work: Work) -> dict[str, Any]:
    """How far the net is from the posterior of the best arm, in all contexts there are.

    The mean is over contexts as often as even chances for all arms lead to them.
    """
    params, n_arms, n_pulls = work.params, task.n_arms, task.n_pulls
    reader, answer = work.recipe.net.build(None), rl.best_action_logits
    distances, weights = [], []

    def one(params, outcomes, n):
        """Outcomes `[n_pulls]`: twice the arm, plus what it paid."""
        rows = jnp.concatenate(
            [
                jnp.ones((n_pulls, 1)),
                jax.nn.one_hot(outcomes // 2, n_arms),
                jnp.ones((n_pulls, 1)),
                (outcomes % 2)[:, None],
            ],
            axis=1,
        )
        encoded = reader.encode(params["reader"], rows)
        is_seen = (jnp.arange(n_pulls) < n)[None]
        logits = answer(reader, params, encoded, jnp.ones((1, 1)), is_seen)
        return jax.nn.softmax(logits[0])

    answers = jax.jit(jax.vmap(one, in_axes=(None, 0, None)))
    for n in range(n_pulls + 1):
        contexts = multisets(2 * n_arms, n)
        outcomes = np.zeros((len(contexts), n_pulls), int)
        outcomes[:, :n] = contexts
        counts = (contexts[..., None] == np.arange(2 * n_arms)).sum(1)
        failures, successes = counts[:, ::2], counts[:, 1::2]
        exact = bandits.best_arm_posterior(successes, failures)
        shares = []
        for first in range(0, len(outcomes), AT_ONCE):
            part = outcomes[first : first + AT_ONCE]
            padded = np.pad(part, ((0, AT_ONCE - len(part)), (0, 0)), mode="edge")
            shares.append(np.asarray(answers(params, padded, n))[: len(part)])
        distances.append(np.abs(np.concatenate(shares) - exact).sum(1) / 2)
        weights.append(_chance(successes + failures))
    return {
        "total_variation": [
            {
                "pulls": n,
                "contexts": len(distance),
                "mean": float(distance @ weight),
                "largest": float(distance.max()),
            }
            for n, (distance, weight) in enumerate(zip(distances, weights, strict=True))
        ]
    }


def multisets(n_kinds: int, size: int) -> np.ndarray:
    """All ways to take `size` things of `n_kinds`, in no order, a row `[size]` for each."""
    rows = np.zeros((1, 0), int)
    for _ in range(size):
        last = rows[:, -1] if rows.shape[1] else np.zeros(1, int)
        rows = np.concatenate(
            [
                np.concatenate([rows[last <= kind], np.full(((last <= kind).sum(), 1), kind)], 1)
                for kind in range(n_kinds)
            ]
        )
    return rows


def _chance(pulls):
    """Of counts, where arms are drawn evenly: `[contexts]`.

    Of n pulls of an arm from U[0, 1] each number of successes is as likely, 1 / (n + 1).
    """
    factorial = np.vectorize(math.factorial, otypes=[float])
    n, n_arms = pulls.sum(1), pulls.shape[1]
    orders = factorial(n) / factorial(pulls).prod(1)
    return orders / float(n_arms) ** n / (pulls + 1).prod(1)
