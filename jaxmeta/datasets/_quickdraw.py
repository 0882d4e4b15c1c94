"""Quick, Draw!: 345 categories of drawings made in under 20 seconds, of 28x28 grey pixels.

Jongejan et al., "The Quick, Draw! A.I. Experiment", 2016; Ha & Eck, "A Neural Representation of
Sketch Drawings", 2017; https://github.com/googlecreativelab/quickdraw-dataset, licence CC BY 4.0.
"""

from pathlib import Path

import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets._cache import data_home
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._image_folder import listed
from jaxmeta.datasets._split_lists import class_lists

SIDE = 28


def quickdraw(data_dir: str | Path | None = None, *, per_class: int = 1000) -> Splits:
    """Quick, Draw!: 241/52/52 categories in the split of Meta-Dataset, ink 255.

    Args:
      data_dir: folder with the "numpy bitmap" files, such as `police car.npy`. None is
        `quickdraw` in `$JAXMETA_DATA`, or in `jaxmeta` in the user's cache folder.
      per_class: drawings of each category, its first ones; all 50 million would be 39 GB.

    Returns `Splits` with images `[T, 28, 28, 1]` uint8.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: `per_class` is below 1, a category is missing or has too few drawings, or a file
        is damaged.
    """
    at_least(1, per_class=per_class)
    folder = data_home() / "quickdraw" if data_dir is None else Path(data_dir)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"quickdraw needs the files of full/numpy_bitmap in {folder}, which does not exist; "
            "see https://github.com/googlecreativelab/quickdraw-dataset."
        )
    files = {path.stem: path for path in folder.glob("*.npy")}
    lists = class_lists("quickdraw")
    listed(files, lists, f"quickdraw in {folder}")
    return split_classes(
        {name: _drawings(files[name], per_class) for names in lists for name in names}, lists
    )


def _drawings(path, per_class):
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)  # Only what is taken is read.
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise ValueError(f"{path} is no array ({error}).") from error
    if rows.ndim != 2 or rows.shape[1] != SIDE**2 or rows.dtype != np.uint8:
        raise ValueError(
            f"{path} must hold drawings [k, {SIDE**2}] uint8, got {rows.shape} {rows.dtype}."
        )
    if len(rows) < per_class:
        raise ValueError(f"{path} must hold {per_class} drawings or more, got {len(rows)}.")
    return np.array(rows[:per_class]).reshape(per_class, SIDE, SIDE, 1)
