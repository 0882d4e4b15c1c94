"""`jaxmeta fit --support DIR --out DIR`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from jaxmeta.command import models


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Fits a classifier to a folder of pictures and keeps it for `jaxmeta predict --model`."""

    support: Path
    """folder with a folder of pictures for each class"""
    out: Path
    """folder to write the model into"""
    run: Path | None = None
    """run folder whose learner it is; None: ImageNet features and class means"""


def main(arguments: Sequence[str]) -> None:
    """Fits, saves, and says how sure the model is of its own support set."""
    options = tyro.cli(FitOptions, args=arguments, prog="jaxmeta fit")
    model = models.fit(options.support, options.run)
    models.save(model, options.out)
    classes = model.classifier.classes_
    print(f"{len(model.files)} pictures of {len(classes)} classes: {', '.join(classes)}")
    if model.classifier.n_held_out_:
        print(
            f"of {model.classifier.n_held_out_} pictures held out, each predicted from the others, "
            f"{100 * model.classifier.held_out_score_:.0f} % are right"
        )
    print(f"wrote {options.out}")
