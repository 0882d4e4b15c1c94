"""`jaxmeta plot RUN...`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import runs
from jaxmeta.checks import at_least
from jaxmeta.command.pictures import (
    CURVES,
    draw_attention,
    draw_episode,
    draw_look,
    draw_memory,
    draw_paths,
    draw_runs,
)


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draws learning and adaptation curves of one run, or of several in one picture.

    Of one run on images also an episode: support, queries and predictions, the confusion of its
    classes and, for metric learners, its embedding in two dimensions, in episode.png. Of one run of
    a learner that reads the support set in one pass also task.png: generated weights, attention of
    weight tokens to samples, a predictive mean and band. Of one run on navigation also paths.png,
    and of one in-context agent where it looks, in attention.png.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders of the runs"""
    out: Path | None = None
    """the picture; None: curves.png in the first run's folder"""
    episode: int = 0
    """which episode of the meta-test to draw"""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta plot RUN...`."""
    options = tyro.cli(PlotOptions, args=arguments, prog="jaxmeta plot")
    if not options.runs:
        raise ValueError("name at least one run folder.")
    at_least(0, episode=options.episode)
    if options.episode and len(options.runs) > 1:
        raise ValueError(f"episode is drawn of one run, got {len(options.runs)} runs.")
    if options.episode and not runs.has_images(runs.read_config(options.runs[0])[1]):
        raise ValueError("episode is drawn of a run on images, and this run has none.")
    print(f"wrote {draw_runs(options.runs, options.out or options.runs[0] / CURVES)}")
    if len(options.runs) == 1:
        draw_episode(options.runs[0], options.episode)
        draw_look(options.runs[0])
        draw_paths(options.runs[0])
        draw_attention(options.runs[0])
        draw_memory(options.runs[0])
