"""Images that stay on the disk until they are asked for: folders of files, or ArrayRecord."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from jaxmeta.datasets._class_data import ClassData

INDEX, ROWS = "index.json", "rows.array_record"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")

UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError)


class Rows(Protocol):
    """Rows of several classes, those of a class adjacent, each read when it is asked for."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows of each class, in order."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    def __getitem__(self, row: int, /) -> np.ndarray:
        """One image `[H, W, C]` uint8."""


class _ImageFiles(NamedTuple):
    counts: tuple[int, ...]
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    image_size: int
    mode: str

    def __getitem__(self, row):
        path = self.paths[row]
        try:
            with Image.open(path) as image:
                image.draft(self.mode, (self.image_size, self.image_size))
                whole = image.convert(self.mode)
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:
            raise ValueError(f"{path} is not a readable image ({error}).") from error
        size = (self.image_size, self.image_size)
        pixels = np.asarray(whole.resize(size, Image.Resampling.LANCZOS), np.uint8)
        return pixels.reshape(*size, -1)


def image_files(folder: str | Path, *, image_size: int, grey: bool = False) -> Rows:
    """The images of a folder with one folder per class, decoded when they are asked for.

    Args:
      folder: `folder/class/image.png`; classes and files in the order of their names.
      image_size: height and width in pixels.
      grey: one channel in place of three.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no images, or a class without any.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    if image_size < 1:
        raise ValueError(f"image_size must be >= 1, got {image_size}.")
    classes = {path.name: _images(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    if not classes:
        raise ValueError(f"{folder} must have a folder for each class, but has none.")
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise ValueError(f"every class must have an image, but {folder / empty[0]} has none.")
    return _ImageFiles(
        tuple(map(len, classes.values())),
        tuple(classes),
        tuple(str(path) for paths in classes.values() for path in paths),
        image_size,
        "L" if grey else "RGB",
    )


def _images(folder):
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return [path for path in files if path.is_file()]  # Not pipes, which would be waited for.


class _Records:
    def __init__(self, folder, counts, class_names, shape):
        self.counts, self.class_names = counts, class_names
        self._folder, self._shape, self._source = folder, shape, None

    def __getstate__(self):
        return self.__dict__ | {"_source": None}  # Each reading process opens the file itself.

    def __getitem__(self, row):
        if self._source is None:
            self._source = _record_source()([str(self._folder / ROWS)])
        return np.frombuffer(self._source[row], np.uint8).reshape(self._shape)


def _record_source():
    try:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError as error:
        raise ValueError("ArrayRecord needs `pip install 'jaxmeta[grain]'`.") from error
    return ArrayRecordDataSource


def array_records(folder: str | Path) -> Rows:
    """The images of a folder that `write_array_records` made.

    Raises:
      FileNotFoundError: the folder holds none.
      ValueError: its index or its records are damaged.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file() or not (folder / ROWS).is_file():
        raise FileNotFoundError(f"{folder} must hold {INDEX} and {ROWS}.")
    try:
        index = json.loads((folder / INDEX).read_bytes())
        counts, names = tuple(map(int, index["counts"])), tuple(map(str, index["class_names"]))
        rows = _Records(folder, counts, names, tuple(map(int, index["shape"])))
        if len(counts) != len(names) or min(counts) < 1:
            raise ValueError("counts and class_names do not fit")
        rows[sum(counts) - 1]
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, RecursionError) as error:
        raise ValueError(f"{folder} does not hold whole records: {error}") from error
    return rows


def write_array_records(rows: Rows | ClassData, folder: str | Path) -> None:
    """Writes images of one shape into a new folder, to be read in any order without decoding.

    Raises:
      ValueError: the folder is there, or the images differ in shape.
    """
    try:
        from array_record.python.array_record_module import ArrayRecordWriter
    except ImportError as error:
        raise ValueError("ArrayRecord needs `pip install 'jaxmeta[grain]'`.") from error
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder} must be a new folder, but is there.")
    folder.mkdir(parents=True)
    writer = ArrayRecordWriter(str(folder / ROWS), "group_size:1")
    shape = None
    for image in _all(rows):
        shape = image.shape if shape is None else shape
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 of one shape, got {image.dtype} {image.shape} after {shape}."
            )
        writer.write(image.tobytes())
    writer.close()
    index = {
        "counts": [int(count) for count in rows.counts],
        "class_names": list(rows.class_names),
        "shape": list(shape or ()),
    }
    (folder / INDEX).write_text(json.dumps(index))  # Last: without it the folder is not taken.


def _all(rows) -> Iterator[np.ndarray]:
    images = rows.images if isinstance(rows, ClassData) else rows
    return (images[row] for row in range(int(np.sum(rows.counts))))
