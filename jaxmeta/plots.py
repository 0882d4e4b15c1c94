"""Pictures of runs: learning curves, adaptation curves, episodes."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter

STYLES = ("-", "--", ":", "-.")
METHOD_NAMES = ("FOMAML", "MAML", "Reptile")
ESTIMATOR_NAMES = ("full", "truncated", "implicit", "first order")
_LINEAR_BELOW: dict[str, dict] = {"error": {"linthresh": 1e-6}, "seconds": {}, "bytes": {}}


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
    columns = 3 if adapting or streaming else 2
    figure = Figure(figsize=(5.2 * columns, 3.8), layout="constrained")
    panels = figure.subplots(1, columns)
    several = len(runs) > 1
    for name, (records, result) in runs.items():
        metric = result["metric"] if result else "metric"
        loss_curve(records, axes=panels[0], label=name)
        learning_curves(records, metric=metric, axes=panels[1], label=name)
        if several and metric == "mean squared error":
            panels[1].set_yscale("log")
    for number, name in enumerate(runs):
        if name in adapting:
            label, colour = (name, f"C{number}") if several else ("", None)
            adaptation_curves(adapting[name], axes=panels[2], label=label, colour=colour)
        if name in streaming:
            label, colour = (name, f"C{number}") if several else ("", None)
            presentation_curves(streaming[name], axes=panels[2], label=label, colour=colour)
    for row, style in (("raw_pixel_nearest_neighbour", ":"), ("untrained", "--")):
        values = [result[row]["mean"] for result in evaluations.values() if row in result]
        for panel in panels[1:] if values else ():
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


def residuals(expansion: Any, *, axes: Axes, label: str = "") -> None:
    """What is left of each meta-gradient without its expansion, against the inner rate.

    Args:
      expansion: `jaxmeta.analysis.Expansion`.
      axes: where to draw.
      label: stands before the names of the methods.
    """
    for number, (method, style) in enumerate(zip(METHOD_NAMES, STYLES, strict=False)):
        name = f"{label} {method}".strip()
        axes.loglog(
            expansion.inner_lr, expansion.residual[:, number], style, marker=".", label=name
        )
    rates = np.array([expansion.inner_lr.min(), expansion.inner_lr.max()])
    guide = expansion.residual.max() * (rates / rates[1]) ** 2
    axes.loglog(rates, guide, color="grey", linewidth=1, label="slope 2")
    axes.set(xlabel="inner rate", ylabel="|meta-gradient - expansion|", title="Residual")


def coefficients(expansion: Any, *, axes: Axes) -> None:
    """Measured coefficients of AvgGradInner against the inner rate, and the theory's."""
    for number, method in enumerate(METHOD_NAMES):
        values = expansion.coefficients[:, number, 1]
        axes.semilogx(expansion.inner_lr, values, marker=".", color=f"C{number}", label=method)
        axes.axhline(expansion.theory[number, 1], color=f"C{number}", linestyle=":")
    axes.set(
        xlabel="inner rate", ylabel="coefficient of AvgGradInner", title="Measured, theory dotted"
    )


def similarities(
    positions: Sequence[float], cosines: np.ndarray, *, axes: Axes, along: str
) -> None:
    """Cosines `[P, 3]` between FOMAML's, MAML's and Reptile's direction, against `along`."""
    for number, (one, other) in enumerate(itertools.combinations(METHOD_NAMES, 2)):
        axes.plot(positions, cosines[:, number], marker=".", label=f"{one}, {other}")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set(xlabel=along, ylabel="cosine", title="Directions")


def spectra(named: Mapping[str, Any], *, axes: Axes) -> None:
    """Weights of the Lanczos eigenvalues of several Hessians.

    Args:
      named: `jaxmeta.analysis.Spectrum` by name.
      axes: where to draw.
    """
    for number, (name, spectrum) in enumerate(named.items()):
        values, shares = spectrum.eigenvalues.ravel(), spectrum.weights.ravel()
        axes.vlines(values, 1e-12, shares, color=f"C{number}", alpha=0.4)
        axes.plot(values, shares, ".", color=f"C{number}", label=name)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_yscale("log")
    axes.set(xlabel="eigenvalue", ylabel="share of the density", title="Curvature", ylim=(1e-8, 2))


