"""Photographs of birds, aircraft, flowers and fungi, in the layouts of their archives, unpacked.

CUB-200-2011: Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011,
https://www.vision.caltech.edu/datasets/cub_200_2011; for non-commercial research.
FGVC-Aircraft: Maji et al., "Fine-Grained Visual Classification of Aircraft", 2013,
https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft; for non-commercial research.
VGG Flower: Nilsback & Zisserman, "Automated Flower Classification over a Large Number of Classes",
2008, https://www.robots.ox.ac.uk/~vgg/data/flowers/102; no licence is stated.
FGVCx Fungi: the competition of 2018, https://github.com/visipedia/fgvcx_fungi_comp; for
non-commercial research and education.
"""

import json
from pathlib import Path

from jaxmeta.datasets._cache import DAMAGED_ZIP, data_home
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._class_folders import class_folders
from jaxmeta.datasets._decoded import decoded, file_sources
from jaxmeta.datasets._draw_classes import draw_classes
from jaxmeta.datasets._image_folder import listed
from jaxmeta.datasets._split_lists import class_lists

FUNGI_SIZES = (994, 200, 200)  # classes of each split of Meta-Dataset, of 1394


def cub(
    data_dir: str | Path | None = None, *, image_size: int = 84, cache_dir: str | Path | None = None
) -> Splits:
    """CUB-200-2011: 100/50/50 kinds of birds, in the split of pytorch-meta.

    Args:
      data_dir: folder where `CUB_200_2011.tgz` was unpacked, with `CUB_200_2011/images`, or that
        folder, or one above `images`. None is `cub` in `$JAXMETA_DATA`, or in `jaxmeta` in the
        user's cache folder.
      image_size: height and width in pixels, to which each whole picture is resized.
      cache_dir: of the decoded arrays; see `image_folder`.

    Returns `Splits` with images `[T, image_size, image_size, 3]` uint8, and names such as
    `001.Black_footed_Albatross`.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: a class is missing, or a file is damaged.
    """
    folder = _folder("cub", data_dir, "images", "CUB_200_2011/images")
    return _cut(class_folders(folder), "cub", folder, image_size, cache_dir)


def aircraft(
    data_dir: str | Path | None = None, *, image_size: int = 84, cache_dir: str | Path | None = None
) -> Splits:
    """FGVC-Aircraft: 70/15/15 variants of aircraft, in the split of Meta-Dataset.

    Meta-Dataset cuts each image to the aircraft's box; here the whole picture is resized.

    Args:
      data_dir: folder where `fgvc-aircraft-2013b.tar.gz` was unpacked, with
        `fgvc-aircraft-2013b/data`, or one above `data`. None is `aircraft` in the data folder.
      image_size, cache_dir: see `cub`.

    Returns `Splits` with images `[T, image_size, image_size, 3]` uint8, and names such as `A318`.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: a class is missing, or a file is damaged.
    """
    folder = _folder("aircraft", data_dir, "data", "fgvc-aircraft-2013b/data")
    classes: dict[str, list[Path]] = {}
    for part in ("trainval", "test"):
        table = _needed(folder / f"images_variant_{part}.txt")
        for number, line in enumerate(_text(table).splitlines()):
            image, _, variant = line.strip().partition(" ")
            if not variant:
                raise ValueError(f"{table} must name a variant in each line; line {number + 1}.")
            classes.setdefault(variant, []).append(folder / "images" / f"{image}.jpg")
    return _cut(classes, "aircraft", folder, image_size, cache_dir)


def vgg_flower(
    data_dir: str | Path | None = None, *, image_size: int = 84, cache_dir: str | Path | None = None
) -> Splits:
    """VGG Flower: 71/15/16 kinds of flowers, in the split of Meta-Dataset.

    Args:
      data_dir: folder with `jpg`, from `102flowers.tgz`, and `imagelabels.mat`. None is
        `vgg-flower` in the data folder.
      image_size, cache_dir: see `cub`.

    Returns `Splits` with images `[T, image_size, image_size, 3]` uint8, and names `001` to `102`,
    the numbers in `imagelabels.mat`.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: a class is missing, or a file is damaged.
    """
    # Here alone, as it takes a while to import.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    folder = _folder("vgg-flower", data_dir, "jpg").parent
    table = _needed(folder / "imagelabels.mat")
    try:
        labels = loadmat(table)["labels"].ravel().astype(int)
    except (*DAMAGED_ZIP, MatReadError, ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{table} must hold `labels` in MATLAB's format ({error}).") from error
    classes: dict[str, list[Path]] = {}
    for row, label in enumerate(labels):
        path = folder / "jpg" / f"image_{row + 1:05d}.jpg"
        classes.setdefault(f"{label:03d}", []).append(path)
    return _cut(classes, "vgg-flower", folder, image_size, cache_dir)


def fungi(
    data_dir: str | Path | None = None,
    *,
    image_size: int = 84,
    split_sizes: tuple[int, int, int] = FUNGI_SIZES,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Splits:
    """FGVCx Fungi: 1394 kinds of fungi, drawn into splits of Meta-Dataset's sizes.

    The draw is our own: which classes Meta-Dataset has in each split is not listed here.

    Args:
      data_dir: folder with `images`, `train.json` and `val.json` of the competition. None is
        `fungi` in the data folder.
      split_sizes, seed: of the draw; see `image_folder`.
      image_size, cache_dir: see `cub`.

    Returns `Splits` with images `[T, image_size, image_size, 3]` uint8, and names such as
    `0003.Agaricus_arvensis`, of number and kind.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: there are too few classes, or a file is damaged.
    """
    folder = _folder("fungi", data_dir, "images").parent
    classes: dict[str, list[Path]] = {}
    for part in ("train", "val"):
        table = _needed(folder / f"{part}.json")
        try:
            told = json.loads(_text(table))
            names = {
                kind["id"]: f"{kind['id']:04d}.{kind['name'].replace(' ', '_')}"
                for kind in told["categories"]
            }
            files = {image["id"]: folder / image["file_name"] for image in told["images"]}
            for note in told["annotations"]:
                path = files[note["image_id"]]
                classes.setdefault(names[note["category_id"]], []).append(path)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{table} must hold categories, images and annotations ({error!r})."
            ) from error
    lists = draw_classes(list(classes), split_sizes, seed)
    return _read(classes, lists, image_size, cache_dir)


def _cut(classes, name, folder, image_size, cache_dir):
    lists = class_lists(name)
    listed(classes, lists, f"{name} in {folder}")
    return _read(classes, lists, image_size, cache_dir)


def _read(classes, lists, image_size, cache_dir):
    chosen = {name: classes[name] for names in lists for name in names}
    for paths in chosen.values():
        for path in paths:
            _needed(path)
    arrays = decoded(file_sources(chosen), image_size=image_size, grey=False, cache_dir=cache_dir)
    return split_classes(arrays, lists)


def _folder(name, data_dir, *below):
    """The first of the folders `below` the data's that is there."""
    folder = data_home() / name if data_dir is None else Path(data_dir)
    for path in below:
        if (folder / path).is_dir():
            return folder / path
    state = "lacks it" if folder.is_dir() else "does not exist"
    raise FileNotFoundError(
        f"{name} needs its archive unpacked, with the folder {below[0]}, in {folder}, which "
        f"{state}."
    )


def _needed(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    return path


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text ({error}).") from error
