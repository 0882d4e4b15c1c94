"""`jaxmeta replay RUN --step N`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jaxmeta import experiments, runs


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """Runs one step of a run again: each task by itself, then eagerly with checks on.

    Says which task and which operation give the first number that is not finite.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """folder of the run"""
    step: int
    """number of the step, as the run that stopped has said"""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta replay RUN --step N`."""
    options = tyro.cli(ReplayOptions, args=arguments, prog="jaxmeta replay")
    runs.read_config(options.run)
    experiments.use_all_cores()
    found = runs.replay_run(options.run, step=options.step)
    print(f"step {found.step}, from {found.origin}")
    for number, (loss, norm) in enumerate(
        zip(found.tasks.loss, found.tasks.grad_norm, strict=True)
    ):
        mark = "  <- not finite" if not np.isfinite([loss, norm]).all() else ""
        print(f"  task {number:3}  loss {loss:12.6g}  meta-gradient {norm:12.6g}{mark}")
    if found.task is None and found.operation is None:
        print("all finite, and every operation of every task too")
    else:
        print(
            f"the first operation that is not finite: {found.operation or 'none when run eagerly'}"
        )
