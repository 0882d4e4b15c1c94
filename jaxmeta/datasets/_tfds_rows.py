"""Images of a tensorflow-datasets folder that stay on the disk until they are asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets._pictures import picture
from jaxmeta.datasets._row_source import Rows
from jaxmeta.datasets._tfds import tensorflow_datasets


def tfds_images(
    name: str,
    *,
    split: str,
    image_size: int,
    data_dir: str | Path | None = None,
    image: str = "image",
    label: str = "label",
    grey: bool = False,
    classes: Sequence[str] | None = None,
) -> Rows:
    """Classified images that tensorflow-datasets has prepared as ArrayRecord.

    Reads without tensorflow what `tfds build NAME --file_format array_record` has written. All
    labels are read once, here; an image is decoded when it is asked for.

    Args:
      name: of the data set, with configuration and version if need be.
      split: of the data set, in its own language, such as `"train"` or `"train+test"`.
      image_size: height and width in pixels.
      data_dir: where tensorflow-datasets keeps its data; None: where it does by itself.
      image: feature that holds the image.
      label: feature that holds the class.
      grey: one channel in place of three.
      classes: names of those that are taken, in this order; None: all, in the order of their
        numbers.

    Raises:
      ValueError: tensorflow-datasets is not installed, there is no such data set, split or
        feature, a class is missing, a feature is no picture or no class, rows have no class, or
        `image_size` is below 1; a row that is asked for is no readable picture.
      FileNotFoundError: the data set is not prepared there.
    """
    at_least(1, image_size=image_size)
    return tfds_rows(name, split, (image_size, grey), data_dir, image, label, classes)


def tfds_rows(
    name: str,
    split: str | None,
    form: tuple[int, bool],
    data_dir: str | Path | None,
    image: str,
    label: str,
    classes: Sequence[str] | None,
) -> "TfdsRows":
    """What `tfds_images` gives; `split` None is all of them.

    Raises:
      ValueError, FileNotFoundError: see `tfds_images`.
    """
    tfds = tensorflow_datasets()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"tensorflow-datasets knows no data set {name!r}.") from error
    if not Path(builder.data_path).is_dir():
        raise FileNotFoundError(
            f"{name} is not prepared in {builder.data_path}: run `tfds build {name} --data_dir "
            f"{Path(builder.data_path).parents[1]} --file_format array_record` first."
        )
    _check_features(tfds, name, builder.info.features, image, label)
    split = "+".join(builder.info.splits) if split is None else split
    undecoded = {image: tfds.decode.SkipDecoding()}
    labels = [int(row[label]) for row in builder.as_data_source(split, decoders=undecoded)]
    present, counts = np.unique(labels, return_counts=True)
    if present.size == 0 or present[0] < 0:
        wrong = "has rows without a class, such as a test set" if present.size else "has no rows"
        raise ValueError(f"{name}: split {split!r} {wrong}; choose another `split`.")
    named = map(builder.info.features[label].int2str, map(int, present))
    places = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    found = dict(zip(named, places, strict=True))
    names = tuple(found if classes is None else classes)
    if missing := [class_name for class_name in names if class_name not in found]:
        raise ValueError(
            f"{name}: split {split!r} has no class {missing[0]!r}; it has {len(found)} others."
        )
    return TfdsRows(
        (name, data_dir, split, image),
        tuple(len(found[class_name]) for class_name in names),
        names,
        np.concatenate([found[class_name] for class_name in names]),
        form,
    )


def _check_features(tfds, name, features, image, label):
    for feature in (image, label):
        if feature not in features:
            raise ValueError(f"{name} has no feature {feature!r}; it has {', '.join(features)}.")
    if not isinstance(features[label], tfds.features.ClassLabel):
        raise ValueError(f"{name}: feature {label!r} is no class; give another `label`.")
    kind = features[image]
    if not isinstance(kind, tfds.features.Image) or kind.np_dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"{name}: feature {image!r} must be a picture of 8 or 16 bits, but is {kind!r}."
        )


class TfdsRows:
    """Rows of one or more splits, those of a class adjacent."""

    def __init__(self, where, counts, class_names, order, form):
        self.counts, self.class_names = counts, class_names
        self._where, self._order, self._form = where, order, form
        self._source = None

    def __getstate__(self):
        return self.__dict__ | {"_source": None}  # Each reading process opens the files itself.

    def __getitem__(self, row):
        size, grey = self._form
        return picture(self.content(row), name=self.name(row), image_size=size, grey=grey)

    def content(self, row: int) -> bytes:
        """The picture's file, not decoded."""
        name, data_dir, split, feature = self._where
        if self._source is None:
            tfds = tensorflow_datasets()
            self._source = tfds.builder(name, data_dir=data_dir).as_data_source(
                split, decoders={feature: tfds.decode.SkipDecoding()}
            )
        return self._source[int(self._order[row])][feature]

    def name(self, row: int) -> str:
        """What an error calls the picture."""
        name, _, split, _ = self._where
        return f"image {int(self._order[row])} of {name}, split {split!r},"
