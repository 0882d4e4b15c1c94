"""The meta-test of an agent: returns and regret."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import rl
from jaxmeta.experiments.parts import Work
from jaxmeta.rl import bandits
from jaxmeta.training import evaluate
from jaxmeta.training.evaluate import over_episodes
from jaxmeta.training.intervals import half_width

SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of UCB1's bound, of which the best is reported
TOGETHER = 200  # tasks, by vmap


def return_results(work: Work) -> dict[str, Any]:
    """Returns of an agent and of fresh parameters in the same tasks.

    Of agents with inner steps after each of them; of agents with a memory what the domain says of
    a trial.
    """
    recipe, experiment, n_tasks = work.recipe, work.experiment, work.n_episodes
    setting, sample = next(iter(experiment.meta_test.items()))

    def score(params):
        return evaluate(
            experiment.learner,
            params,
            sample,
            n_episodes=n_tasks,
            key=work.key,
            score=rl.acting(experiment.metric),
            episodes_at_once=recipe.learner.tasks_at_test,
        )

    trained, untrained = score(work.params), score(work.start)
    results: dict[str, Any] = {
        "return": _summary(trained.mean, trained.interval, n_tasks),
        "untrained": _summary(untrained.mean, untrained.interval, n_tasks),
    }
    if recipe.learner.adapts:
        results["adaptation"] = {
            name: [
                {"inner_steps": steps} | _summary(mean, interval, n_tasks)
                for steps, (mean, interval) in enumerate(
                    zip(r.curve, r.curve_interval, strict=True)
                )
            ]
            for name, r in ((setting, trained), ("untrained", untrained))
        }
    else:
        results |= recipe.task.along_a_trial(work, trained, untrained)
    if recipe.task.optimum is not None:
        results["optimum_of_an_episode"] = recipe.task.optimum
    return results | recipe.learner.extra_results(work)


def by_episode(trained: Any, untrained: Any) -> dict[str, Any]:
    """Return of each episode of a trial."""
    return {
        "by_episode": {
            name: {"mean": r.curve.tolist(), "interval": r.curve_interval.tolist()}
            for name, r in (("trained", trained), ("untrained", untrained))
        }
    }


def _agent_regret(agent, params):
    def regret(key, arms):
        return bandits.expected_regret(arms, agent.test(params, key, arms).trajectories.action)

    return regret


def regrets(task: Any, work: Work) -> dict[str, Any]:
    """Expected regret at each pull, and expected rewards in all, by strategy."""
    agent = _agent_regret(work.experiment.learner, work.params)
    sample, key = next(iter(work.experiment.meta_test.values())), work.key
    n_tasks = work.n_episodes

    def curves(regret):
        def one(scale, key):
            key_task, key_play = jax.random.split(key)
            arms = sample(key_task)
            return regret(scale, key_play, arms), task.n_pulls * jnp.max(arms)

        compiled = over_episodes(one, n_tasks, TOGETHER)

        def run(scale, key):
            regrets, most = compiled(jnp.float32(scale), key)
            regrets, most = np.asarray(regrets, np.float64), np.asarray(most, np.float64)
            return regrets, most - regrets[:, -1]

        return run

    def played(strategy):
        def regret(scale, key, arms):
            pulled = bandits.play(strategy(scale), key, arms, task.n_pulls)
            return bandits.expected_regret(arms, pulled)

        return curves(regret)

    strategies = {
        "agent": curves(lambda _, key, arms: agent(key, arms)),
        "Thompson sampling": played(lambda _: bandits.thompson),
        "UCB1": played(bandits.ucb1),
        "greedy": played(lambda _: bandits.greedy),
    }
    key_scale = jax.random.fold_in(key, n_tasks)  # Other tasks than those of the test.
    ucb1 = max(SCALES, key=lambda scale: strategies["UCB1"](scale, key_scale)[1].mean())
    regret, expected = {}, {}
    for name, strategy in strategies.items():
        values, rewards = strategy(ucb1, key)
        regret[name] = {
            "mean": values.mean(0).tolist(),
            "interval": half_width(values.std(0), n_tasks).tolist(),
        }
        expected[name] = _summary(rewards.mean(), half_width(rewards.std(), n_tasks), n_tasks)
    if task.n_pulls <= bandits.MOST_PULLS:
        best = bandits.bayes_optimal(task.n_arms, task.n_pulls)
        # The largest of n draws from U[0, 1] is n / (n + 1) on average.
        lost = np.cumsum(task.n_arms / (task.n_arms + 1) - best)
        regret["Bayes optimum"] = {"mean": lost.tolist(), "interval": [0.0] * len(best)}
        expected["Bayes optimum"] = {"mean": float(best.sum()), "interval": 0.0}
    return {"regret": regret, "expected_reward": expected, "ucb1_scale": ucb1}


def _summary(mean, interval, n_tasks):
    return {"mean": float(mean), "interval": float(interval), "n_episodes": n_tasks}
