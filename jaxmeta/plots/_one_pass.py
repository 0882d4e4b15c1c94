"""What learners that read the support set in one pass make of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmeta.support import is_valid_row

MOST_LABELS = 30  # of samples, that can be read beside one another
MOST_COLUMNS = 3


def weight_statistics(weights: Mapping[str, np.ndarray], *, axes: Axes) -> None:
    """Size of generated weights, and how much of it changes from task to task.

    Args:
      weights: by name, `[tasks, ...]`.
      axes: where to draw.
    """
    names = list(weights)
    sizes = [np.sqrt(np.mean(np.square(weights[name]))) for name in names]
    changes = [np.sqrt(np.mean(np.var(weights[name], axis=0))) for name in names]
    places = np.arange(len(names))
    axes.bar(places - 0.2, sizes, 0.4, label="root mean square")
    axes.bar(places + 0.2, changes, 0.4, label="standard deviation over tasks")
    axes.set_xticks(places, names, rotation=30, ha="right")
    axes.set(ylabel="generated weight", title="Generated weights")


def attention_map(attention: np.ndarray, labels: np.ndarray, *, axes: Axes, name: str = "") -> None:
    """How much each weight token looks at each support row, summed over the encoder's layers.

    Args:
      attention: `[layers, weight tokens, S]`.
      labels: `[S]`, -1 for unlabelled rows.
      axes: where to draw.
      name: of the layer that is generated.
    """
    axes.imshow(attention.sum(0), aspect="auto", cmap="viridis", vmin=0)
    places = np.arange(0, len(labels), -(-len(labels) // MOST_LABELS))
    ticks = ["?" if label < 0 else str(label) for label in labels[places]]
    axes.set_xticks(places, ticks, fontsize="xx-small")
    axes.set(xlabel="label of the sample", ylabel="weight token", title=f"Attention, {name}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def predictive_band(curve: Any, *, axes: Axes) -> None:
    """Predictive mean, and the band that should hold 95% of the targets.

    Args:
      curve: `support` and `query` examples, `x`, `mean`, and `sigma` or None.
      axes: where to draw.
    """
    x = curve.x[:, 0]
    (line,) = axes.plot(x, curve.mean, label="predictive mean")
    if curve.sigma is not None:
        low, high = curve.mean - 1.96 * curve.sigma, curve.mean + 1.96 * curve.sigma
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, label="95% band")
    query_x, query_y = np.asarray(curve.query.x)[:, 0], np.asarray(curve.query.y)[:, 0]
    axes.plot(query_x, query_y, ".", color="grey", markersize=3, label="queries")
    rows = np.asarray(is_valid_row(curve.support))
    support_x, support_y = (np.asarray(part)[rows, 0] for part in curve.support[:2])
    axes.plot(support_x, support_y, "ko", markersize=4, label="support")
    axes.set(xlabel="x", ylabel="y", title="Prediction")


def draw_look(look: Any, title: str) -> Figure | None:
    """What a one-pass learner does on a task, or None where there is nothing to see.

    Args:
      look: `jaxmeta.runs.Look`.
      title: above the picture.
    """
    count = bool(look.weights) + len(look.attention) + (look.curve is not None)
    if count == 0:
        return None
    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.6 * columns, 3.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    panels = iter(grid)
    if look.curve is not None:
        axes = next(panels)
        predictive_band(look.curve, axes=axes)
        axes.legend(fontsize="small")
    if look.weights:
        axes = next(panels)
        weight_statistics(look.weights, axes=axes)
        axes.legend(fontsize="small")
    for name, attention in look.attention.items():
        attention_map(attention, look.labels, axes=next(panels), name=name.replace("_", " "))
    figure.suptitle(title)
    return figure
