"""A memory along one stream."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure


def draw_memory(memory: Mapping, title: str) -> Figure:
    """Where a memory is written and read along one stream.

    Args:
      memory: `read` and `write` `[T, slots]`, weights with all heads added up; `classes` `[T]`; and
        `is_right` `[T]`, whether a step was predicted right. `memory.json` of a run's folder.
      title: above the picture.
    """
    figure = Figure(figsize=(12, 8), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 4, 4))
    classes, is_right = np.array(memory["classes"]), np.array(memory["is_right"])
    steps = np.arange(len(classes))
    for right, marker, colour in ((True, "o", "C0"), (False, "x", "C3")):
        shown = is_right == right
        label = "right" if right else "wrong"
        panels[0].plot(steps[shown], classes[shown], marker, color=colour, label=label)
    panels[0].set(ylabel="class", yticks=np.unique(classes))
    panels[0].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    for panel, name in zip(panels[1:], ("write", "read"), strict=True):
        weights = np.array(memory[name]).T  # [slots, T]
        image = panel.imshow(
            weights, aspect="auto", interpolation="nearest", cmap="magma", origin="lower"
        )
        panel.set(ylabel="slot", title=f"{name} weights")
        figure.colorbar(image, ax=panel)
    panels[-1].set(xlabel="step")
    figure.suptitle(title)
    return figure
