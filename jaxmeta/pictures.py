"""Pictures as people have them, files or PIL images, as arrays of one shape."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from jaxmeta.datasets._class_folders import class_folders, is_hidden
from jaxmeta.datasets._pictures import upright

MOST_PIXELS = 2**27  # of a picture; 134 million, 400 MB once decoded
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def are_pictures(inputs: Any) -> bool:
    """Whether these are a list of files or PIL images, and not an array."""
    return (
        isinstance(inputs, list | tuple)
        and len(inputs) > 0
        and isinstance(inputs[0], str | Path | Image.Image)
    )


def as_array(pictures: Sequence[str | Path | Image.Image], shape: tuple[int, ...]) -> np.ndarray:
    """Pictures as bytes `[M, H, W, C]`.

    Each is turned as its EXIF says, laid on white where it is transparent, cut to its middle in the
    proportions of `shape` and resized (bilinear, with antialiasing).

    Args:
      pictures: files or PIL images of any mode but those without a known range, 32 bits and
        floats.
      shape: `(H, W, C)` with C 1 (grey) or 3 (RGB).

    Raises:
      ValueError: `shape` is another, or a picture is damaged, too large or none; says which.
      FileNotFoundError: a file does not exist.
    """
    if len(shape) != 3 or shape[2] not in (1, 3) or min(shape) < 1:
        raise ValueError(f"pictures become arrays [H, W, 1] or [H, W, 3], but {shape} is wanted.")
    return np.stack([_one(picture, shape) for picture in pictures])


def _one(picture, shape):
    if isinstance(picture, Image.Image):
        return _converted(picture, shape, "a PIL image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The limit is ours.
            opened = Image.open(picture)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file.
        raise ValueError(f"{picture} is not a picture that can be read: {error}.") from error
    with opened:
        return _converted(opened, shape, picture)


def _converted(image, shape, name):
    try:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels")
        image = upright(image).convert("L" if shape[2] == 1 else "RGB")
        image = ImageOps.fit(image, shape[1::-1], Image.Resampling.BILINEAR)
    except Exception as error:
        raise ValueError(f"{name} is not a picture that can be read: {error}.") from error
    return np.asarray(image, np.uint8).reshape(shape)


def folder_of_classes(path: str | Path) -> tuple[list[Path], list[str]]:
    """The pictures in a folder with a folder for each class, and the class of each, in order.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it has no pictures in folders of classes, or a file there is none; names it.
    """
    classes = class_folders(Path(path))
    files = [file for found in classes.values() for file in found]
    return files, [name for name, found in classes.items() for _ in found]


def folder_of_pictures(path: str | Path) -> list[Path]:
    """The pictures in a folder and the folders in it, in order; or the one picture that it is.

    Raises:
      FileNotFoundError: it does not exist.
      ValueError: it has no pictures.
    """
    if Path(path).is_file():
        return [Path(path)]
    root = _folder(path)
    there = (file for file in root.rglob("*") if not is_hidden(file.relative_to(root)))
    files = sorted(file for file in there if _is_picture(file))
    if not files:
        raise ValueError(f"{path} holds no pictures ({', '.join(SUFFIXES)}).")
    return files


def _folder(path):
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder.")
    return path


def _is_picture(file):
    return file.suffix.lower() in SUFFIXES and file.is_file()
