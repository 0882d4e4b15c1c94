"""`jaxmeta resume RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import runs
from jaxmeta.command.train import How, Named, start, train_and_test


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeOptions(How):
    """Goes on with a run that was stopped, with the fields it was started with."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    steps: int | None = None
    """Meta-steps in all, those that are done included; may be more than the run was started with.
    None: as many as it was started with."""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta resume RUN`."""
    options = tyro.cli(ResumeOptions, args=arguments, prog="jaxmeta resume")
    name, recipe = runs.read_config(options.run)
    if options.steps is not None:
        outer = dataclasses.replace(recipe.outer, steps=options.steps)
        recipe = dataclasses.replace(recipe, outer=outer)
    start(options, ["resume", *arguments])
    train_and_test(Named(name, recipe), options.run, True, options)
