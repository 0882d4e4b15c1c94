"""A learned optimiser against tuned SGD and Adam on random quadratics, at 100 steps.

    jaxmeta train quadratic-learned-optimizer
    python benchmarks/learned_optimizer.py runs/quadratic-learned-optimizer

Andrychowicz et al. 2016, section 3.1. The rates of SGD (plain, with momentum) and Adam are the best
of a grid on 500 problems of their own; all then meet the same 1,000 problems. Printed is the mean
loss after 100 steps with its 95% interval, and written to
`benchmarks/results/learned_optimizer.json`.
"""

import argparse
import json
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import optax

import jaxmeta
from jaxmeta import recipes
from jaxmeta.training.checkpoint import Checkpoints

STEPS = 100
RATES = np.geomspace(1e-3, 1.0, 13)
PEERS = {
    "SGD": optax.sgd,
    "SGD with momentum 0.9": lambda rate: optax.sgd(rate, momentum=0.9),
    "Adam": optax.adam,
}


def hand_made(tx, recipe):
    """A learner that trains the same net with an optax optimiser; nothing is learned."""
    return jaxmeta.learned_optimizer(
        recipe.net.build(1),
        rule=jaxmeta.rules.from_optax(tx),
        inner_steps=STEPS,
        loss_fn=optax.squared_error,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the trained run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    name, recipe = recipes.read_config(arguments.run)
    experiment = recipes.build(recipe)
    sample = experiment.meta_train
    state = jaxmeta.init_state(jax.random.key(0), experiment.learner, experiment.tx, sample)
    with closing(Checkpoints(arguments.run)) as checkpoints:
        trained = checkpoints.restore_best(state.params)

    def score(learner, params, key, n_episodes):
        return jaxmeta.evaluate(
            learner,
            params,
            sample,
            n_episodes=n_episodes,
            key=jax.random.key(key),
            metric=jaxmeta.losses.squared_error,
            episodes_at_once=100,
        )

    results = {}
    learner = experiment.after(STEPS)
    results["learned"] = score(learner, trained, 1, 1000), None
    for peer, make in PEERS.items():
        best, best_rate = None, None
        for rate in RATES:
            tuned = hand_made(make(rate), recipe)
            params = tuned.init(jax.random.key(0), sample(jax.random.key(0)))
            try:
                value = score(tuned, params, 2, 500).mean
            except FloatingPointError:  # This rate diverges.
                continue
            if best is None or value < best:
                best, best_rate = value, float(rate)
        tuned = hand_made(make(best_rate), recipe)
        params = tuned.init(jax.random.key(0), sample(jax.random.key(0)))
        results[peer] = score(tuned, params, 1, 1000), best_rate
    report = {}
    for peer, (result, rate) in results.items():
        print(f"{peer:22} {result.mean:.5f} ± {result.interval:.5f}   rate {rate}")
        report[peer] = {"mean": result.mean, "interval": result.interval, "rate": rate}
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "learned_optimizer.json"
    path.write_text(
        json.dumps({"recipe": name, "steps": STEPS, "results": report}, indent=2) + "\n"
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
