"""Learning, adaptation and presentation curves of runs."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from jaxmeta.plots._returns import episode_returns, regret_curves

STYLES = ("-", "--", ":", "-.")


def learning_curves(
    records: Sequence[Mapping], *, metric: str, axes: Axes, label: str = ""
) -> None:
    """Validation with its 95% interval against meta-steps.

    Args:
      records: those of `jaxmeta.training.read_metrics`.
      metric: what validation measures, for the axis.
      axes: where to draw.
      label: name of the run in the legend.
    """
    points = [record for record in records if "val" in record]
    steps = np.array([record["step"] for record in points])
    values = np.array([record["val"] for record in points])
    widths = np.array([record["val_interval"] for record in points])
    (line,) = axes.plot(steps, values, marker=".", label=label)
    axes.fill_between(steps, values - widths, values + widths, color=line.get_color(), alpha=0.2)
    axes.set(xlabel="meta-step", ylabel=f"{metric} on meta_val", title="Learning")


def loss_curve(records: Sequence[Mapping], *, axes: Axes, label: str = "") -> None:
    """Meta-training loss against meta-steps, smoothed over a fiftieth of the run."""
    points = [record for record in records if "loss" in record]
    steps = np.array([record["step"] for record in points])
    losses = np.array([record["loss"] for record in points])
    axes.set(xlabel="meta-step", ylabel="query loss in training", title="Meta-training")
    if not points:
        return
    width = max(len(losses) // 50, 1)
    means = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(steps[width - 1 :], means, label=label)
    if means.min() > 0:
        axes.set_yscale("log")


def adaptation_curves(
    evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None
) -> None:
    """The metric on meta_test after each number of inner steps, one line per setting."""
    settings = evaluation["adaptation"].items()
    for (setting, points), style in zip(settings, itertools.cycle(STYLES)):
        steps = np.array([point["inner_steps"] for point in points])
        values = np.array([point["mean"] for point in points])
        widths = np.array([point["interval"] for point in points])
        name = f"{label} {setting}".strip()
        (line,) = axes.plot(
            steps, values, style, marker="o", markersize=3, label=name, color=colour
        )
        axes.fill_between(
            steps, values - widths, values + widths, color=line.get_color(), alpha=0.2
        )
    axes.set(
        xlabel="inner steps", ylabel=f"{evaluation['metric']} on meta_test", title="Adaptation"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if evaluation["metric"] == "mean squared error":
        axes.set_yscale("log")


def presentation_curves(
    evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None
) -> None:
    """Accuracy on the streams of meta_test at the 1st, 2nd, ... presentation of a class."""
    result = evaluation["inductive"]
    values, widths = (
        np.array(result[name]) for name in ("by_presentation", "by_presentation_interval")
    )
    numbers = np.arange(1, len(values) + 1)
    (line,) = axes.plot(numbers, values, marker="o", markersize=3, label=label, color=colour)
    axes.fill_between(numbers, values - widths, values + widths, color=line.get_color(), alpha=0.2)
    axes.set(
        xlabel="presentation of a class",
        ylabel="accuracy on meta_test",
        title="Streams",
        ylim=(0, 1),
    )
    axes.set_xticks(numbers)


def draw_runs(runs: Mapping[str, tuple[Sequence[Mapping], Mapping | None]]) -> Figure:
    """One picture of one or several runs side by side.

    Args:
      runs: by name, the records of `metrics.jsonl` and, where there is one, the evaluation.
    """
    evaluations = {name: result for name, (_, result) in runs.items() if result}
    adapting = {name: result for name, result in evaluations.items() if "adaptation" in result}
    streaming = {
        name: result
        for name, result in evaluations.items()
        if "by_presentation" in result.get("inductive", {})
    }
    acting = {
        name: result
        for name, result in evaluations.items()
        if "regret" in result or "by_episode" in result
    }
    columns = 3 if adapting or streaming or acting else 2
    figure = Figure(figsize=(5.2 * columns, 3.8), layout="constrained")
    panels = figure.subplots(1, columns)
    several = len(runs) > 1
    for name, (records, result) in runs.items():
        metric = result["metric"] if result else "metric"
        loss_curve(records, axes=panels[0], label=name)
        validated_by = result.get("validated_by", metric) if result else metric
        learning_curves(records, metric=validated_by, axes=panels[1], label=name)
        if metric == "mean squared error":
            panels[1].set_yscale("log")
        if result and metric == "return":
            panels[0].set_ylabel(f"minus the {result.get('trained_on', 'return')} in training")
    for number, name in enumerate(runs):
        if name in adapting:
            label, colour = (name, f"C{number}") if several else ("", None)
            adaptation_curves(adapting[name], axes=panels[2], label=label, colour=colour)
        if name in streaming:
            label, colour = (name, f"C{number}") if several else ("", None)
            presentation_curves(streaming[name], axes=panels[2], label=label, colour=colour)
        if name in acting:
            label, colour = (name, f"C{number}") if several else ("", None)
            draw = regret_curves if "regret" in acting[name] else episode_returns
            draw(acting[name], axes=panels[2], label=label, colour=colour)
    for row, style in (("raw_pixel_nearest_neighbour", ":"), ("untrained", "--")):
        values = [
            result[row]["mean"]
            for result in evaluations.values()
            if row in result and "validated_by" not in result  # Of another unit than the panels.
        ]
        # The whole of a trial is no level for a curve along it, nor one step for a curve of steps.
        is_drawn = acting or any(row in result["adaptation"] for result in adapting.values())
        for panel in panels[1 : 2 if is_drawn else None] if values else ():
            label = row.replace("_", " ").replace("raw pixel", "raw-pixel")
            panel.axhline(values[0], color="grey", linestyle=style, label=label)
    for panel in panels:
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0] and (several or panel is not panels[0]):
            panel.legend(fontsize="small")
    if adapting:  # Many lines: beside the panel, not on them.
        panels[2].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.02, 0.5))
    for panel in panels[:2]:
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not several:
        name, result = next(iter(runs)), next(iter(evaluations.values()), None)
        figure.suptitle(f"{name}: {headline(result)}" if result else name)
    return figure


def headline(evaluation: Mapping) -> str:
    """The main result in one line, with protocol and interval."""
    if evaluation["metric"] == "return":
        result = evaluation["return"]
        return f"{evaluation['setting']}, return {result['mean']:.2f} ± {result['interval']:.2f}"
    result = evaluation["inductive"]
    if evaluation["metric"] == "accuracy":
        value = f"{100 * result['mean']:.2f} ± {100 * result['interval']:.2f} %"
        return f"{evaluation['setting']} {value} (inductive)"
    return f"{evaluation['setting']} MSE {result['mean']:.3f} ± {result['interval']:.3f}"
