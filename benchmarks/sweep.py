"""A sweep as one compiled program against its runs in turn, side by side.

    python benchmarks/sweep.py

Trains sinusoid MAML at two inner rates and three seeds: as one program, as `jaxmeta train --seeds
--sweep` does it, and the same six runs in turn, each as `jaxmeta train` does it. Compilation,
validation and checkpoints count, the meta-test does not. Both ways are timed one after the other,
`--rounds` times, and the medians are compared. Writes `benchmarks/results/sweep.json`. Minutes on
two cores.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from jaxmeta import experiments, recipes, runs
from jaxmeta.runs.run import versions
from jaxmeta.runs.sweep import cells
from jaxmeta.runs.together import train_together

NAME, SEEDS, SWEEP = "sinusoid-maml", (0, 1, 2), ("learner.inner_lr=0.005,0.01",)
OUT = Path(__file__).parent / "results" / "sweep.json"


def seconds(train):
    """How long it takes, with nothing compiled before."""
    jax.clear_caches()
    started = time.monotonic()
    train()
    return time.monotonic() - started


def largest_difference(one, other):
    """Of the validations of both ways, relative."""
    values = [
        np.array([record["val"] for record in runs.read_metrics(folder) if "val" in record])
        for folder in (one, other)
    ]
    return float(np.max(np.abs(values[0] - values[1]) / values[0]))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", default="nothing", help="what else ran on the machine")
    arguments = parser.parse_args()
    experiments.use_all_cores()
    recipe = recipes.find(NAME)
    outer = dataclasses.replace(recipe.outer, steps=arguments.steps)
    recipe = dataclasses.replace(recipe, outer=outer)
    times, differences = {"one program": [], "in turn": []}, []
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            together, alone = (
                cells(recipe, Path(folder) / way, seeds=SEEDS, sweep=SWEEP)
                for way in ("together", "alone")
            )

            def in_turn(alone=alone):
                for cell in alone:
                    runs.train(NAME, cell.recipe, cell.folder)

            ways = {
                "one program": lambda together=together: train_together(NAME, together),
                "in turn": in_turn,
            }
            for way in ways if number % 2 else reversed(ways):  # Each is the first in turn.
                times[way].append(seconds(ways[way]))
                print(f"{way}: {times[way][-1]:.1f} s", flush=True)
            differences += [
                largest_difference(one.folder, other.folder)
                for one, other in zip(together, alone, strict=True)
            ]
        write(arguments, times, differences)  # After each round, as one takes minutes.


def write(arguments, times, differences):
    """The result of the rounds so far."""
    medians = {way: statistics.median(values) for way, values in times.items()}
    content = {
        "command": f"python benchmarks/sweep.py --steps {arguments.steps}",
        "recipe": NAME,
        "seeds": SEEDS,
        "sweep": SWEEP,
        "meta_steps_of_each_run": arguments.steps,
        "seconds": {way: [round(value, 2) for value in values] for way, values in times.items()},
        "median_seconds": {way: round(value, 2) for way, value in medians.items()},
        "one_program_over_in_turn": round(medians["one program"] / medians["in turn"], 3),
        "largest_relative_difference_of_a_validation": max(differences),
        "cores": jax.local_device_count(),
        "beside": arguments.beside,
        "versions": versions(),
    }
    OUT.write_text(json.dumps(content, indent=2) + "\n")
    print(f"one program takes {content['one_program_over_in_turn']:.2f} of the time of six in turn")


if __name__ == "__main__":
    main()
