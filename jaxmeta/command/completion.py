"""`jaxmeta --tyro-print-completion SHELL`: words of the command line for a shell to complete."""

import dataclasses
import functools
import importlib
import operator
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jaxmeta import recipes
from jaxmeta.command.cli import COMMANDS
from jaxmeta.command.train import TrainOptions


def main(arguments: Sequence[str]) -> None:
    """Prints the completion that tyro makes for bash, zsh or tcsh."""
    parts: list[Any] = [
        Annotated[_options(command), tyro.conf.subcommand(command)]
        for command in COMMANDS
        if command != "train"
    ]
    # The options of `train` that no recipe decides, after the name of a recipe.
    own = [
        (field.name, field.type, dataclasses.field(default=field.default))
        for field in dataclasses.fields(TrainOptions)
        if field.default is not dataclasses.MISSING
    ]
    options = dataclasses.make_dataclass("Options", own)
    names = functools.reduce(
        operator.or_, (Annotated[options, tyro.conf.subcommand(name)] for name in recipes.ALL)
    )
    train = dataclasses.make_dataclass("Train", [("recipe", names)])
    parts.append(Annotated[train, tyro.conf.subcommand("train")])
    tyro.cli(
        functools.reduce(operator.or_, parts),
        args=arguments,
        prog="jaxmeta",
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )


def _options(command):
    """The dataclass of a command's options, which has its name."""
    module = importlib.import_module(f"jaxmeta.command.{command}")
    return getattr(module, f"{command.capitalize()}Options")
