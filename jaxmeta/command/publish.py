"""`jaxmeta publish RUN DIR`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmeta import runs


@dataclasses.dataclass(frozen=True)
class PublishOptions:
    """Keeps the results of a run, and its best parameters, in a folder that anyone can test again.

    `jaxmeta evaluate` of that folder gives the numbers again. Parameters of more than a mebibyte
    are left out.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run that has been evaluated."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the results go, such as benchmarks/results/NAME."""


def main(arguments: Sequence[str]) -> None:
    """`jaxmeta publish RUN DIR`."""
    options = tyro.cli(PublishOptions, args=arguments, prog="jaxmeta publish")
    written = runs.publish(options.run, options.folder)
    print(f"wrote {', '.join(written)} into {options.folder}")
    if runs.PARAMS not in written:
        print("without the parameters, which take more than a mebibyte")
