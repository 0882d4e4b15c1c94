"""The analysis of a meta-gradient and its curvature."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
METHOD_NAMES = ("FOMAML", "MAML", "Reptile")
ESTIMATOR_NAMES = ("full", "truncated", "implicit", "first order")
_LINEAR_BELOW: dict[str, dict] = {"error": {"linthresh": 1e-6}, "seconds": {}, "bytes": {}}


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
      analysis: `jaxmeta.runs.Analysis`.
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
