"""`jaxmeta evaluate RUN`."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import experiments, recipes, runs
from jaxmeta.command.pictures import CURVES, draw_memory, draw_runs
from jaxmeta.experiments import Protocol


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Meta-tests a run again, by its own protocol or another one.

    Inductive and transductive, and after each inner step. Each protocol has a file of its own in
    the folder of the run.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    protocol: Annotated[Protocol, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Protocol
    )
    json: bool = False
    """Print the result as JSON and nothing else, and draw nothing."""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta evaluate RUN`."""
    options = tyro.cli(EvaluateOptions, args=arguments, prog="jaxmeta evaluate")
    runs.evaluation_file(options.run, options.protocol)  # Said before anything starts.
    experiments.use_all_cores()
    if options.json:
        print(json.dumps(_evaluate(options.run, options.protocol), indent=2))
    else:
        test(options.run, options.protocol)


def _evaluate(run_dir, protocol):
    return runs.evaluate_run(run_dir, known=recipes.ALL, **dataclasses.asdict(protocol))


def test(run_dir: Path, protocol: Protocol = Protocol()) -> None:
    """Meta-tests a run, prints what was found, and draws it."""
    results = _evaluate(run_dir, protocol)
    file = runs.evaluation_file(run_dir, protocol)
    split = "" if results["split"] == "meta_test" else f", {results['split']}"
    step = results["step_of_best_validation"]
    print(f"{results['recipe']}, {results['setting']}{split}, step {step}")
    rows = {
        "return": f"mean over the tasks of {results['split']}",
        "inductive": "each query by itself",
        "transductive": "the query set's batch statistics",
        "untrained": "fresh parameters, adapted alike",
        "raw_pixel_nearest_neighbour": "the floor",
    }
    metric = experiments.METRICS[results["metric"]]
    for row, meaning in rows.items():
        if row in results:
            print(f"  {row.replace('_', ' '):28} {_number(results, row)}  ({meaning})")
    if "log_loss" in (trained := results.get("inductive", {})):
        error, loss = 100 * trained["calibration_error"], trained["log_loss"]
        probabilities = f"calibration error {error:.2f} %, log-loss {loss:.3f} nats"
        print(f"  {'probabilities':28} {probabilities}  (each query by itself)")
    if file.name == runs.AGAIN:
        before = json.loads((Path(run_dir) / "evaluation.json").read_bytes())
        row = metric.row
        print(f"  {'in the published results':28} {_number(before, row)}  ({row})")
    print(f"  {'published':28} {results['published']}  ({results['paper']})")
    for row in ("given_context", "expected_reward"):
        for name, total in results.get(row, {}).items():
            text = metric.text(total["mean"], total["interval"])
            print(f"  {name:28} {text}  ({row.replace('_', ' ')})")
    if "by_presentation" in results.get("inductive", {}):
        shares = (f"{100 * share:.1f}" for share in results["inductive"]["by_presentation"])
        print(f"  by presentation of a class, %  {', '.join(shares)}")
    if file.name == runs.AGAIN:  # Nothing published is drawn anew.
        print(f"  saved in {run_dir}: {file.name}")
        return
    picture = draw_runs([run_dir], Path(run_dir) / CURVES)
    draw_memory(Path(run_dir))
    print(f"  saved in {run_dir}: {file.name}, {picture.name}")


def _number(results, row):
    metric = experiments.METRICS[results["metric"]]
    return metric.text(results[row]["mean"], results[row]["interval"])
