"""`jaxmeta evaluate RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import experiments, recipes, runs
from jaxmeta.command.pictures import CURVES, draw_memory, draw_runs


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Meta-tests a run again: inductive and transductive, and after each inner step."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder of the run"""
    n_episodes: int | None = None
    """episodes; None: as many as the recipe says; another number has a file of its own"""
    n_way: int | None = None
    """classes per episode, of metric learners; None: as the recipe says"""
    k_shot: int | None = None
    """support images per class; None: as the recipe says"""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta evaluate RUN`."""
    options = tyro.cli(EvaluateOptions, args=arguments, prog="jaxmeta evaluate")
    runs.read_config(options.run)  # A wrong folder is said before anything starts.
    experiments.use_all_cores()
    at = {"n_way": options.n_way, "k_shot": options.k_shot}
    test(options.run, n_episodes=options.n_episodes, **at)


def test(run_dir, **settings):
    """Meta-tests a run, prints what was found, and draws it."""
    results = runs.evaluate_run(run_dir, known=recipes.ALL, **settings)
    file = runs.evaluation_file(run_dir, **settings)
    print(f"{results['recipe']}, {results['setting']}, step {results['step_of_best_validation']}")
    rows = {
        "return": "mean over the tasks of meta_test",
        "inductive": "each query by itself",
        "transductive": "the query set's batch statistics",
        "untrained": "fresh parameters, adapted alike",
        "raw_pixel_nearest_neighbour": "the floor",
    }
    for row, meaning in rows.items():
        if row in results:
            print(f"  {row.replace('_', ' '):28} {_number(results, row)}  ({meaning})")
    if "log_loss" in (trained := results.get("inductive", {})):
        error, loss = 100 * trained["calibration_error"], trained["log_loss"]
        probabilities = f"calibration error {error:.2f} %, log-loss {loss:.3f} nats"
        print(f"  {'probabilities':28} {probabilities}  (each query by itself)")
    print(f"  {'published':28} {results['published']}  ({results['paper']})")
    metric = experiments.METRICS[results["metric"]]
    for row in ("given_context", "expected_reward"):
        for name, total in results.get(row, {}).items():
            text = metric.text(total["mean"], total["interval"])
            print(f"  {name:28} {text}  ({row.replace('_', ' ')})")
    if "by_presentation" in results.get("inductive", {}):
        shares = (f"{100 * share:.1f}" for share in results["inductive"]["by_presentation"])
        print(f"  by presentation of a class, %  {', '.join(shares)}")
    picture = draw_runs([run_dir], Path(run_dir) / CURVES)
    draw_memory(Path(run_dir))
    print(f"  saved in {run_dir}: {file.name}, {picture.name}")


def _number(results, row):
    metric = experiments.METRICS[results["metric"]]
    return metric.text(results[row]["mean"], results[row]["interval"])
