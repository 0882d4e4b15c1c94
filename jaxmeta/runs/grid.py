"""A grid of runs in one folder: trained, tested, and the best setting by validation."""

import csv
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmeta.experiments.codec import encode
from jaxmeta.experiments.own import OwnCode
from jaxmeta.experiments.recipe import Recipe
from jaxmeta.runs.checkpoints import Checkpoints, write_json
from jaxmeta.runs.meta_test import evaluate_run
from jaxmeta.runs.metrics import read_metrics
from jaxmeta.runs.parameters import OWN
from jaxmeta.runs.run import read_config, train, versions
from jaxmeta.runs.sweep import SEED, Cell, cells, with_field
from jaxmeta.runs.together import traced_paths, train_together

GRID = "grid.json"
TABLE = "grid.csv"


@dataclasses.dataclass(frozen=True)
class OverSeeds:
    """A number of runs that differ in the seed alone."""

    each: tuple[float, ...]
    mean: float
    interval: float | None
    """half width of the 95% interval over seeds, by Student's t; None of one seed"""


@dataclasses.dataclass(frozen=True)
class Setting:
    """The runs of one combination of swept values."""

    values: tuple[tuple[str, Any], ...]
    """by path of the field"""
    seeds: tuple[int, ...]
    """of the runs that came to their end"""
    failed: tuple[int, ...]
    """seeds of those that met a number that is not finite"""
    folders: tuple[str, ...]
    """of the runs that came to their end"""
    validation: OverSeeds | None
    """of the parameters that validated best; None where no run came to its end"""
    test: OverSeeds | None
    """of the same parameters, on meta_test"""


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a grid of runs has found."""

    recipe: str
    metric: str
    setting: str
    settings: tuple[Setting, ...]
    best: int | None
    """number of the setting whose mean validation over seeds is the best, of those without a failed
    run; meta_test has no part in it"""
    is_complete: bool
    """False when stopped by Ctrl-C or SIGTERM: nothing is tested then"""


def train_grid(
    name: str,
    recipe: Recipe,
    folder: str | Path,
    *,
    seeds: Sequence[int] = (),
    sweep: Sequence[str] = (),
    resume: bool = False,
    known: Mapping[str, Recipe] | None = None,
    code: OwnCode | None = None,
    show_progress: bool = True,
    report: Callable[[str], None] | None = None,
) -> Grid:
    """Trains a recipe at every combination of seeds and values, and tests every run.

    Each run has a folder of its own in `folder`, as `train` writes it. Runs that differ in the seed
    and in `traced_paths(recipe)` alone are trained as one program; the others in turn. Where all
    are trained and tested, `grid.json` and `grid.csv` are written.

    Args:
      name: of the recipe.
      recipe: of all runs, but for what is swept.
      folder: of the grid.
      seeds, sweep: as for `cells`.
      resume: go on: runs that have ended are left as they are, others go on from their newest
        checkpoint, and there may be more seeds and values than before.
      known: recipes by name, as for `evaluate_run`.
      code, show_progress: as for `train`.
      report: is given a line when something begins or fails.

    Returns `Grid`.

    Raises:
      ValueError: a field or value is wrong, or a folder holds a run and `resume` is False, or a run
        of other fields.
    """
    say = report or (lambda line: None)
    how = {"code": code, "show_progress": show_progress}
    grid = cells(recipe, folder, seeds=seeds, sweep=sweep)
    begun = [cell for cell in grid if Checkpoints(cell.folder).last_step() is not None]
    if begun and not resume:
        raise ValueError(
            f"{begun[0].folder} already holds a run: resume the grid, or choose another folder."
        )
    left = [cell for cell in grid if not _is_done(name, cell)]
    if len(left) < len(grid):
        say(f"{len(grid) - len(left)} of {len(grid)} runs have ended already.")
    failed: dict[Path, str] = {}
    is_complete = True
    for group in _groups(left):
        if not is_complete:
            break
        say(f"training {', '.join(cell.folder.name for cell in group)}")
        failures, is_complete = _train(name, group, {**how, "resume": resume})
        failed |= failures
        for path, why in failures.items():
            say(f"{path.name} has failed: {why}")
    tested = {}
    for cell in grid if is_complete else []:
        if cell.folder not in failed:
            tested[cell.folder] = _test(cell, known)
    settings = tuple(_settings(grid, failed, tested)) if is_complete else ()
    found = Grid(
        recipe=name,
        metric=recipe.task.metric.name,
        setting=next((result["setting"] for result in tested.values()), ""),
        settings=settings,
        best=_best(settings, recipe.task.metric.is_better),
        is_complete=is_complete,
    )
    if is_complete:
        _write(Path(folder), found)
    return found


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Mean with its 95% interval by Student's t with one degree of freedom less than seeds.

    Example:
      >>> found = over_seeds([1.0, 2.0, 3.0])
      >>> found.mean, round(found.interval, 3)
      (2.0, 2.484)
    """
    from scipy import stats  # It takes a second to import, which only a grid should wait for.

    each, interval = np.asarray(values, np.float64), None
    if len(each) > 1:
        error = each.std(ddof=1) / np.sqrt(len(each))
        interval = float(stats.t.ppf(0.975, len(each) - 1) * error)
    return OverSeeds(tuple(map(float, each)), float(each.mean()), interval)


