"""Learning, adaptation and presentation curves of runs."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from jaxmeta.experiments.metric import ACCURACY, RETURN, named
from jaxmeta.plots._returns import episode_returns, regret_curves

STYLES = ("-", "--", ":", "-.")
RESULTS = ("inductive", "transductive", "context_mean", "untrained", "raw_pixel_nearest_neighbour")


def learning_curves(
    records: Sequence[Mapping], *, metric: str, axes: Axes, label: str = ""
) -> None:
    """Validation with its 95% interval against meta-steps.

    Args:
      records: those of `jaxmeta.runs.read_metrics`.
      metric: what validation measures, for the axis.
      axes: where to draw.
      label: name of the run in the legend.
    """
    points = [record for record in records if "val" in record]
    steps = np.array([record["step"] for record in points])
    values = np.array([record["val"] for record in points])
    widths = _widths([record.get("val_interval") for record in points])
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
        widths = _widths([point["interval"] for point in points])
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
    if named(evaluation["metric"]).is_logarithmic:
        axes.set_yscale("log")


def presentation_curves(
    evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None
) -> None:
    """Accuracy on the streams of meta_test at the 1st, 2nd, ... presentation of a class."""
    rows = (("inductive", "o-", colour), ("untrained", "--", colour or "grey"))
    for row, style, line_colour in (*rows, ("raw_pixel_nearest_neighbour", ":", colour or "grey")):
        if row not in evaluation:
            continue
        result = evaluation[row]
        values, widths = np.array(result["by_presentation"]), result["by_presentation_interval"]
        numbers = np.arange(1, len(values) + 1)
        name = "" if row == "inductive" else row.replace("_", " ").replace("raw pixel", "raw-pixel")
        text = f"{label} {name}".strip()
        (line,) = axes.plot(numbers, values, style, markersize=6, label=text, color=line_colour)
        if widths is not None:
            low, high = values - np.array(widths), values + np.array(widths)
            axes.fill_between(numbers, low, high, color=line.get_color(), alpha=0.2)
    axes.set(
        xlabel="presentation of a class",
        ylabel="accuracy on meta_test",
        title="Streams",
        ylim=(0, 1),
    )
    axes.set_xticks(numbers)


def floors(evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None) -> None:
    """What to compare an adaptation curve with, on the same episodes of meta_test.

    The raw-pixel floor has no inner steps and is a line; fresh parameters have been adapted by as
    many steps as the learner, and are a point there.
    """
    colour = colour or "grey"
    if floor := evaluation.get("raw_pixel_nearest_neighbour"):
        name = f"{label} raw-pixel nearest neighbour".strip()
        axes.axhline(floor["mean"], linestyle=":", label=name, color=colour)
    untrained, adaptation = evaluation.get("untrained"), evaluation["adaptation"]
    if untrained and "untrained" not in adaptation:  # Of agents it is a curve of its own.
        steps = next(iter(adaptation.values()))[-1]["inner_steps"]
        axes.errorbar(
            [steps],
            [untrained["mean"]],
            _widths([untrained["interval"]]),
            fmt="x",
            label=f"{label} untrained".strip(),
            color=colour,
        )


def meta_test_results(
    evaluation: Mapping, *, axes: Axes, label: str = "", place: int = 0, colour: str | None = None
) -> None:
    """Results on meta_test, one point with its 95% interval for each protocol and floor.

    Args:
      evaluation: `evaluation.json` of a run.
      axes: where to draw.
      label: name of the run in the legend.
      place: of the run among those in the picture, which moves its points aside.
      colour: of the run.
    """
    rows = [row for row in RESULTS if row in evaluation]
    axes.errorbar(
        [RESULTS.index(row) + 0.1 * place for row in rows],
        [evaluation[row]["mean"] for row in rows],
        _widths([evaluation[row]["interval"] for row in rows]),
        fmt="o",
        markersize=4,
        label=label,
        color=colour,
    )
    names = [row.replace("_", " ").replace("raw pixel", "raw-pixel") for row in RESULTS]
    axes.set_xticks(range(len(RESULTS)), names, rotation=20, ha="right", fontsize="small")
    axes.set(ylabel=f"{evaluation['metric']} on meta_test", title="Meta-test")


def _widths(intervals):
    """Half widths to draw, none where there is no interval, as of one episode."""
    return np.array([0.0 if interval is None else interval for interval in intervals])


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
    columns = 3 if evaluations else 2
    figure = Figure(figsize=(5.2 * columns, 3.8), layout="constrained")
    panels = figure.subplots(1, columns)
    several = len(runs) > 1
    for name, (records, result) in runs.items():
        result = result or {}
        metric = result.get("metric", "metric")
        loss_curve(records, axes=panels[0], label=name)
        learning_curves(
            records, metric=result.get("validated_by", metric), axes=panels[1], label=name
        )
        if result and named(metric).is_logarithmic:
            panels[1].set_yscale("log")
        if metric == RETURN.name:
            panels[0].set_ylabel(f"minus the {result.get('trained_on', 'return')} in training")
    for number, (name, result) in enumerate(evaluations.items()):
        label, colour = (name, f"C{list(runs).index(name)}") if several else ("", None)
        if name in adapting:
            adaptation_curves(result, axes=panels[2], label=label, colour=colour)
            floors(result, axes=panels[2], label=label, colour=colour)
        elif name in streaming:
            presentation_curves(result, axes=panels[2], label=label, colour=colour)
        elif name in acting:
            draw = regret_curves if "regret" in result else episode_returns
            draw(result, axes=panels[2], label=label, colour=colour)
        elif not (adapting or streaming or acting):
            meta_test_results(result, axes=panels[2], label=label, place=number, colour=colour)
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
    metric = named(evaluation["metric"])
    result = evaluation[metric.row]
    value = metric.text(result["mean"], result["interval"])
    form = {RETURN: "{}, return {}", ACCURACY: "{} {} (inductive)"}
    return form.get(metric, "{} {}").format(evaluation["setting"], value)
