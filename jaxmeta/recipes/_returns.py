"""The meta-test of an agent: returns, regret, and the paths it walks."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import rl
from jaxmeta.recipes._agents import Bandits, MamlRl, Navigation
from jaxmeta.recipes._experiment import Experiment
from jaxmeta.recipes._in_context_results import beside_returns
from jaxmeta.recipes._recipe import Recipe
from jaxmeta.recipes._run import META_TEST, load_best, read_config, stream
from jaxmeta.rl import bandits
from jaxmeta.training.evaluate import over_episodes

METRIC = "return"
SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of UCB1's bound, of which the best is reported
TOGETHER = 200  # tasks, by vmap
PATHS = 4


def return_results(
    recipe: Recipe, experiment: Experiment, params: Any, start: Any, key: jax.Array, n_tasks: int
) -> dict[str, Any]:
    """Returns of an agent and of fresh parameters in the same tasks.

    Of agents with inner steps after each of them; of agents with a memory by episode of the trial;
    on bandits the regret of each pull, beside that of the strategies of `rl.bandits`.
    """
    config = recipe.learner
    setting, sample = next(iter(experiment.meta_test.items()))

    def score(params):
        return rl.evaluate_returns(
            experiment.learner,
            params,
            sample,
            n_episodes=n_tasks,
            key=key,
            metric=config.metric,
            episodes_at_once=20 if isinstance(config, MamlRl) else TOGETHER,
        )

    trained, untrained = score(params), score(start)
    results: dict[str, Any] = {
        "return": _summary(trained.mean, trained.interval, n_tasks),
        "untrained": _summary(untrained.mean, untrained.interval, n_tasks),
    }
    if isinstance(config, MamlRl):
        results["adaptation"] = {
            name: [
                {"inner_steps": steps} | _summary(mean, interval, n_tasks)
                for steps, (mean, interval) in enumerate(zip(r.at, r.at_interval, strict=True))
            ]
            for name, r in ((setting, trained), ("untrained", untrained))
        }
    elif isinstance(recipe.task, Bandits):
        agent = _agent_regret(experiment.learner, params)
        results |= _regrets(recipe.task, agent, sample, key, n_tasks)
    else:
        results["by_episode"] = {
            name: {"mean": r.at.tolist(), "interval": r.at_interval.tolist()}
            for name, r in (("trained", trained), ("untrained", untrained))
        }
    results |= beside_returns(recipe, params, sample, key, n_tasks)
    return results


def _agent_regret(agent, params):
    def regret(key, arms):
        return bandits.expected_regret(arms, agent.test(params, key, arms).trajectories.action)

    return regret


def _regrets(task, agent, sample, key, n_tasks):
    """Expected regret at each pull, and expected rewards in all, by strategy."""

    def curves(regret):
        def one(scale, key):
            key_task, key_play = jax.random.split(key)
            arms = sample(key_task)
            return regret(scale, key_play, arms), task.n_pulls * jnp.max(arms)

        compiled = over_episodes(one, n_tasks, min(TOGETHER, n_tasks))

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
        width = 1.96 / np.sqrt(n_tasks)
        regret[name] = {
            "mean": values.mean(0).tolist(),
            "interval": (width * values.std(0)).tolist(),
        }
        expected[name] = _summary(rewards.mean(), width * rewards.std(), n_tasks)
    if task.n_pulls <= bandits.MOST_PULLS:
        best = bandits.bayes_optimal(task.n_arms, task.n_pulls)
        # The largest of n draws from U[0, 1] is n / (n + 1) on average.
        lost = np.cumsum(task.n_arms / (task.n_arms + 1) - best)
        regret["Bayes optimum"] = {"mean": lost.tolist(), "interval": [0.0] * len(best)}
        expected["Bayes optimum"] = {"mean": float(best.sum()), "interval": 0.0}
    return {"regret": regret, "expected_reward": expected, "ucb1_scale": ucb1}


def _summary(mean, interval, n_tasks):
    return {"mean": float(mean), "interval": float(interval), "n_episodes": n_tasks}


class Paths(NamedTuple):
    """Where an agent walks in some tasks of the plane."""

    goals: np.ndarray  # [P, 2]
    positions: np.ndarray  # [P, K, E, H, 2], of E episodes after 0, 1, ... steps, or of K episodes
    is_valid: np.ndarray  # [P, K, E, H]


def paths_of_run(run_dir: str | Path) -> Paths | None:
    """Walks with a run's best parameters in the first tasks of its meta-test; None elsewhere.

    Raises:
      FileNotFoundError: the folder holds no run, or a run without a checkpoint.
    """
    _, recipe = read_config(run_dir)
    if not isinstance(recipe.task, Navigation):
        return None
    best = load_best(run_dir, recipe)
    key = stream(recipe, META_TEST)
    agent, sample = best.experiment.learner, next(iter(best.experiment.meta_test.values()))

    def walk(params, key):
        key_task, key_agent = jax.random.split(key)
        goal = sample(key_task)
        trajectory = agent.test(params, key_agent, goal).trajectories
        positions, is_valid = trajectory.seen.observation, trajectory.is_valid
        if not isinstance(recipe.learner, MamlRl):  # One trial, cut into its episodes.
            number = jnp.arange(recipe.task.trial)[:, None, None]
            is_valid = is_valid & (trajectory.episode == number)
            positions = jnp.broadcast_to(positions, (*is_valid.shape, 2))
        return goal, positions, is_valid

    return Paths(*map(np.asarray, over_episodes(walk, PATHS, PATHS)(best.params, key)))
