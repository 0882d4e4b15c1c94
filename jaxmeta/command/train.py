"""`jaxmeta train RECIPE`."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxmeta import experiments, recipes, runs
from jaxmeta.command import flags, grid, supervisor
from jaxmeta.command.evaluate import test
from jaxmeta.experiments.own import OwnCode, allowed_files, is_file, load
from jaxmeta.training.processes import is_first, join


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """How to train."""

    quiet: bool = False
    """Show no progress and no validations, the results alone."""
    log: Literal["wandb", "mlflow"] | None = None
    """Send the metrics to this tracker, too. Its own settings say where."""
    distributed: str | None = None
    """Train in several processes: auto (Slurm, Open MPI, Kubernetes, TPU), or HOST:PORT."""
    process: int | None = None
    """Number of this process, with HOST:PORT."""
    processes: int | None = None
    """How many processes there are, with HOST:PORT."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(How):
    """Where and how to train."""

    run_dir: Path
    """Folder of the run: config, metrics, checkpoints, evaluation, curves."""
    resume: bool = False
    """Go on with the run in that folder. `jaxmeta resume` does so without the other flags."""
    seeds: tuple[int, ...] = ()
    """Train once with each of these seeds, each in a folder of its own."""
    sweep: tuple[str, ...] = ()
    """Train with each of these values of a field: learner.inner_lr=0.01,0.03. Several: a grid."""


USAGE = """\
usage: jaxmeta train RECIPE [--FIELD VALUE ...] [--run-dir DIR]
       jaxmeta train FILE.py[:NAME] [--FIELD VALUE ...] [--run-dir DIR]

Trains a recipe, evaluates it and draws it.

  jaxmeta recipes                    lists the recipes
  jaxmeta train RECIPE --help        shows the fields that are set most
  jaxmeta train RECIPE --help-all    shows every field
  jaxmeta resume RUN                 goes on with a run that was stopped
"""


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
        TrainOptions(run_dir=Path("runs") / named.name),
        named.recipe,
        arguments,
        prog=f"jaxmeta train {named.name}",
        description=f"Trains, evaluates and draws {named.name}.",
    )


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta train RECIPE`."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(
            "name a recipe, such as `jaxmeta train glyphs-maml-5w1s`; `jaxmeta recipes` "
            "lists them all."
        )
    named = find(arguments[0])
    options, recipe = train_options(named, arguments[1:])
    start(options, ["train", *arguments])
    if options.resume and is_first() and not options.run_dir.exists():
        print(f"{options.run_dir} does not exist yet: starting at step 0.", flush=True)
    if options.seeds or options.sweep:
        _train_grid(named._replace(recipe=recipe), options, arguments)
        return
    train_and_test(named._replace(recipe=recipe), options.run_dir, options.resume, options)


def _train_grid(named, options, arguments):
    """Trains a grid of runs; where it was stopped, says how to go on."""
    if options.distributed is not None:
        raise ValueError("a grid of --seeds and --sweep trains in one process.")
    is_complete = grid.train(
        named.name,
        named.recipe,
        options.run_dir,
        seeds=options.seeds,
        sweep=options.sweep,
        resume=options.resume,
        code=named.code,
        quiet=options.quiet,
    )
    if not is_complete:
        again = shlex.join([*(word for word in arguments if word != "--resume"), "--resume"])
        print(f"Stopped, all saved. To go on:\n  jaxmeta train {again}")
        sys.exit(130)


def start(how: How, arguments: Sequence[str]) -> None:
    """Gets the devices ready, and joins the other processes where there are any."""
    for part in ("process", "processes"):
        if how.distributed is None and (number := getattr(how, part)) is not None:
            raise ValueError(f"{part} is of several processes: give --distributed, got {number}.")
    if how.distributed is not None and not supervisor.is_supervised():
        code = [word for file in allowed_files() for word in ("--code", str(file))]
        sys.exit(supervisor.supervise([*arguments, *code]))
    experiments.use_all_cores()
    if how.distributed is not None:
        join(how.distributed, how.process, how.processes)


def train_and_test(named: Named, run_dir: Path, resume: bool, how: How) -> None:
    """Trains, and tests where the training came to its end; else says how to go on."""
    fitted = runs.train(
        named.name,
        named.recipe,
        run_dir,
        resume=resume,
        code=named.code,
        show_progress=not how.quiet,
        log=[how.log] if how.log else [],
    )
    if not is_first():  # The first one says and tests.
        sys.exit(0 if fitted.is_complete else 130)
    # Of the files named to this process a run of one's own needs them all again.
    code = "".join(f" --code {shlex.quote(str(file))}" for file in allowed_files())
    folder = shlex.quote(str(run_dir))
    if not fitted.is_complete:
        print(
            f"Stopped at step {int(fitted.state.step)}, all saved. To go on:\n"
            f"  jaxmeta resume {folder}{code}"
        )
        sys.exit(130)
    try:
        test(run_dir)
    except KeyboardInterrupt:
        print(f"Trained, not yet tested. To test:\n  jaxmeta evaluate {folder}{code}")
        raise
