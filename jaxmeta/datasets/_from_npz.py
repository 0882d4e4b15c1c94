"""Arrays of one's own in an .npz file."""

from pathlib import Path

import numpy as np

from jaxmeta.datasets._cache import DAMAGED_ZIP
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._draw_classes import draw_classes

PARTS = ("train", "val", "test")


def from_npz(
    path: str | Path, *, split_sizes: tuple[int, int, int] | None = None, seed: int = 0
) -> Splits:
    """Classified rows of an .npz file, as splits of disjoint classes.

    The file holds `x` and `y`, whose classes are then drawn for each split, or `train_x`,
    `train_y`, `val_x`, `val_y`, `test_x` and `test_y`. Nothing is ever unpickled.

    Args:
      path: of the file.
      split_sizes, seed: of the draw, where the file holds `x` and `y`; see `image_folder`.

    Returns `Splits`: `x` is `[rows, *X]`, pictures where it is uint8, and `y` `[rows]` holds
    integers or strings, a class each.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no .npz file, holds other arrays than these, or arrays that do not fit; or a
        class is in two splits.

    Example:
      >>> import tempfile, numpy as np
      >>> path = f"{tempfile.mkdtemp()}/mine.npz"
      >>> np.savez(path, x=np.zeros((10, 28, 28, 1), np.uint8), y=np.arange(10) // 2)
      >>> [split.n_classes for split in from_npz(path)]
      [3, 1, 1]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give an .npz file of arrays x and y.")
    arrays = _read(path)
    if set(arrays) == {"x", "y"}:
        classes = _classes(path, arrays["x"], arrays["y"], ("x", "y"))
        names = draw_classes(list(classes), split_sizes, seed)
        return split_classes({name: classes[name] for part in names for name in part}, names)
    keys = [(f"{part}_x", f"{part}_y") for part in PARTS]
    if set(arrays) != {name for pair in keys for name in pair}:
        raise ValueError(
            f"{path} must hold the arrays x and y, or {', '.join(x + ', ' + y for x, y in keys)}; "
            f"it holds {', '.join(sorted(arrays)) or 'none'}."
        )
    if split_sizes is not None:
        raise ValueError(f"split_sizes is of a file with x and y; {path} has its splits already.")
    splits = [_classes(path, arrays[x], arrays[y], (x, y)) for x, y in keys]
    train, val, test = (list(classes) for classes in splits)
    return split_classes(splits[0] | splits[1] | splits[2], (train, val, test))


def _read(path):
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (*DAMAGED_ZIP, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is no .npz file of plain arrays: {error}") from error


def _classes(path, x, y, names):
    """Rows by class, in the order of the classes."""
    if y.ndim != 1 or y.dtype.kind not in "iuUb":
        raise ValueError(
            f"{names[1]} of {path} must be one integer or string for each row, got "
            f"{y.dtype} {list(y.shape)}."
        )
    if x.ndim < 2 or len(x) != len(y):
        raise ValueError(
            f"{names[0]} of {path} must be [rows, *X] with the {len(y)} rows of {names[1]}, got "
            f"{list(x.shape)}."
        )
    return {str(label): x[y == label] for label in np.unique(y)}
