"""Agents: regret, returns by episode, paths in the plane."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"agent": "C0", "Thompson sampling": "C1", "UCB1": "C2", "greedy": "C3"}


def regret_curves(
    evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None
) -> None:
    """Expected regret up to each pull: of the agent, and of known strategies for the first run.

    Args:
      evaluation: `evaluation.json` of a run on bandits.
      axes: where to draw.
      label: name of the run, "" where it is the only one.
      colour: of the agent.
    """
    for name, curve in evaluation["regret"].items():
        values = np.array(curve["mean"])
        widths = np.zeros_like(values) if curve["interval"] is None else np.array(curve["interval"])
        pulls = np.arange(1, len(values) + 1)
        if name == "agent":
            name, line_colour = label or name, colour or COLOURS[name]
        else:
            if colour not in (None, "C0"):  # Drawn with the first run already.
                continue
            line_colour = COLOURS.get(name, "black")
        style = "--" if line_colour == "black" else "-"
        axes.plot(pulls, values, style, color=line_colour, label=name)
        axes.fill_between(pulls, values - widths, values + widths, color=line_colour, alpha=0.2)
    axes.set(xlabel="pull", ylabel="expected regret on meta_test", title="Regret")


def episode_returns(
    evaluation: Mapping, *, axes: Axes, label: str = "", colour: str | None = None
) -> None:
    """Return of each episode of a trial: trained and untrained, and what there is to compare with.

    That is the best return of an episode, and for an agent that imitates another learner the
    return of as many first episodes of that one, and of its last.
    """
    for (name, curve), style in zip(evaluation["by_episode"].items(), ("-", "--"), strict=False):
        values = np.array(curve["mean"])
        widths = np.zeros_like(values) if curve["interval"] is None else np.array(curve["interval"])
        episodes = np.arange(1, len(values) + 1)
        (line,) = axes.plot(
            episodes, values, style, marker=".", color=colour, label=f"{label} {name}".strip()
        )
        axes.fill_between(
            episodes, values - widths, values + widths, color=line.get_color(), alpha=0.2
        )
    if colour in (None, "C0"):  # Drawn once, with the first run.
        _beside(evaluation, len(episodes), axes)
    axes.set(xlabel="episode of a trial", ylabel="return on meta_test", title="Trials")


def _beside(evaluation, shown, axes):
    if "optimum_of_an_episode" in evaluation:
        best = evaluation["optimum_of_an_episode"]
        axes.axhline(best, color="black", linestyle="--", label="best possible")
    if "source_by_episode" in evaluation:
        source = np.array(evaluation["source_by_episode"]["mean"])
        episodes = np.arange(1, shown + 1)
        axes.plot(episodes, source[:shown], color="C1", label="source learner")
        label = f"source learner, episode {len(source)}"
        axes.axhline(source[-1], color="C1", linestyle=":", label=label)


def draw_paths(paths: Any, title: str) -> Figure:
    """Where an agent walks in the plane: a row for each task, a column for each step or episode.

    Args:
      paths: with `goals` `[P, 2]`, `positions` `[P, K, E, H, 2]` and `is_valid` `[P, K, E, H]`.
      title: above the picture.
    """
    tasks, columns = paths.positions.shape[:2]
    figure = Figure(figsize=(2.6 * columns, 2.6 * tasks + 0.4), layout="constrained")
    panels = figure.subplots(tasks, columns, squeeze=False)
    for task, row in enumerate(panels):
        for number, axes in enumerate(row):
            for walk, ok in zip(
                paths.positions[task, number], paths.is_valid[task, number], strict=True
            ):
                axes.plot(*walk[ok].T, color="C0", alpha=0.35, linewidth=0.8)
            axes.plot(0, 0, "k.", markersize=6)
            axes.plot(*paths.goals[task], "*", color="C3", markersize=11)
            axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=(), yticks=())
            if not task:
                axes.set_title("before" if not number else f"after {number}", fontsize="medium")
        row[0].set_ylabel(f"task {task}")
    figure.suptitle(title)
    return figure
