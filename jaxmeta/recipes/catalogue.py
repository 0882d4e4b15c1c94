"""The recipes by name."""

import difflib

from jaxmeta.experiments.recipe import Recipe
from jaxmeta.recipes.agents import AGENTS
from jaxmeta.recipes.cifar import CIFAR
from jaxmeta.recipes.glyphs import GLYPHS
from jaxmeta.recipes.hyper import HYPER
from jaxmeta.recipes.memory import MEMORY
from jaxmeta.recipes.omniglot import OMNIGLOT
from jaxmeta.recipes.omniglot_metric import OMNIGLOT_METRIC
from jaxmeta.recipes.quadratic import QUADRATIC
from jaxmeta.recipes.sinusoid import SINUSOID

ALL: dict[str, Recipe] = (
    SINUSOID | QUADRATIC | GLYPHS | OMNIGLOT | OMNIGLOT_METRIC | MEMORY | HYPER | CIFAR | AGENTS
)


def find(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
      ValueError: there is none.
    """
    if name in ALL:
        return ALL[name]
    near = difflib.get_close_matches(name, ALL, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown recipe {name!r}; {hint}`jaxmeta recipes` lists them all.")
