"""A grid of runs: validation over seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from jaxmeta.experiments.metric import Metric
from jaxmeta.runs.grid import over_seeds


def draw_grid(runs: Mapping[str, Sequence[Sequence[Mapping]]], metric: Metric) -> Figure:
    """Validation against meta-steps: the mean over seeds, and its 95% interval over seeds.

    Args:
      runs: by the words of a setting, the records of `metrics.jsonl` of each seed.
      metric: what validation measures.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for words, of_seeds in runs.items():
        steps, means, widths = validation_over_seeds(of_seeds)
        (line,) = axes.plot(steps, means, marker=".", label=words)
        axes.fill_between(steps, means - widths, means + widths, color=line.get_color(), alpha=0.2)
    axes.set(xlabel="meta-step", ylabel=f"{metric.name} on meta_val", title="Mean over seeds")
    if metric.is_logarithmic:
        axes.set_yscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def validation_over_seeds(
    of_seeds: Sequence[Sequence[Mapping]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps that all seeds have validated at, means and half widths `[T]`; 0 for one seed."""
    values = [
        {record["step"]: record["val"] for record in of if "val" in record} for of in of_seeds
    ]
    steps = sorted(set.intersection(*(set(of) for of in values)))
    found = [over_seeds([of[step] for of in values]) for step in steps]
    means = np.array([point.mean for point in found])
    return np.array(steps), means, np.array([point.interval or 0.0 for point in found])
