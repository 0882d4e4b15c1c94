"""`jaxmeta recipes [WORD] [--family FAMILY]`."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from jaxmeta import recipes

WIDTH = 80


@dataclasses.dataclass(frozen=True)
class RecipesOptions:
    """Lists the recipes: name and published number, paper and setting.

    Long texts are cut at 80 columns. `jaxmeta recipes NAME` shows those of one recipe whole.
    """

    word: Annotated[str | None, tyro.conf.Positional] = None
    """Part of the name or of the paper. None: all recipes."""
    family: Literal["gradient", "metric", "memory", "hyper", "agents"] | None = None
    """Family of the learner. None: all families."""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta recipes`."""
    options = tyro.cli(RecipesOptions, args=arguments, prog="jaxmeta recipes")
    if options.word in recipes.ALL and options.family is None:
        _show(options.word, recipes.ALL[options.word])
        return
    word = (options.word or "").lower()
    found = {
        name: recipe
        for name, recipe in recipes.ALL.items()
        if word in f"{name} {recipe.paper}".lower()
        and options.family in (None, recipe.learner.family)
    }
    if not found:
        family = f" of the family {options.family}" if options.family else ""
        raise ValueError(f"no recipe{family} has {options.word!r} in its name or its paper.")
    names = max(map(len, found))
    for name, recipe in found.items():
        print(f"{name:{names}}  {_cut(recipe.published, WIDTH - names - 2)}")
        print(f"    {_cut(recipe.paper, WIDTH - 4)}")


def _cut(text, width):
    return textwrap.shorten(text, width, placeholder=" ...")


def _show(name, recipe):
    for title, text in (
        ("recipe", name),
        ("paper", recipe.paper),
        ("published", recipe.published),
        ("changes", recipe.changes),
    ):
        print(textwrap.fill(text, WIDTH, initial_indent=f"{title:10} ", subsequent_indent=" " * 11))
    print(f"\nTo train it: jaxmeta train {name}")
