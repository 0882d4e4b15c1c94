"""A grid of runs: which seeds and which values of which fields."""

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from jaxmeta.experiments.codec import decode
from jaxmeta.experiments.recipe import Recipe

SEED = "outer.seed"
PROVENANCE = "provenance"  # of a recipe, which is no setting
_WORDS = {"True": True, "False": False, "None": None}


class Cell(NamedTuple):
    """One run of a grid."""

    folder: Path
    values: tuple[tuple[str, Any], ...]  # of the fields swept, by path
    seed: int
    recipe: Recipe


def cells(
    recipe: Recipe,
    folder: str | Path,
    *,
    seeds: Sequence[int] = (),
    sweep: Sequence[str] = (),
) -> list[Cell]:
    """Every combination of seeds and swept values, each with a folder of its own.

    Args:
      recipe: of all, but for the fields swept.
      folder: in which those of the cells are.
      seeds: by default that of the recipe.
      sweep: fields and their values, such as `"learner.inner_lr=0.01,0.03"`: a path of attributes
        of the recipe, and values as JSON writes them, lists for fields of several numbers.

    Raises:
      ValueError: there is no such field, a value is none of it, or a value stands there twice.

    Example:
      >>> from jaxmeta import recipes
      >>> sweep = ["outer.outer_lr=0.1,1.0"]
      >>> grid = cells(recipes.find("sinusoid-maml"), "runs", seeds=[0, 1], sweep=sweep)
      >>> [cell.folder.name for cell in grid][:2]
      ['outer_lr=0.1_seed=0', 'outer_lr=0.1_seed=1']
    """
    axes = [_axis(recipe, text) for text in sweep]
    paths = [path for path, _ in axes]
    for path, values in [*axes, (SEED, list(seeds))]:
        if paths.count(path) > 1 or any(values.count(value) > 1 for value in values):
            raise ValueError(f"{path} and each of its values must be given once, got {values}.")
    if SEED in paths:
        raise ValueError(f"{SEED} is no field to sweep: give --seeds.")
    short = [path.rpartition(".")[2] for path in paths]
    names = short if len(set(short)) == len(short) else paths
    found = []
    for combination in itertools.product(*(values for _, values in axes)):
        values = tuple(zip(paths, combination, strict=True))
        for seed in seeds or [recipe.outer.seed]:
            there = recipe
            for path, value in (*values, (SEED, seed)):
                there = with_field(there, path, value)
            parts = [f"{name}={_text(v)}" for name, v in zip(names, combination, strict=True)]
            name = "_".join([*parts, f"seed={seed}"])
            found.append(Cell(Path(folder) / name, values, seed, there))
    folders = [cell.folder.name for cell in found]
    if twice := [name for name in folders if folders.count(name) > 1]:
        raise ValueError(
            f"values must differ in letters, digits, '.', '+' or '-', of which the name of a "
            f"folder is made: two of them give {twice[0]!r}."
        )
    return found


def with_field(config: Any, path: str, value: Any) -> Any:
    """A config with another value in the field at a path of attributes."""
    name, _, rest = path.partition(".")
    inner = with_field(getattr(config, name), rest, value) if rest else value
    return dataclasses.replace(config, **{name: inner})


def _axis(recipe, text):
    """Path and values of `path=value,value`."""
    path, equals, listed = text.partition("=")
    if not equals or not listed.strip():
        raise ValueError(
            f"sweep must be FIELD=VALUE,VALUE, as in learner.inner_lr=0.01,0.03; got {text!r}."
        )
    *parents, name = path.strip().split(".")
    config: Any = recipe
    for parent in parents:
        config = getattr(config, _field(config, parent, path))
    hint = get_type_hints(type(config))[_field(config, name, path)]
    try:
        values = json.loads(f"[{listed}]")
    except ValueError:
        values = [_value(word.strip()) for word in listed.split(",")]
    return path.strip(), [decode(hint, value, path) for value in values]


def _value(word):
    """What a word stands for: what JSON or Python says, or itself."""
    try:
        return _WORDS[word] if word in _WORDS else json.loads(word)
    except ValueError:
        return word


def _field(config, name, path):
    """The name of a field, if it is one that can be set."""
    fields = [field.name for field in dataclasses.fields(config)] if _is_config(config) else []
    if name not in fields or name == PROVENANCE:
        there = ", ".join(field for field in fields if field != PROVENANCE) or "none"
        raise ValueError(f"{path} is no field: there is no {name!r}; the fields there are {there}.")
    return name


def _is_config(thing):
    return dataclasses.is_dataclass(thing)


def _text(value):
    """A value in the name of a folder."""
    if isinstance(value, tuple):
        return "-".join(map(_text, value))
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(value))
