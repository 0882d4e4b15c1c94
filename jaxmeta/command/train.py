"""`jaxmeta train RECIPE`."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmeta import experiments, recipes, runs
from jaxmeta.command import flags, supervisor
from jaxmeta.command import recipes as recipe_table
from jaxmeta.command.evaluate import test
from jaxmeta.experiments.own import OwnCode, is_file, load
from jaxmeta.training.processes import is_first, join


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Where and how to train."""

    run_dir: Path
    """Folder of the run: config, metrics, checkpoints, evaluation, curves."""
    resume: bool = False
    """Go on with the run in that folder. Of its fields --steps alone may grow."""
    distributed: str | None = None
    """Train in several processes: auto (Slurm, Open MPI, Kubernetes, TPU), or HOST:PORT of process
    0."""
    process: int | None = None
    """Number of this process, with HOST:PORT."""
    processes: int | None = None
    """How many processes there are, with HOST:PORT."""


class Named(NamedTuple):
    """A recipe and what it is called."""

    name: str
    recipe: experiments.Recipe
    code: OwnCode | None = None  # the file that it is from, where it is not jaxmeta's


def find(name: str) -> Named:
    """The recipe of that name, or from that file of the user, which is executed.

    Raises:
      ValueError: there is none, or the file cannot be executed.
    """
    if not is_file(name):
        return Named(name, recipes.find(name))
    code = load(name)
    return Named(code.name, code.recipe, code)


def train_options(
    named: Named, arguments: Sequence[str]
) -> tuple[TrainOptions, experiments.Recipe]:
    """What the arguments set: where and how to train, and the fields of the recipe."""
    return flags.parse(
        TrainOptions(Path("runs") / named.name),
        named.recipe,
        arguments,
        prog=f"jaxmeta train {named.name}",
        description=f"Trains, evaluates and draws {named.name}.",
    )


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta train RECIPE`."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: jaxmeta train RECIPE [--FIELD VALUE ...] [--run-dir DIR] [--resume]\n")
        recipe_table.main([])
        if "--help" not in arguments and "-h" not in arguments:
            raise ValueError("name a recipe.")
        return
    named = find(arguments[0])
    options, recipe = train_options(named, arguments[1:])
    for part in ("process", "processes"):
        if options.distributed is None and (number := getattr(options, part)) is not None:
            raise ValueError(f"{part} is of several processes: give --distributed, got {number}.")
    if options.distributed is not None and not supervisor.is_supervised():
        sys.exit(supervisor.supervise(["train", *arguments]))
    experiments.use_all_cores()
    if options.distributed is not None:
        join(options.distributed, options.process, options.processes)
    if options.resume and is_first() and not options.run_dir.exists():
        print(f"{options.run_dir} does not exist yet: starting at step 0.", flush=True)
    fitted = runs.train(named.name, recipe, options.run_dir, resume=options.resume, code=named.code)
    if not is_first():  # The first one says and tests.
        sys.exit(0 if fitted.is_complete else 130)
    if not fitted.is_complete:
        print(
            f"Stopped at step {int(fitted.state.step)}, all saved. To go on, the same command with "
            f"--resume:\n  jaxmeta train {' '.join(arguments)} --resume".replace(
                " --resume --resume", " --resume"
            )
        )
        sys.exit(130)
    try:
        test(options.run_dir)
    except KeyboardInterrupt:
        print(f"Trained, not yet tested. To test:\n  jaxmeta evaluate {options.run_dir}")
        raise
