"""What unlabelled images bring a HyperTransformer, paired over the same test episodes.

    for recipe in omniglot-hypertransformer-20w1s{,-{2,5}-unlabelled}; do
        jaxmeta train $recipe
    done
    python benchmarks/unlabelled.py runs/omniglot-hypertransformer-20w1s{,-{2,5}-unlabelled}

Zhmoginov et al. 2022, section 5.3. An episode of a key has the same labelled images and queries
whatever the number of unlabelled ones, so that runs are compared episode by episode: inductive
accuracy, its difference to that of the first run, and, for a run that was trained with unlabelled
images, to its own without them; 95 % intervals. Writes `benchmarks/results/unlabelled.json`.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

import jaxmeta
from jaxmeta import recipes
from jaxmeta.recipes._run import META_TEST, load_best, stream, versions


def interval(values):
    """Mean and half width of its 95 % interval, in per cent."""
    half = 1.96 * np.std(values) / np.sqrt(len(values))
    return [round(100 * float(np.mean(values)), 2), round(100 * float(half), 2)]


def accuracies(run, n_episodes):
    """Accuracy per test episode by number of unlabelled images: the recipe's, and none."""
    _, recipe = recipes.read_config(run)
    found = {}
    for unlabelled in sorted({recipe.task.unlabelled, 0}, reverse=True):
        task = dataclasses.replace(recipe.task, unlabelled=unlabelled)
        experiment, _, params, _, _ = load_best(run, dataclasses.replace(recipe, task=task))
        found[unlabelled] = jaxmeta.evaluate(
            experiment.at_test,
            params,
            next(iter(experiment.meta_test.values())),
            n_episodes=n_episodes,
            key=stream(recipe, META_TEST),
        ).per_episode
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs; the first is compared")
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    rows, first = [], None
    for run in arguments.runs:
        found = accuracies(run, arguments.episodes)
        own, without = next(iter(found.values())), found[0]
        first = own if first is None else first
        row = {"run": recipes.read_config(run)[0], "accuracy": interval(own)}
        if own is not first:
            row["more_than_first"] = interval(own - first)
        if own is not without:
            row["more_than_without"] = interval(own - without)
        rows.append(row)
        print(*(f"{name}: {value}" for name, value in row.items()), sep="  ", flush=True)
    report = {"episodes": arguments.episodes, "runs": rows, "versions": versions()}
    path = arguments.out / "unlabelled.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
