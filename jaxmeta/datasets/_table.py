"""Tables of numbers in groups, each of which is a task of regression."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmeta.datasets._draw_classes import draw_classes


class Table(NamedTuple):
    """Rows of inputs and targets, each of a group."""

    x: np.ndarray  # [T, D] float32
    y: np.ndarray  # [T, E] float32
    group: np.ndarray  # [T] integers or strings: the group of each row

    def check(self) -> None:
        """Refuses arrays that do not fit each other.

        Raises:
          ValueError: they have other shapes, or a number is not finite; names it.
        """
        if np.ndim(self.x) != 2 or np.ndim(self.y) != 2 or np.ndim(self.group) != 1:
            raise ValueError(
                "x and y must be [rows, columns] and group [rows], got "
                f"{list(np.shape(self.x))}, {list(np.shape(self.y))} and "
                f"{list(np.shape(self.group))}."
            )
        if not len(self.x) == len(self.y) == len(self.group):
            raise ValueError(
                f"x, y and group must have as many rows, got {len(self.x)}, {len(self.y)} and "
                f"{len(self.group)}."
            )
        for name, values in (("x", self.x), ("y", self.y)):
            if not np.isfinite(values).all():
                row = int(np.argmin(np.isfinite(values).all(axis=1)))
                raise ValueError(f"{name} must be finite, got {values[row].tolist()} in row {row}.")

    def split(self, seed: int = 0) -> tuple["Table", "Table", "Table"]:
        """The rows of meta_train, meta_val and meta_test, of whose groups none is in two.

        A fifth of the groups, one at least, is drawn for each of meta_val and meta_test.

        Raises:
          ValueError: there are fewer than three groups, or the arrays do not fit.
        """
        self.check()
        names = np.asarray(self.group).astype(str)
        parts = draw_classes(sorted(set(names.tolist())), seed=seed)
        train, val, test = (self._where(np.isin(names, part)) for part in parts)
        return train, val, test

    def _where(self, chosen):
        return Table(self.x[chosen], self.y[chosen], np.asarray(self.group)[chosen])


def from_csv(path: str | Path, *, group: str = "group", target: str = "y") -> Table:
    """A table of comma-separated values with a line of names on top.

    Args:
      path: of the file.
      group: name of the column that says the group of a row.
      target: name of the column to predict. All further columns are inputs, numbers as well.

    Returns a `Table`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a column is missing or stands twice, or a cell is no finite number; names it.

    Example:
      >>> import pathlib, tempfile
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.csv"
      >>> _ = path.write_text("patient,dose,y\\nann,1,2.5\\nann,2,3.5\\nbob,1,0.5\\n")
      >>> table = from_csv(path, group="patient")
      >>> table.x.tolist(), table.y.tolist(), table.group.tolist()
      ([[1.0], [2.0], [1.0]], [[2.5], [3.5], [0.5]], ['ann', 'ann', 'bob'])
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give a .csv file with a line of names.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names, *lines = [line for line in csv.reader(file) if line]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is no table of comma-separated values: {error}") from error
    for name in (group, target):
        if names.count(name) != 1:
            raise ValueError(
                f"{path} must have one column {name!r}, got the columns {', '.join(names)}."
            )
    inputs = [place for place, name in enumerate(names) if name not in (group, target)]
    if not inputs or not lines:
        raise ValueError(f"{path} must have a column of inputs and a row, got {', '.join(names)}.")
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(names):
            raise ValueError(
                f"line {number} of {path} must have {len(names)} cells, got {len(line)}."
            )
        places = [*inputs, names.index(target)]
        rows.append([_number(path, number, names[place], line[place]) for place in places])
    values = np.asarray(rows, np.float32)
    groups = np.asarray([line[names.index(group)] for line in lines])
    return Table(values[:, :-1], values[:, -1:], groups)


def _number(path, line, name, text):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(np.float32(number)):
        raise ValueError(
            f"{name} must be a finite number, got {text!r} in line {line} of {path}."
        ) from None
    return number
