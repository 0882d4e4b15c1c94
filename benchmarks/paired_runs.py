"""Runs compared over the same test episodes: HyperTransformers with unlabelled images, and MAML.

    name=omniglot-hypertransformer-20w1s
    jaxmeta train $name
    jaxmeta train $name --steps 40000 --run-dir runs/$name-40000-steps
    jaxmeta train $name-2-unlabelled
    jaxmeta train omniglot-maml-20w1s-8-channels
    python benchmarks/paired_runs.py runs/$name{,-40000-steps,-2-unlabelled} \\
        runs/omniglot-maml-20w1s-8-channels

An episode of a key has the same labelled images and queries whatever the learner and the number of
unlabelled images (Zhmoginov et al. 2022, section 5.3), so that runs are compared episode by
episode: inductive accuracy, its difference to that of the first run, and, for a run that was
trained with unlabelled images, to its own without them; 95 % intervals over episodes. They say
nothing of how one training differs from the next. Unlabelled images enter the tokens and the batch
statistics both, and are not told apart here. Writes `benchmarks/results/paired_runs.json`.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

import jaxmeta
from jaxmeta import runs
from jaxmeta.runs.run import META_TEST, load_best, seed_key, versions


def interval(values):
    """Mean and half width of its 95 % interval, in per cent."""
    half = 1.96 * np.std(values) / np.sqrt(len(values))
    return [round(100 * float(np.mean(values)), 2), round(100 * float(half), 2)]


def setting(run):
    """What makes two test episodes of one key the same."""
    _, recipe = runs.read_config(run)
    of_training = ("unlabelled", "train_n_way", "train_k_shot", "train_q_queries")
    task = dataclasses.asdict(recipe.task)
    return recipe.outer.seed, {name: task[name] for name in task if name not in of_training}


def accuracies(run, n_episodes):
    """Accuracy per test episode by number of unlabelled images: the recipe's, and none."""
    _, recipe = runs.read_config(run)
    found = {}
    for unlabelled in sorted({recipe.task.unlabelled, 0}, reverse=True):
        task = dataclasses.replace(recipe.task, unlabelled=unlabelled)
        best = load_best(run, dataclasses.replace(recipe, task=task))
        found[unlabelled] = jaxmeta.evaluate(
            best.experiment.at_test,
            best.params,
            next(iter(best.experiment.meta_test.values())),
            n_episodes=n_episodes,
            key=seed_key(recipe, META_TEST),
        ).per_episode
    return found, best.trained


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs; the first is compared")
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    for run in arguments.runs:
        if setting(run) != setting(arguments.runs[0]):
            parser.error(f"{run} has other test episodes than {arguments.runs[0]}.")
    rows, first = [], None
    for run in arguments.runs:
        found, trained = accuracies(run, arguments.episodes)
        own, without = next(iter(found.values())), found[0]
        first = own if first is None else first
        name = runs.read_config(run)[0]
        row = {"run": name, "meta_steps": trained, "accuracy": interval(own)}
        if own is not first:
            row["more_than_first"] = interval(own - first)
        if own is not without:
            row["more_than_without"] = interval(own - without)
        rows.append(row)
        print(*(f"{name}: {value}" for name, value in row.items()), sep="  ", flush=True)
    report = {"episodes": arguments.episodes, "runs": rows, "versions": versions()}
    path = arguments.out / "paired_runs.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
