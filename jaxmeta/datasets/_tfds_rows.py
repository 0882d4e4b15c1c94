"""Images of a tensorflow-datasets folder that stay on the disk until they are asked for."""

from pathlib import Path

import numpy as np

from jaxmeta.datasets._pictures import picture
from jaxmeta.datasets._rows import Rows
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

    Raises:
      ValueError: tensorflow-datasets is not installed, there is no such data set, split or
        feature, or `image_size` is below 1.
      FileNotFoundError: the data set is not prepared there.
    """
    if image_size < 1:
        raise ValueError(f"image_size must be >= 1, got {image_size}.")
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
    for feature in (image, label):
        if feature not in builder.info.features:
            there = ", ".join(builder.info.features)
            raise ValueError(f"{name} has no feature {feature!r}; it has {there}.")
    undecoded = {image: tfds.decode.SkipDecoding()}
    labels = [int(row[label]) for row in builder.as_data_source(split, decoders=undecoded)]
    present, counts = np.unique(labels, return_counts=True)
    names = builder.info.features[label].int2str
    return _TfdsImages(
        (name, data_dir, split, image),
        tuple(map(int, counts)),
        tuple(names(int(number)) for number in present),
        np.argsort(labels, kind="stable"),
        (image_size, grey),
    )


class _TfdsImages:
    def __init__(self, where, counts, class_names, order, form):
        self.counts, self.class_names = counts, class_names
        self._where, self._order, self._form = where, order, form
        self._source = None

    def __getstate__(self):
        return self.__dict__ | {"_source": None}  # Each reading process opens the files itself.

    def __getitem__(self, row):
        name, data_dir, split, feature = self._where
        if self._source is None:
            tfds = tensorflow_datasets()
            self._source = tfds.builder(name, data_dir=data_dir).as_data_source(
                split, decoders={feature: tfds.decode.SkipDecoding()}
            )
        place = int(self._order[row])
        size, grey = self._form
        return picture(
            self._source[place][feature],
            name=f"image {place} of {name}, split {split!r}",
            image_size=size,
            grey=grey,
        )
