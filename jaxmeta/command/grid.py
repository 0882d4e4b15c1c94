"""`jaxmeta train RECIPE --seeds ... --sweep ...`: a grid of runs in one folder."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxmeta import experiments, plots, recipes, runs
from jaxmeta.experiments.own import OwnCode

PICTURE = "grid.png"


def train(
    name: str,
    recipe: experiments.Recipe,
    folder: Path,
    *,
    seeds: Sequence[int],
    sweep: Sequence[str],
    resume: bool,
    code: OwnCode | None,
    quiet: bool,
) -> bool:
    """Trains and tests a grid, prints its table and draws it; False when it was interrupted."""
    found = runs.train_grid(
        name,
        recipe,
        folder,
        seeds=seeds,
        sweep=sweep,
        resume=resume,
        known=recipes.ALL,
        code=code,
        show_progress=not quiet,
        report=lambda line: print(line, flush=True),
    )
    if not found.is_complete:
        return False
    _print(found)
    metric = experiments.named(found.metric)
    curves = {
        _words(setting): [runs.read_metrics(folder / run) for run in setting.folders]
        for setting in found.settings
        if setting.folders
    }
    if curves:
        plots.draw_grid(curves, metric).savefig(folder / PICTURE, dpi=120)
    written = f"{runs.GRID}, {runs.TABLE}" + (f", {PICTURE}" if curves else "")
    print(f"  saved in {folder}: {written}")
    return True


def _words(setting):
    return ", ".join(f"{path} {value}" for path, value in setting.values) or "all seeds"


def _print(found):
    """One row for each setting; the best by validation is marked."""
    metric = experiments.named(found.metric)
    of_setting = f", {found.setting}" if found.setting else ""
    print(f"{found.recipe}{of_setting}: mean over seeds, 95 % interval over seeds")
    table = Table(box=None)
    for column in ("", "setting", "seeds", "meta_val", "meta_test"):
        table.add_column(column)
    for number, setting in enumerate(found.settings):
        numbers = [
            metric.text(part.mean, part.interval) if part else "none"
            for part in (setting.validation, setting.test)
        ]
        failed = f", {len(setting.failed)} failed" if setting.failed else ""
        mark = "best" if number == found.best and len(found.settings) > 1 else ""
        table.add_row(mark, _words(setting), f"{len(setting.seeds)}{failed}", *numbers)
    Console(file=sys.stdout).print(table)
    if len(found.settings) > 1 and found.best is not None:
        print(f"best by validation: {_words(found.settings[found.best])}")
