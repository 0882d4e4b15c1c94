"""Few-shot cuts of ImageNet: mini-ImageNet and tiered-ImageNet.

mini-ImageNet: Vinyals et al., "Matching Networks for One Shot Learning", NIPS 2016, in the split of
Ravi & Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017. tiered-ImageNet: Ren
et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018. The images are
ImageNet's, whose terms (https://image-net.org/download.php) allow non-commercial research and no
redistribution: put them where `data_dir` says.
"""

from pathlib import Path

import numpy as np

from jaxmeta.datasets._cache import DAMAGED_ZIP, data_home
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._class_folders import class_folders, pictures_in, split_folders
from jaxmeta.datasets._decoded import decoded, file_sources
from jaxmeta.datasets._image_folder import listed
from jaxmeta.datasets._split_lists import class_lists

PER_CLASS = 600  # images of a class of mini-ImageNet
WNID = 9  # characters of a class's name, such as n01532829
PARTS = ("train", "val", "test")


def mini_imagenet(
    data_dir: str | Path | None = None,
    *,
    image_size: int = 84,
    cache_dir: str | Path | None = None,
) -> Splits:
    """mini-ImageNet: 64/16/20 classes of 600 images in Ravi's split.

    Args:
      data_dir: folder of one of these layouts; None is `mini-imagenet` in `$JAXMETA_DATA`, or in
        `jaxmeta` in the user's cache folder.

        - `images/n0153282900000005.jpg`: all images in one folder, as the archive has them;
        - `n01532829/any.jpg`: a folder per class, also below `train`, `val` and `test`;
        - `train.npz`, `val.npz` and `test.npz` with `images` `[T, H, W, 3]` uint8 and `labels`
          `[T]`, the names of the classes. Pickled caches of `image_data` and `class_dict` become
          such files by
          `np.savez("train.npz", images=cache["image_data"], labels=[wnid for _, wnid in sorted(
          (row, wnid) for wnid, rows in cache["class_dict"].items() for row in rows)])`;
          unpickle only files that you trust.
      image_size: height and width in pixels, to which each whole picture is resized; that of
        arrays must be the same.
      cache_dir: of the decoded arrays; see `image_folder`.

    Returns `Splits` with images `[T, image_size, image_size, 3]` uint8, and wnids as names.

    tensorflow-datasets has no mini-ImageNet; the same classes of whole ImageNet are
    `from_tfds("imagenet2012", classes=class_lists("mini-imagenet"))`, with other images.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: a class is missing, has another number of images, or a file is damaged.
    """
    classes = _classes("mini-imagenet", data_dir, image_size, cache_dir)
    wrong = [name for name, images in classes.items() if len(images) != PER_CLASS]
    if wrong:
        raise ValueError(
            f"mini-ImageNet must have {PER_CLASS} images a class, but {wrong[0]} has "
            f"{len(classes[wrong[0]])}."
        )
    return split_classes(classes, class_lists("mini-imagenet"))


def tiered_imagenet(
    data_dir: str | Path | None = None,
    *,
    image_size: int = 84,
    cache_dir: str | Path | None = None,
) -> Splits:
    """tiered-ImageNet: 351/97/160 classes, cut by superclass.

    Arguments, layouts and result are those of `mini_imagenet`, in the folder `tiered-imagenet`.
    At 84 pixels its 779 165 images are 16 GB. Where memory is smaller, a split is read from a
    folder per class by `image_files(folder, image_size=84, classes=names)`, with `names` from
    `class_lists("tiered-imagenet")`.

    Raises:
      FileNotFoundError: the folder or its files are missing.
      ValueError: a class is missing, or a file is damaged.
    """
    classes = _classes("tiered-imagenet", data_dir, image_size, cache_dir)
    return split_classes(classes, class_lists("tiered-imagenet"))


def _classes(name, data_dir, image_size, cache_dir):
    """Images of the listed classes, by wnid."""
    folder = data_home() / name if data_dir is None else Path(data_dir)
    lists = class_lists(name)
    if all((folder / f"{part}.npz").is_file() for part in PARTS):
        classes = _from_arrays(folder, image_size)
        listed(classes, lists, f"{name} in {folder}")
        return classes
    if not folder.is_dir() or not any(folder.iterdir()):
        state = "is empty" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{name} must be in {folder}, which {state}. Put there a folder per class, `images` "
            "with the files of all classes, or train.npz, val.npz and test.npz; the images are "
            "those of ImageNet, https://image-net.org."
        )
    files = _files(folder)
    listed(files, lists, f"{name} in {folder}")
    chosen = {wnid: files[wnid] for names in lists for wnid in names}
    return decoded(file_sources(chosen), image_size=image_size, grey=False, cache_dir=cache_dir)


def _files(folder: Path) -> dict[str, list[Path]]:
    """Paths of the pictures by wnid, whatever the layout."""
    flat = folder / "images"
    if flat.is_dir() and (pictures := pictures_in(flat)):
        files: dict[str, list[Path]] = {}
        for path in pictures:
            files.setdefault(path.name[:WNID], []).append(path)
        return files
    parts = list(split_folders(folder).values()) or [flat if flat.is_dir() else folder]
    files = {}
    for part in parts:
        for wnid, paths in class_folders(part).items():
            if wnid in files:
                raise ValueError(f"{folder} must hold each class once, but {wnid} stands in two.")
            files[wnid] = paths
    return files


def _from_arrays(folder, image_size):
    classes = {}
    for part in PARTS:
        path = folder / f"{part}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                images, labels = arrays["images"], arrays["labels"]
        except (*DAMAGED_ZIP, ValueError, KeyError, SyntaxError) as error:
            raise ValueError(
                f"{path} must hold images and labels as arrays of numbers and text ({error})."
            ) from error
        shape = (len(labels), image_size, image_size, 3)
        if images.dtype != np.uint8 or images.shape != shape or labels.dtype.kind != "U":
            raise ValueError(
                f"{path} must hold images {shape} uint8 and labels of text, got images "
                f"{images.shape} {images.dtype} and labels of {labels.dtype}."
            )
        for wnid in np.unique(labels):
            if str(wnid) in classes:
                raise ValueError(f"splits must be disjoint, but class {wnid} stands in two.")
            classes[str(wnid)] = images[labels == wnid]
    return classes
