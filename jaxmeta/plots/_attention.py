"""Where in-context agents look."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw_attention(view: Any, title: str) -> Figure:
    """Attention from each action of a trial to the steps before it, a panel for each layer.

    Args:
      view: with `weights` `[layers, T, T]`, `reward` `[T]` and `episode` `[T]`.
      title: above the picture.
    """
    layers = len(view.weights)
    figure = Figure(figsize=(3.6 * layers, 4.2), layout="constrained")
    panels = figure.subplots(1, layers, squeeze=False)[0]
    paid = np.flatnonzero(view.reward > 0)
    begins = np.flatnonzero(np.diff(view.episode)) + 1
    for number, (axes, weights) in enumerate(zip(panels, view.weights, strict=True)):
        image = axes.imshow(weights, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axes.plot(paid, np.full(len(paid), -1), "v", color="C3", markersize=4, clip_on=False)
        if len(begins) < len(view.reward) / 2:  # Pulls of a bandit are episodes all.
            for begin in begins:
                axes.axhline(begin - 0.5, color="white", linewidth=0.5)
                axes.axvline(begin - 0.5, color="white", linewidth=0.5)
        axes.set(xlabel="step looked at (red: paid)", title=f"layer {number + 1}")
    panels[0].set_ylabel("action at step")
    figure.colorbar(image, ax=panels, label="attention, mean over heads", shrink=0.6)
    figure.suptitle(title)
    return figure
