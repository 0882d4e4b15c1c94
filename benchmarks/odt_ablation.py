"""What the online rounds and each part of an online decision transformer bring, paired over seeds.

    python benchmarks/odt_ablation.py

Two small tasks with one goal each, as the paper has one task: a dark room of 5x5 cells, 10 steps
from the middle to a corner 4 steps away (at best 7), and navigation of 10 steps to a goal at
(0.4, -0.3) (at best -0.68). The data to begin with are 300 trials of a teacher who acts in at most
0.4 of the steps. Ten rounds offline, thirty online; a transformer of 2 layers 16 wide. Beside the
whole method:

    no hindsight     learns from the return it was asked for, not from the one achieved
    no entropy       likelihood alone, without the constraint on the entropy
    transitions      windows of one step in place of six

Every variant has the same seeds: their first weights, given data and tasks are the same. Mean
returns after the offline and after the online rounds, and differences paired over seeds with their
95% intervals by Student's t, are written to `benchmarks/results/odt_ablation.json`. Takes some ten
minutes on two cores.
"""

import argparse
import json
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

from jaxmeta import rl
from jaxmeta.training import make_evaluate

RESULT = Path(__file__).parent / "results/odt_ablation.json"
OFFLINE, ONLINE, CONTEXT, TRIALS = 10, 30, 6, 40
VARIANTS = {
    "whole": {},
    "no hindsight": {"hindsight": False},
    "no entropy": {"constrained": False},
    "transitions": {"context": 1},
}


def dark_room():
    """Environment, teacher, and the return to ask for."""
    room = rl.environments.dark_room(5, horizon=10, start=(2, 2))
    return room._replace(sample=lambda key: jnp.array(24)), room.table.optimal, 7.0


def navigation():
    """The same of the plane."""
    world = rl.environments.unit_actions(rl.environments.navigation(horizon=10), 0.1)
    world = world._replace(sample=lambda key: jnp.array([0.4, -0.3]))
    return world, lambda state, task: jnp.clip((task - state) / 0.1, -1.0, 1.0), -0.7


def run(task, seeds, *, context=CONTEXT, **parts):
    """Returns `[seeds, 2]`: after the offline and after the online rounds."""
    world, teacher, target = task
    policy = rl.transformer(width=16, layers=2, heads=2, context=3 * context)
    agent = rl.online_decision_transformer(
        policy, world, target_return=target, exploration=1.0, greedy=False, **parts
    )
    behaviour = rl.teacher_with_noise(world, episodes=1, most_skill=0.4, teacher=teacher)
    training = rl.online_rounds(
        rl.offline_trials(world, behaviour, n=300),
        capacity=300,
        offline_rounds=OFFLINE,
        updates=30,
        windows=32,
        context=context,
    )
    tx = optax.adam(3e-3)
    step = training.make_step(
        agent, tx, world.sample, meta_batch_size=TRIALS, steps_per_call=OFFLINE
    )
    score = make_evaluate(agent, world.sample, n_episodes=400, score=rl.acting())

    def of_seed(seed):
        keys = jax.random.split(jax.random.key(seed), 3)
        state = training.init_state(keys[0], agent, tx, world.sample)
        returns = []
        for calls in (1, ONLINE // OFFLINE):
            for _ in range(calls):
                state, _ = step(state, keys[1])
            returns.append(float(score(state.params, keys[2]).curves.sum(1).mean()))
        return returns

    return np.array([of_seed(seed) for seed in range(seeds)])


def paired(differences):
    """Mean and half width of the 95% interval."""
    n = len(differences)
    width = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return {"mean": round(float(differences.mean()), 4), "interval": round(float(width), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    results = {}
    for name, task in {"dark room": dark_room(), "navigation": navigation()}.items():
        returns = {variant: run(task, seeds, **parts) for variant, parts in VARIANTS.items()}
        whole = returns["whole"]
        results[name] = {
            "returns": {
                variant: {"offline": r[:, 0].tolist(), "online": r[:, 1].tolist()}
                for variant, r in returns.items()
            },
            "online_less_offline": paired(whole[:, 1] - whole[:, 0]),
            "whole_less_variant": {
                variant: paired(whole[:, 1] - r[:, 1])
                for variant, r in returns.items()
                if variant != "whole"
            },
        }
        print(name, json.dumps(results[name], indent=2), flush=True)
        RESULT.write_text(
            json.dumps(
                {
                    "results": results,
                    "seeds": seeds,
                    "rounds": {"offline": OFFLINE, "online": ONLINE, "trials": TRIALS},
                    "backend": jax.default_backend(),
                    "jax": jax.__version__,
                    "python": platform.python_version(),
                },
                indent=2,
            )
            + "\n"
        )


if __name__ == "__main__":
    main()
