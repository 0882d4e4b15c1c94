"""Queries, each with its label and the support pictures nearest to it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure


class SheetRow(NamedTuple):
    """One query of a contact sheet; pictures are `[H, W, 3]` bytes."""

    query: np.ndarray
    label: str
    nearest: list[np.ndarray]
    names: list[str]  # the class of each of the nearest


def draw_contact_sheet(rows: Sequence[SheetRow]) -> Figure:
    """A line of pictures for each query: itself, then the support pictures nearest to it."""
    columns = 1 + max(len(row.nearest) for row in rows)
    figure = Figure(figsize=(1.5 * columns, 1.7 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        for axes in line:
            axes.axis("off")
        pictures, titles = [row.query, *row.nearest], [row.label, *row.names]
        for axes, picture, title in zip(line, pictures, titles, strict=False):
            axes.imshow(picture)
            # A name between dollar signs is not a formula.
            axes.set_title(title[:36], fontsize=7, parse_math=False)
        line[0].title.set_weight("bold")
    return figure
