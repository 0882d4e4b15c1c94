"""A learned optimiser against tuned SGD and Adam on random quadratics, at 100 steps.

    jaxmeta train quadratic-learned-optimizer
    python benchmarks/learned_optimizer.py runs/quadratic-learned-optimizer

Andrychowicz et al. 2016, section 3.1. All meet the same 1,000 problems, and the rates of SGD
(plain, with momentum) and Adam are the best of a grid on these very problems, which favours them: a
rate tuned on others may diverge on one of these. Printed are the mean loss after 100 steps and,
paired by problem, how much more a peer leaves than the learned optimiser, with 95% intervals;
written to `benchmarks/results/learned_optimizer.json`.
"""

import argparse
import json
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import optax

import jaxmeta
from jaxmeta import experiments, runs
from jaxmeta.runs.checkpoints import Checkpoints

STEPS = 100
PROBLEMS = 1000
RATES = np.geomspace(1e-2, 1.0, 13)
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


def interval(values):
    """Mean and half width of its 95% interval."""
    return float(values.mean()), float(1.96 * values.std() / np.sqrt(len(values)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the trained run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    recipe_name, recipe = runs.read_config(arguments.run)
    experiment = experiments.build(recipe)
    sample = experiment.meta_train
    state = jaxmeta.init_state(jax.random.key(0), experiment.learner, experiment.tx, sample)
    with closing(Checkpoints(arguments.run)) as checkpoints:
        trained = checkpoints.restore_best(state.params)

    def losses(learner, params):
        return jaxmeta.evaluate(
            learner,
            params,
            sample,
            n_episodes=PROBLEMS,
            key=jax.random.key(1),
            metric=jaxmeta.losses.squared_error,
            episodes_at_once=100,
        ).per_episode

    learned = losses(experiment.after(STEPS), trained)
    report = {"learned": {"loss": interval(learned)}}
    for peer, make in PEERS.items():
        best = None
        for rate in RATES:
            tuned = hand_made(make(rate), recipe)
            params = tuned.init(jax.random.key(0), sample(jax.random.key(0)))
            try:
                found = losses(tuned, params)
            except FloatingPointError:  # This rate diverges.
                continue
            if best is None or found.mean() < best[0].mean():
                best = found, float(rate)
        left, rate = best
        report[peer] = {"loss": interval(left), "more": interval(left - learned), "rate": rate}
    for name, row in report.items():
        text = f"{name:22} {row['loss'][0]:.5f} ± {row['loss'][1]:.5f}"
        if "more" in row:
            text += f", {row['more'][0]:.5f} ± {row['more'][1]:.5f} more; rate {row['rate']:.3f}"
        print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "learned_optimizer.json"
    path.write_text(
        json.dumps(
            {"recipe": recipe_name, "steps": STEPS, "problems": PROBLEMS, "results": report},
            indent=2,
        )
        + "\n"
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
