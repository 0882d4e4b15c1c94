"""The command `jaxmeta`."""

import dataclasses
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxmeta import experiments, plots, recipes, runs
from jaxmeta.checks import at_least
from jaxmeta.command import supervisor
from jaxmeta.command.huge_pages import restart_with_huge_pages
from jaxmeta.command.program_cache import keep_programs
from jaxmeta.training.processes import is_first, join

USAGE = """\
usage: jaxmeta COMMAND ...

Meta-learning experiments from published recipes.

  jaxmeta recipes                 the recipes: paper, setting, published number
  jaxmeta train RECIPE            train, evaluate and draw; any field can be set
  jaxmeta evaluate RUN            meta-test a run again
  jaxmeta plot RUN [RUN ...]      draw one run, or several in one picture
  jaxmeta analyse RUN             measure and draw the meta-gradient and curvature of a run
  jaxmeta replay RUN --step N     run one training step again, every operation checked

  jaxmeta predict --support DIR --query DIR    classify pictures by a few of each class
  jaxmeta fit --support DIR --out MODEL        keep such a classifier
  jaxmeta export RUN|MODEL        one file that runs with JAX alone

Each command explains itself: `jaxmeta train --help`, `jaxmeta train RECIPE --help`.

To begin: jaxmeta train glyphs-maml-5w1s     (minutes on two cores, no download)
"""

CURVES = "curves.png"
TASK = "task.png"


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


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draws learning and adaptation curves of one run, or of several in one picture.

    Of one run on images also an episode: support, queries and predictions, the confusion of its
    classes and, for metric learners, its embedding in two dimensions, in episode.png. Of one run of
    a learner that reads the support set in one pass also task.png: generated weights, attention of
    weight tokens to samples, a predictive mean and band. Of one run on navigation also paths.png,
    and of one in-context agent where it looks, in attention.png.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders of the runs"""
    out: Path | None = None
    """the picture; None: curves.png in the first run's folder"""
    episode: int = 0
    """which episode of the meta-test to draw"""


@dataclasses.dataclass(frozen=True)
class AnalyseOptions:
    """Measures a run's meta-gradient on one task of meta_test, and draws it.

    The expansion of MAML's, FOMAML's and Reptile's direction, the curvature before and after
    adaptation, bias and cost of four ways to the meta-gradient, and a finite-difference check.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """folder of the run"""


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """Runs one step of a run again: each task by itself, then eagerly with checks on.

    Says which task and which operation give the first number that is not finite.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """folder of the run"""
    step: int
    """number of the step, as the run that stopped has said"""


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


