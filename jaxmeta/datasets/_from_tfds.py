"""Any class-labelled data set of tensorflow-datasets, cut by class."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._decoded import Source, decoded
from jaxmeta.datasets._draw_classes import draw_classes
from jaxmeta.datasets._image_folder import listed
from jaxmeta.datasets._tfds_rows import tfds_rows


def from_tfds(
    name: str,
    *,
    image_size: int = 84,
    grey: bool = False,
    split: str | None = None,
    classes: tuple[Sequence[str], Sequence[str], Sequence[str]] | None = None,
    split_sizes: tuple[int, int, int] | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    image: str = "image",
    label: str = "label",
    cache_dir: str | Path | None = None,
) -> Splits:
    """Classified images that tensorflow-datasets has prepared, cut into splits of disjoint classes.

    Reads without tensorflow what `tfds build NAME --file_format array_record` has written. For data
    larger than memory, see `tfds_images`.

    Args:
      name: of the data set, with configuration and version if need be.
      image_size: height and width in pixels, to which each whole picture is resized.
      grey: one channel in place of three.
      split: which of its own splits are pooled, such as `"train+test"`; None: all.
      classes: names of the classes of meta_train, meta_val and meta_test, such as
        `class_lists("mini-imagenet")`; None: they are drawn.
      split_sizes, seed: of the draw; see `image_folder`.
      data_dir: where tensorflow-datasets keeps its data; None: where it does by itself.
      image: feature that holds the image.
      label: feature that holds the class.
      cache_dir: of the decoded arrays; see `image_folder`.

    Returns `Splits` with images `[T, image_size, image_size, C]` uint8, C being 3 or 1.

    Raises:
      ValueError: tensorflow-datasets is not installed, there is no such data set, split, feature or
        class, rows have no class, a picture is damaged, or sizes do not fit.
      FileNotFoundError: the data set is not prepared there.
    """
    if classes is not None and split_sizes is not None:
        raise ValueError("split_sizes must be None where classes are given.")
    rows = tfds_rows(name, split, (image_size, grey), data_dir, image, label, None)
    if classes is None:
        lists = draw_classes(rows.class_names, split_sizes, seed)
    else:
        train, val, test = map(list, classes)
        lists = (train, val, test)
        listed(dict.fromkeys(rows.class_names), lists, name)
    wanted = {class_name for names in lists for class_name in names}
    rows.content(0)  # Opens the files, once, before threads read them.
    sources, first = [], 0
    for class_name, count in zip(rows.class_names, rows.counts, strict=True):
        if class_name in wanted:
            sources += [
                Source(class_name, rows.name(row), partial(rows.content, row))
                for row in range(first, first + count)
            ]
        first += count
    arrays = decoded(sources, image_size=image_size, grey=grey, cache_dir=cache_dir)
    return split_classes(arrays, lists)