def estimators(costs: Any, quantity: str, *, axes: Axes, rate: int = 0) -> None:
    """One quantity of `jaxmeta.analysis.EstimatorCosts` against inner steps, per estimator.

    Args:
      costs: what was measured.
      quantity: `"error"`, `"cosine"`, `"seconds"` or `"bytes"`.
      axes: where to draw.
      rate: which of the inner rates.
    """
    values = getattr(costs, quantity)
    for number, name in enumerate(ESTIMATOR_NAMES):
        axes.plot(costs.inner_steps, values[:, rate, number], marker="o", label=name)
    if quantity != "cosine":
        axes.set_yscale("symlog" if quantity == "error" else "log", **_LINEAR_BELOW[quantity])
    unit = {"error": "relative error", "seconds": "seconds", "bytes": "temporary bytes"}
    axes.set(xlabel="inner steps", ylabel=unit.get(quantity, quantity), title="Meta-gradients")


def differences(check: Any, *, axes: Axes) -> None:
    """Directional derivatives by `jax.grad` against central differences."""
    both = np.concatenate([check.gradient, check.difference])
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="grey", linewidth=1)
    axes.plot(check.difference, check.gradient, "o")
    axes.set(
        xlabel="finite difference",
        ylabel="gradient",
        title=f"Check: relative error {check.relative_error:.1e}",
    )


def draw_analysis(analysis: Any, title: str) -> Figure:
    """All of a run's analysis in one picture.

    Args:
      analysis: `jaxmeta.recipes.Analysis`.
      title: above the picture.
    """
    figure = Figure(figsize=(20, 8), layout="constrained")
    panels = figure.subplots(2, 4)
    trained = analysis.expansions["trained"]
    residuals(trained, axes=panels[0, 0])
    coefficients(trained, axes=panels[0, 1])
    for panel, (label, expansion) in zip(panels[0, 2:], analysis.expansions.items(), strict=True):
        similarities(expansion.inner_lr, expansion.cosine, axes=panel, along="inner rate")
        panel.set_title(f"Directions, {label}")
        panel.set_xscale("log")
    spectra(analysis.spectra, axes=panels[1, 0])
    estimators(analysis.costs, "error", axes=panels[1, 1])
    estimators(analysis.costs, "seconds", axes=panels[1, 2])
    differences(analysis.check, axes=panels[1, 3])
    for panel in panels.ravel():
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize="small")
    figure.suptitle(title)
    return figure


def draw_episode(view: Any, title: str) -> Figure:
    """An episode's images with what was predicted, the confusion of its classes, its embedding.

    Args:
      view: `jaxmeta.recipes.EpisodeView`.
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
    ticks = ["?" if label < 0 else str(label) for label in labels]
    axes.set_xticks(np.arange(len(labels)), ticks, fontsize="xx-small")
    axes.set(xlabel="label of the sample", ylabel="weight token", title=f"Attention, {name}")


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
    is_valid = curve.support.is_valid
    rows = slice(None) if is_valid is None else np.asarray(is_valid)
    support_x, support_y = (np.asarray(part)[rows, 0] for part in curve.support[:2])
    axes.plot(support_x, support_y, "ko", markersize=4, label="support")
    axes.set(xlabel="x", ylabel="y", title="Prediction")


def draw_look(look: Any, title: str) -> Figure | None:
    """What a one-pass learner does on a task, or None where there is nothing to see.

    Args:
      look: `jaxmeta.recipes.Look`.
      title: above the picture.
    """
    columns = bool(look.weights) + len(look.attention) + (look.curve is not None)
    if columns == 0:
        return None
    figure = Figure(figsize=(4.6 * columns, 3.8), layout="constrained")
    panels = iter(figure.subplots(1, columns, squeeze=False)[0])
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


def headline(evaluation: Mapping) -> str:
    """The main result in one line, with protocol and interval."""
    result = evaluation["inductive"]
    if evaluation["metric"] == "accuracy":
        value = f"{100 * result['mean']:.2f} ± {100 * result['interval']:.2f} %"
        return f"{evaluation['setting']} {value} (inductive)"
    return f"{evaluation['setting']} MSE {result['mean']:.3f} ± {result['interval']:.3f}"
