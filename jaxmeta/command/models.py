"""The folder of a fitted classifier: what `jaxmeta fit` writes and `jaxmeta predict` reads."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from jaxmeta.estimator import FewShotClassifier
from jaxmeta.pictures import folder_of_classes
from jaxmeta.runs.checkpoints import write_json

FORMAT, MODEL, SUPPORT = "jaxmeta model 1", "model.json", "support.safetensors"
MOST_BYTES = 2**30


class Model(NamedTuple):
    """A fitted classifier and where its support set came from."""

    classifier: FewShotClassifier
    files: list[Path]  # of the support set, in the order of its rows
    names: list[str]  # the class of each
    run: Path | None  # whose learner it is; None: class means of ImageNet features


def fit(support: Path, run: Path | None) -> Model:
    """Fits a classifier to a folder of pictures with a folder for each class.

    Raises:
      ValueError: a picture cannot be read, or there are fewer than two classes.
      FileNotFoundError: the folder or the run is not there.
    """
    files, names = folder_of_classes(support)
    if len(set(names)) < 2:
        raise ValueError(f"{support} must hold at least two classes, got {names[0]!r} alone.")
    return Model(_new(run).fit(files, names), files, names, run)


def save(model: Model, folder: Path) -> None:
    """Writes what `load` reads; the rows are kept as the learner saw them."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "run": None if model.run is None else str(model.run.resolve()),
        "names": model.names,
        "files": [str(file.resolve()) for file in model.files],
    }
    (folder / SUPPORT).write_bytes(safetensors.numpy.save({"x": model.classifier.support_x_}))
    write_json(folder / MODEL, content)


def load(folder: Path) -> Model:
    """Fits the classifier again to the rows in its folder.

    Raises:
      FileNotFoundError: the folder holds no model, or its run is not there.
      ValueError: it is damaged.
    """
    if not (folder / MODEL).is_file() or not (folder / SUPPORT).is_file():
        raise FileNotFoundError(f"{folder} holds no model: `jaxmeta fit` writes one.")
    try:
        for name in (MODEL, SUPPORT):
            if (folder / name).stat().st_size > MOST_BYTES:
                raise ValueError(f"{name} is too large")
        content = json.loads((folder / MODEL).read_bytes())
        x = safetensors.numpy.load((folder / SUPPORT).read_bytes())["x"]
        names, files, run = (content[name] for name in ("names", "files", "run"))
        if content["format"] != FORMAT or not len(names) == len(files) == len(x) > 0:
            raise ValueError("its parts do not fit each other")
        if not all(isinstance(text, str) for text in [*names, *files, run or ""]):
            raise ValueError("a name is not text")
        if x.dtype != np.float32 or not np.isfinite(x).all():
            raise ValueError("its rows are not finite float32")
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"{folder} is not a model that can be read: {error}.") from error
    run = None if run is None else Path(run)
    classifier = _new(run).fit_rows(x, names)
    return Model(classifier, [Path(file) for file in files], names, run)


def _new(run):
    return FewShotClassifier() if run is None else FewShotClassifier.from_run(run)
