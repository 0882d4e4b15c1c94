"""`jaxmeta analyse RUN`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import plots, runs


@dataclasses.dataclass(frozen=True)
class AnalyseOptions:
    """Measures a run's meta-gradient on one task of meta_test, and draws it.

    The expansion of MAML's, FOMAML's and Reptile's direction, the curvature before and after
    adaptation, bias and cost of four ways to the meta-gradient, and a finite-difference check.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """folder of the run"""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta analyse RUN`."""
    options = tyro.cli(AnalyseOptions, args=arguments, prog="jaxmeta analyse")
    name, _ = runs.read_config(options.run)
    analysis = runs.analyse_run(options.run)
    path = options.run / "analysis.png"
    plots.draw_analysis(analysis, f"{name}, one task of meta_test").savefig(path, dpi=120)
    error = analysis.check.relative_error
    print(f"{name}: jax.grad and finite differences of the loss differ by {error:.1e} (relative)")
    print(f"wrote {options.run / 'analysis.json'} and {path}")