def train(arguments: Sequence[str]) -> None:
    """`jaxmeta train RECIPE`."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: jaxmeta train RECIPE [--FIELD VALUE ...] [--run-dir DIR] [--resume]\n")
        list_recipes([])
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
    if options.distributed is not None:
        join(options.distributed, options.process, options.processes)
    if options.resume and is_first() and not options.run_dir.exists():
        print(f"{options.run_dir} does not exist yet: starting at step 0.", flush=True)
    fitted = runs.train(name, options.recipe, options.run_dir, resume=options.resume)
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
        _evaluate(options.run_dir)
    except KeyboardInterrupt:
        print(f"Trained, not yet tested. To test:\n  jaxmeta evaluate {options.run_dir}")
        raise


def evaluate(arguments: Sequence[str]) -> None:
    """`jaxmeta evaluate RUN`."""
    options = tyro.cli(EvaluateOptions, args=arguments, prog="jaxmeta evaluate")
    runs.read_config(options.run)  # A wrong folder is said before anything starts.
    experiments.use_all_cores()
    at = {"n_way": options.n_way, "k_shot": options.k_shot}
    _evaluate(options.run, n_episodes=options.n_episodes, **at)


def plot(arguments: Sequence[str]) -> None:
    """`jaxmeta plot RUN...`."""
    options = tyro.cli(PlotOptions, args=arguments, prog="jaxmeta plot")
    if not options.runs:
        raise ValueError("name at least one run folder.")
    at_least(0, episode=options.episode)
    if options.episode and len(options.runs) > 1:
        raise ValueError(f"episode is drawn of one run, got {len(options.runs)} runs.")
    if options.episode and not runs.has_images(runs.read_config(options.runs[0])[1]):
        raise ValueError("episode is drawn of a run on images, and this run has none.")
    print(f"wrote {_draw(options.runs, options.out or options.runs[0] / CURVES)}")
    if len(options.runs) == 1:
        _draw_episode(options.runs[0], options.episode)
        _draw_look(options.runs[0])
        _draw_paths(options.runs[0])
        _draw_attention(options.runs[0])
        _draw_memory(options.runs[0])


def list_recipes(arguments: Sequence[str]) -> None:
    """`jaxmeta recipes`."""
    if arguments:
        raise ValueError(f"recipes takes no arguments, got {' '.join(arguments)}.")
    table = Table(box=None)
    for column in ("recipe", "paper and setting", "published"):
        table.add_column(column, overflow="fold", no_wrap=column == "recipe")
    for name, recipe in recipes.ALL.items():
        table.add_row(name, recipe.paper, recipe.published)
    Console().print(table)


def analyse(arguments: Sequence[str]) -> None:
    """`jaxmeta analyse RUN`."""
    options = tyro.cli(AnalyseOptions, args=arguments, prog="jaxmeta analyse")
    name, _ = runs.read_config(options.run)
    analysis = runs.analyse_run(options.run)
    path = options.run / "analysis.png"
    plots.draw_analysis(analysis, f"{name}, one task of meta_test").savefig(path, dpi=120)
    error = analysis.check.relative_error
    print(f"{name}: jax.grad and finite differences of the loss differ by {error:.1e} (relative)")
    print(f"wrote {options.run / 'analysis.json'} and {path}")


def replay(arguments: Sequence[str]) -> None:
    """`jaxmeta replay RUN --step N`."""
    options = tyro.cli(ReplayOptions, args=arguments, prog="jaxmeta replay")
    runs.read_config(options.run)
    experiments.use_all_cores()
    found = runs.replay_run(options.run, step=options.step)
    print(f"step {found.step}, from {found.origin}")
    for number, (loss, norm) in enumerate(
        zip(found.tasks.loss, found.tasks.grad_norm, strict=True)
    ):
        mark = "  <- not finite" if not np.isfinite([loss, norm]).all() else ""
        print(f"  task {number:3}  loss {loss:12.6g}  meta-gradient {norm:12.6g}{mark}")
    if found.task is None and found.operation is None:
        print("all finite, and every operation of every task too")
    else:
        print(
            f"the first operation that is not finite: {found.operation or 'none when run eagerly'}"
        )


def _of_photos(name: str) -> Callable[[Sequence[str]], None]:
    """A command in a file of its own, imported when it is called: scikit-learn takes its time."""
    return lambda arguments: importlib.import_module(f"jaxmeta.command.{name}").main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "analyse": analyse,
    "evaluate": evaluate,
    "export": _of_photos("export"),
    "fit": _of_photos("fit"),
    "plot": plot,
    "predict": _of_photos("predict"),
    "recipes": list_recipes,
    "replay": replay,
    "train": train,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a mistake of the user gives one line and exit status 2."""
    is_a_program = arguments is None  # and not a call from Python
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if is_a_program and arguments[:1] == ["train"]:
        restart_with_huge_pages()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    command, *rest = arguments
    warnings.showwarning, sys.unraisablehook = _show_warning, _show_unraisable
    try:
        if command not in COMMANDS:
            raise ValueError(f"unknown command {command!r}; one of {', '.join(COMMANDS)}.")
        keep_programs()
        COMMANDS[command](rest)
    except BrokenPipeError:  # The reader, `head` say, has seen enough; nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("jaxmeta: stopped.", file=sys.stderr)
        if is_a_program:  # Python taking itself down while XLA compiles ended in a crash.
            sys.stdout.flush()
            os._exit(130)
        sys.exit(130)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"jaxmeta: {error}", file=sys.stderr)
        sys.exit(2)
    except jax.errors.JaxRuntimeError as error:
        if supervisor.is_supervised():
            supervisor.leave(error)
        print(f"jaxmeta: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)
    except (TypeError, OverflowError, MemoryError) as error:
        # Fields that only together ask for too much, such as a net of 2**62 weights.
        said = str(error).splitlines() or ["out of memory"]
        print(f"jaxmeta: {type(error).__name__}: {said[0]}", file=sys.stderr)
        sys.exit(2)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    del category, filename, lineno, file, line
    print(f"jaxmeta: warning: {message}", file=sys.stderr)


def _show_unraisable(unraisable):
    # One array that cannot be read makes Orbax leave the others, which then find no event loop.
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _evaluate(run_dir, **settings):
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
    print(f"  {'published':28} {results['published']}  ({results['paper']})")
    metric = experiments.METRICS[results["metric"]]
    for row in ("given_context", "expected_reward"):
        for name, total in results.get(row, {}).items():
            text = metric.text(total["mean"], total["interval"])
            print(f"  {name:28} {text}  ({row.replace('_', ' ')})")
    if "by_presentation" in results.get("inductive", {}):
        shares = (f"{100 * share:.1f}" for share in results["inductive"]["by_presentation"])
        print(f"  by presentation of a class, %  {', '.join(shares)}")
    picture = _draw([run_dir], Path(run_dir) / CURVES)
    _draw_memory(Path(run_dir))
    print(f"  saved in {run_dir}: {file.name}, {picture.name}")


def _draw_episode(run_dir, number):
    name, recipe = runs.read_config(run_dir)
    if not runs.has_images(recipe):
        return
    view = runs.episode_of_run(run_dir, number=number)
    path = Path(run_dir) / "episode.png"
    plots.draw_episode(view, f"{name}, episode {number} of meta_test").savefig(path, dpi=120)
    print(f"wrote {path}")


def _draw_look(run_dir):
    look = runs.look_run(run_dir)
    figure = look and plots.draw_look(look, f"{run_dir.name}, a task of meta_test")
    if figure is not None:
        figure.savefig(run_dir / TASK, dpi=120)
        print(f"wrote {run_dir / TASK}")


def _draw_paths(run_dir):
    paths = runs.paths_of_run(run_dir)
    if paths is not None:
        path = run_dir / "paths.png"
        plots.draw_paths(paths, f"{run_dir.name}, tasks of meta_test").savefig(path, dpi=120)
        print(f"wrote {path}")


def _draw_attention(run_dir):
    view = runs.attention_of_run(run_dir)
    if view is not None:
        path = run_dir / "attention.png"
        plots.draw_attention(view, f"{run_dir.name}, a task of meta_test").savefig(path, dpi=120)
        print(f"wrote {path}")


def _draw_memory(run_dir):
    trace = run_dir / runs.MEMORY_TRACE
    if trace.exists():
        path = run_dir / "memory.png"
        title = f"{run_dir.name}, one stream of meta_test"
        plots.draw_memory(json.loads(trace.read_text()), title).savefig(path, dpi=120)
        print(f"wrote {path}")


def _number(results, row):
    metric = experiments.METRICS[results["metric"]]
    return metric.text(results[row]["mean"], results[row]["interval"])


def _draw(run_dirs, path):
    drawn = {}
    for run_dir in map(Path, run_dirs):
        runs.read_config(run_dir)
        file = run_dir / "evaluation.json"
        evaluation = json.loads(file.read_text()) if file.exists() else None
        drawn[run_dir.name] = (runs.read_metrics(run_dir), evaluation)
    metrics = {evaluation["metric"] for _, evaluation in drawn.values() if evaluation}
    if len(metrics) > 1:
        raise ValueError(f"one picture shows runs of one metric, got {', '.join(sorted(metrics))}.")
    plots.draw_runs(drawn).savefig(path, dpi=120)
    return path
