"""One episode of images: predictions, confusion, embedding."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw_episode(view: Any, title: str) -> Figure:
    """An episode's images with what was predicted, the confusion of its classes, its embedding.

    Args:
      view: `jaxmeta.runs.EpisodeView`.
      title: above the picture.
    """
    n_way = view.shares.shape[1]
    columns = 2 if view.projection is None else 3
    ratios = [1.6, 1, 1][:columns]
    figure = Figure(figsize=(5.5 * sum(ratios), max(4.5, 0.45 * n_way)), layout="constrained")
    panels = figure.subplots(1, columns, width_ratios=ratios)
    predictions(view, axes=panels[0])
    confusion(view, axes=panels[1])
    if view.projection is not None:
        projection(view, axes=panels[2])
    figure.suptitle(title)
    return figure


def predictions(view: Any, *, axes: Axes) -> None:
    """Support images of each class, then its queries: green where right, red with the class seen.

    Of many rows the first five and ten of each class are shown.
    """
    support, query = view.episode
    n_way = view.shares.shape[1]
    guesses = view.shares.argmax(1)
    shots = queries = 0
    for label in range(n_way):
        shown = np.flatnonzero(support.y[:, label])[:5]
        for column, row in enumerate(shown):
            _thumbnail(axes, support.x[row], column, label, "black")
        shots = max(shots, len(shown))
    for label in range(n_way):
        shown = np.flatnonzero(query.y[:, label])[:10]
        for column, row in enumerate(shown, start=shots):
            is_right = guesses[row] == label
            colour = "tab:green" if is_right else "tab:red"
            _thumbnail(axes, query.x[row], column + 0.5, label, colour)
            if not is_right:
                axes.text(
                    column + 1.43,
                    label + 0.93,
                    str(guesses[row]),
                    color="white",
                    fontsize=6,
                    ha="right",
                    va="bottom",
                    bbox={"color": "tab:red", "pad": 0.8},
                )
        queries = max(queries, len(shown))
    axes.set(xlim=(-0.1, shots + queries + 0.6), ylim=(n_way + 0.1, -0.1), aspect="equal")
    axes.set_yticks(np.arange(n_way) + 0.5, [str(label) for label in range(n_way)])
    axes.set_xticks([shots / 2, shots + 0.5 + queries / 2], ["support", "queries"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(ylabel="class", title="Predictions; a wrong one names the class seen")


def _thumbnail(axes, image, x, y, colour):
    image = np.clip(image, 0, 1)
    axes.imshow(
        image[..., 0] if image.shape[-1] == 1 else image,
        extent=(x + 0.06, x + 0.94, y + 0.94, y + 0.06),
        cmap="gray_r",
        vmin=0,
        vmax=1,
    )
    axes.add_patch(
        Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, color=colour, linewidth=1.5)
    )


def confusion(view: Any, *, axes: Axes) -> None:
    """Mean share that the queries of each class give to each class."""
    labels = view.episode.query.y
    means = labels.T @ view.shares / np.maximum(labels.sum(0), 1)[:, None]
    image = axes.imshow(means, cmap="Blues", vmin=0, vmax=1)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
    if len(means) <= 10:
        for row, column in np.ndindex(*means.shape):
            colour = "white" if means[row, column] > 0.5 else "black"
            axes.text(
                column, row, f"{means[row, column]:.2f}", ha="center", va="center", color=colour
            )
    axes.set_xticks(range(len(means)))
    axes.set_yticks(range(len(means)))
    axes.set(xlabel="predicted class", ylabel="class", title="Confusion: mean predicted share")


def projection(view: Any, *, axes: Axes) -> None:
    """Two principal components of the embeddings: queries as dots, support images as stars."""
    support, query = view.episode
    colours = colormaps["tab20" if view.shares.shape[1] > 10 else "tab10"]
    stars, dots = np.split(view.projection, [len(support.y)])
    axes.scatter(dots[:, 0], dots[:, 1], c=colours(query.y.argmax(1)), s=18, alpha=0.7)
    known = support.y.any(1)
    unlabelled, stars = stars[~known], stars[known]
    axes.scatter(unlabelled[:, 0], unlabelled[:, 1], color="grey", marker="x", s=20)
    axes.scatter(
        stars[:, 0],
        stars[:, 1],
        c=colours(support.y[known].argmax(1)),
        s=130,
        marker="*",
        edgecolor="black",
    )
    for place, label in zip(stars, support.y[known].argmax(1), strict=True):
        axes.annotate(str(label), place, xytext=(6, 6), textcoords="offset points")
    axes.set(
        xlabel="first component",
        ylabel="second component",
        title=f"Embedding, {100 * view.explained:.0f} % of the variance",
    )
