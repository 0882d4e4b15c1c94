"""The command `jaxmeta`."""

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import jax

import jaxmeta
from jaxmeta.command import supervisor
from jaxmeta.command.huge_pages import restart_with_huge_pages
from jaxmeta.command.program_cache import keep_programs

USAGE = """\
usage: jaxmeta COMMAND ...

Meta-learning experiments from published recipes.

  jaxmeta recipes                 the recipes: paper, setting, published number
  jaxmeta train RECIPE            train, evaluate and draw; any field can be set; with --seeds
                                  and --sweep a grid of runs
  jaxmeta train FILE.py:NAME      the same with a recipe of your own; executes the file
  jaxmeta resume RUN              go on with a run that was stopped
  jaxmeta evaluate RUN            meta-test a run again, by any protocol
  jaxmeta compare RUN RUN ...     test runs on the same episodes: differences with p-values
  jaxmeta plot RUN [RUN ...]      draw one run, or several in one picture
  jaxmeta analyse RUN             measure and draw the meta-gradient and curvature of a run
  jaxmeta publish RUN DIR         keep results and parameters where anyone can test them again
  jaxmeta replay RUN --step N     run one training step again, every operation checked

  jaxmeta predict --support DIR --query DIR    classify pictures by a few of each class
  jaxmeta fit --support DIR --out MODEL        keep such a classifier
  jaxmeta export RUN|MODEL        one file that runs with JAX alone

Each command explains itself: `jaxmeta train --help`, `jaxmeta train RECIPE --help`.
`jaxmeta --tyro-print-completion bash` (or zsh, tcsh) prints what your shell completes them by.

A run of a recipe of your own is read by executing its file: add --code FILE.py to the command.

To begin: jaxmeta train glyphs-maml-5w1s     (minutes on two cores, no download)
"""

COMPLETION = "--tyro-print-completion"
# Each is `main` of the module of its name, imported when it is called.
COMMANDS = (
    "analyse",
    "compare",
    "evaluate",
    "export",
    "fit",
    "plot",
    "predict",
    "publish",
    "recipes",
    "replay",
    "resume",
    "train",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a mistake of the user gives one line and exit status 2."""
    is_a_program = arguments is None  # and not a call from Python
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if is_a_program and arguments[:1] in (["train"], ["resume"]):
        restart_with_huge_pages()
    if arguments == ["--version"]:
        print(f"jaxmeta {jaxmeta.__version__}")
        return
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] == COMPLETION:
        importlib.import_module("jaxmeta.command.completion").main(arguments)
    command, *rest = arguments
    warnings.showwarning, sys.unraisablehook = _show_warning, _show_unraisable
    try:
        if command not in COMMANDS:
            raise ValueError(f"unknown command {command!r}; one of {', '.join(COMMANDS)}.")
        rest = _allow_code(rest)
        keep_programs()
        importlib.import_module(f"jaxmeta.command.{command}").main(rest)
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


def _allow_code(arguments):
    """The arguments without `--code FILE`, which lets the command execute that file."""
    rest, words = [], iter(arguments)
    for word in words:
        if word == "--code" or word.startswith("--code="):
            file = word.partition("=")[2] or next(words, "")
            if not file:
                raise ValueError("--code must be followed by a Python file.")
            importlib.import_module("jaxmeta.experiments.own").allow(file)
        else:
            rest.append(word)
    return rest


def _show_warning(message, category, filename, lineno, file=None, line=None):
    del category, filename, lineno, file, line
    print(f"jaxmeta: warning: {message}", file=sys.stderr)


def _show_unraisable(unraisable):
    # One array that cannot be read makes Orbax leave the others, which then find no event loop.
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