def _groups(left):
    """Runs of one program, side by side; a run by itself where it shares none."""
    groups: dict[Any, list[Cell]] = {}
    for cell in left:
        alike, paths = cell.recipe, traced_paths(cell.recipe)
        for path in (SEED, *paths) if paths else ():
            alike = with_field(alike, path, 0)
        groups.setdefault(repr(alike), []).append(cell)
    return groups.values()


def _train(name, group, how):
    """Why runs failed, by folder, and whether none was interrupted."""
    if len(group) > 1:
        return train_together(name, group, **how)
    (cell,) = group
    try:
        return {}, train(name, cell.recipe, cell.folder, **how).is_complete
    except FloatingPointError as error:
        return {cell.folder: str(error)}, True


def _is_done(name, cell):
    """Whether the folder holds this very run, ended."""
    steps = Checkpoints(cell.folder).last_step()
    if steps != cell.recipe.outer.steps:
        return False
    there = read_config(cell.folder)
    recipe = dataclasses.replace(cell.recipe, provenance=there[1].provenance)
    return there[0] == name and encode(there[1]) == encode(recipe)


def _test(cell, known):
    """The evaluation of a run, made where it is not there yet."""
    try:
        result = json.loads((cell.folder / OWN).read_bytes())
        if result["steps_trained"] == cell.recipe.outer.steps:
            return result
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return evaluate_run(cell.folder, known=known)


def _settings(grid, failed, tested):
    """The runs of the grid, setting by setting."""
    for values in dict.fromkeys(cell.values for cell in grid):
        of_setting = [cell for cell in grid if cell.values == values]
        ended = [cell for cell in of_setting if cell.folder not in failed]
        validation = test = None
        if ended:
            metric = ended[0].recipe.task.metric
            validation = over_seeds([_best_validation(cell) for cell in ended])
            test = over_seeds([tested[cell.folder][metric.row]["mean"] for cell in ended])
        yield Setting(
            values,
            tuple(cell.seed for cell in ended),
            tuple(cell.seed for cell in of_setting if cell.folder in failed),
            tuple(cell.folder.name for cell in ended),
            validation,
            test,
        )


def _best_validation(cell):
    is_better = cell.recipe.task.metric.is_better
    values = [record["val"] for record in read_metrics(cell.folder) if "val" in record]
    return functools.reduce(lambda a, b: b if is_better(b, a) else a, values)


def _best(settings, is_better):
    best = None
    for number, setting in enumerate(settings):
        if setting.validation is None or setting.failed:
            continue
        if best is None or is_better(setting.validation.mean, settings[best].validation.mean):
            best = number
    return best


def _write(folder, found):
    content = dataclasses.asdict(found) | {"versions": versions()}
    for setting in content["settings"]:
        setting["values"] = dict(setting["values"])
    write_json(folder / GRID, content)
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        paths = [path for path, _ in found.settings[0].values]
        columns = ["n_seeds", "n_failed", "validation", "validation_interval", "test"]
        writer.writerow([*paths, *columns, "test_interval", "is_best"])
        for number, setting in enumerate(found.settings):
            numbers = [
                cell
                for part in (setting.validation, setting.test)
                for cell in ((part.mean, part.interval) if part else ("", ""))
            ]
            counts = [len(setting.seeds), len(setting.failed)]
            values = [value for _, value in setting.values]
            writer.writerow([*values, *counts, *numbers, int(number == found.best)])
