"""`jaxmeta train RECIPE`."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from jaxmeta import experiments, recipes, runs
from jaxmeta.command import grid, supervisor
from jaxmeta.command import recipes as recipe_table
from jaxmeta.command.evaluate import test
from jaxmeta.training.processes import is_first, join


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Where to train, and with which fields of the recipe."""

    recipe: experiments.Recipe
    run_dir: Path
    """folder of the run: config, metrics, checkpoints, evaluation, curves"""
    resume: bool = False
    """go on with the run in that folder; of its fields --steps alone may grow"""
    distributed: str | None = None
    """several processes: auto (Slurm, Open MPI, Kubernetes, TPU), or host:port of process 0"""
    process: int | None = None
    """number of this process, with host:port"""
    processes: int | None = None
    """how many processes there are, with host:port"""
    seeds: tuple[int, ...] = ()
    """train once with each of these seeds, each in a folder of its own; empty: with --seed"""
    sweep: tuple[str, ...] = ()
    """train with each of several values, such as learner.inner_lr=0.01,0.03; several: a grid"""


def train_options(name: str, arguments: Sequence[str]) -> TrainOptions:
    """A recipe with the fields that the arguments set."""
    return tyro.cli(
        TrainOptions,
        args=arguments,
        prog=f"jaxmeta train {name}",
        description=f"Trains, evaluates and draws {name}.",
        default=TrainOptions(recipes.find(name), Path("runs") / name),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta train RECIPE`."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: jaxmeta train RECIPE [--FIELD VALUE ...] [--run-dir DIR] [--resume]\n")
        recipe_table.main([])
        if "--help" not in arguments and "-h" not in arguments:
            raise ValueError("name a recipe.")
        return
    name, *rest = arguments
    options = train_options(name, rest)
    for part in ("process", "processes"):
        if options.distributed is None and (number := getattr(options, part)) is not None:
            raise ValueError(f"{part} is of several processes: give --distributed, got {number}.")
    if options.distributed is not None and not supervisor.is_supervised():
        sys.exit(supervisor.supervise(["train", *arguments]))
    experiments.use_all_cores()
    if options.seeds or options.sweep:
        if options.distributed is not None:
            raise ValueError("a grid of --seeds and --sweep trains in one process.")
        words = {"seeds": options.seeds, "sweep": options.sweep, "resume": options.resume}
        is_complete = grid.train(name, options.recipe, options.run_dir, **words)
        if not is_complete:
            _say_how_to_go_on("Stopped", arguments)
        return
    if options.distributed is not None:
        join(options.distributed, options.process, options.processes)
    if options.resume and is_first() and not options.run_dir.exists():
        print(f"{options.run_dir} does not exist yet: starting at step 0.", flush=True)
    fitted = runs.train(name, options.recipe, options.run_dir, resume=options.resume)
    if not is_first():  # The first one says and tests.
        sys.exit(0 if fitted.is_complete else 130)
    if not fitted.is_complete:
        _say_how_to_go_on(f"Stopped at step {int(fitted.state.step)}", arguments)
    try:
        test(options.run_dir)
    except KeyboardInterrupt:
        print(f"Trained, not yet tested. To test:\n  jaxmeta evaluate {options.run_dir}")
        raise


def _say_how_to_go_on(what, arguments):
    again = " ".join(word for word in arguments if word != "--resume")
    print(
        f"{what}, all saved. To go on, the same command with --resume:\n"
        f"  jaxmeta train {again} --resume"
    )
    sys.exit(130)
