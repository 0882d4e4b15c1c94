"""Images that stay on the disk until they are asked for: folders of files, or ArrayRecord."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets._class_data import ClassData
from jaxmeta.datasets._class_folders import class_folders, split_folders
from jaxmeta.datasets._pictures import picture
from jaxmeta.datasets._row_source import Rows

INDEX, ROWS = "index.json", "rows.array_record"


class _ImageFiles(NamedTuple):
    counts: tuple[int, ...]
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    image_size: int
    grey: bool

    def __getitem__(self, row):
        path = self.paths[row]
        return picture(Path(path), name=path, image_size=self.image_size, grey=self.grey)


def image_files(
    folder: str | Path,
    *,
    image_size: int,
    grey: bool = False,
    classes: Sequence[str] | None = None,
) -> Rows:
    """The images of a folder with one folder per class, decoded when they are asked for.

    Every kind of picture that Pillow reads is taken as it looks: 16 bits are scaled to 8, an EXIF
    orientation is applied, transparent parts lie on white, and the whole picture is resized to a
    square. Hidden files and folders, whose names begin with a dot, are skipped.

    Args:
      folder: `folder/class/image.png`; classes and files in the order of their names. A class may
        lie deeper: `folder/Greek/character01/1.png` is of class `Greek/character01`.
      image_size: height and width in pixels.
      grey: one channel in place of three.
      classes: names of those that are taken, in this order; None: all.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no images, a class without any, a file that is no picture, or lacks a
        class that is asked for; a row that is asked for is no readable picture.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> for name in ("ant", "bee", "cow"):
      ...     (folder / name).mkdir()
      ...     Image.new("RGB", (40, 30)).save(folder / name / "1.png")
      >>> rows = image_files(folder, image_size=16)
      >>> rows.counts, rows[0].shape
      ((1, 1, 1), (16, 16, 3))
    """
    at_least(1, image_size=image_size)
    folder = Path(folder)
    if folder.is_dir() and len(split_folders(folder)) > 1:
        raise ValueError(f"{folder} holds splits, not classes: give one of its folders.")
    found = class_folders(folder)
    names = tuple(found if classes is None else classes)
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{folder} has no class {missing[0]!r}; it has {len(found)} others.")
    return _ImageFiles(
        tuple(len(found[name]) for name in names),
        names,
        tuple(str(path) for name in names for path in found[name]),
        image_size,
        grey,
    )


class _Records:
    def __init__(self, folder, counts, class_names, shape, dtype):
        self.counts, self.class_names = counts, class_names
        self._folder, self._shape, self._dtype = folder, shape, dtype
        self._source = None

    def __getstate__(self):
        return self.__dict__ | {"_source": None}  # Each reading process opens the file itself.

    def __getitem__(self, row):
        if self._source is None:
            self._source = _record_source()([str(self._folder / ROWS)])
        return np.frombuffer(self._source[row], self._dtype).reshape(self._shape)


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
        dtype = np.dtype(str(index.get("dtype", "uint8")))  # Older folders hold images alone.
        if dtype.kind not in "iuf":
            raise ValueError(f"rows of {dtype}")
        rows = _Records(folder, counts, names, tuple(map(int, index["shape"])), dtype)
        if len(counts) != len(names) or min(counts) < 1:
            raise ValueError("counts and class_names do not fit")
        rows[sum(counts) - 1]
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, RecursionError) as error:
        raise ValueError(f"{folder} does not hold whole records: {error}") from error
    return rows


def write_array_records(rows: Rows | ClassData, folder: str | Path) -> None:
    """Writes rows of one shape into a new folder, to be read in any order without decoding.

    Rows keep their dtype, which says what they are: uint8 are images. Ids of uint8, which a
    `ClassData` marks by `as_image=False`, are written as uint16.

    Raises:
      ValueError: the folder is there, or the rows differ in shape or dtype.

    Example:
      >>> import numpy as np, tempfile
      >>> data = ClassData(np.zeros((4, 8, 8, 1), np.uint8), np.array([2, 2]), ("ant", "bee"))
      >>> folder = Path(tempfile.mkdtemp()) / "records"
      >>> write_array_records(data, folder)
      >>> array_records(folder).counts
      (2, 2)
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
    first = None
    for row in _all(rows):
        first = row if first is None else first
        if row.shape != first.shape or row.dtype != first.dtype or row.dtype.kind not in "iuf":
            raise ValueError(
                "rows must be numbers of one shape and dtype, got "
                f"{row.dtype} {row.shape} after {first.dtype} {first.shape}."
            )
        writer.write(row.tobytes())
    writer.close()
    index = {
        "counts": [int(count) for count in rows.counts],
        "class_names": list(rows.class_names),
        "shape": [] if first is None else list(first.shape),
        "dtype": "uint8" if first is None else first.dtype.str,
    }
    (folder / INDEX).write_text(json.dumps(index))  # Last: without it the folder is not taken.


def _all(rows) -> Iterator[np.ndarray]:
    images = rows.images if isinstance(rows, ClassData) else rows
    are_ids = isinstance(rows, ClassData) and not rows.as_image and images.dtype == np.uint8
    for row in range(int(np.sum(rows.counts))):
        yield images[row].astype(np.uint16) if are_ids else np.asarray(images[row])
