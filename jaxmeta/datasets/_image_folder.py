"""A folder of pictures as a data set: splits that are given, or drawn by class."""

from collections.abc import Mapping
from pathlib import Path

from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._class_folders import class_folders, split_folders, subfolders
from jaxmeta.datasets._decoded import decoded, file_sources
from jaxmeta.datasets._draw_classes import draw_classes


def image_folder(
    path: str | Path,
    *,
    image_size: int = 84,
    grey: bool = False,
    split_sizes: tuple[int, int, int] | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Splits:
    """A folder of pictures with one folder per class, cut into splits of disjoint classes.

    Where the folder holds `train`, `val` and `test`, each with a folder per class, these are the
    splits. Otherwise classes are drawn. Every kind of picture that Pillow reads is taken as it
    looks (see `image_files`, which is for data larger than memory, and `draw_classes`).

    Args:
      path: `path/class/image.jpg`, or `path/train/class/image.jpg` and so on.
      image_size: height and width in pixels, to which each whole picture is resized.
      grey: one channel in place of three.
      split_sizes: classes of meta_train, meta_val and meta_test; None is a fifth for each of
        meta_val and meta_test, one at least, and the others for meta_train. Classes that are not
        drawn are left out.
      seed: of the draw.
      cache_dir: folder of the decoded arrays; None is `$JAXMETA_DATA`, or `jaxmeta` in the user's
        cache folder. The contents of all files are the key: what changes is decoded anew.

    Returns `Splits` with images `[T, image_size, image_size, C]` uint8, C being 3 or 1.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: there are too few classes, a class without pictures or in two splits, one of the
        three folders is missing, or a file is no readable picture; names it.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> for name in ("ant", "bee", "cow"):
      ...     (folder / name).mkdir()
      ...     Image.new("RGB", (40, 30)).save(folder / name / "1.png")
      >>> splits = image_folder(folder, image_size=16, cache_dir=tempfile.mkdtemp())
      >>> splits.meta_train.images.shape[1:], sum(split.n_classes for split in splits)
      ((16, 16, 3), 3)
    """
    path = Path(path)
    splits = split_folders(path) if path.is_dir() else {}
    if not splits:
        classes = class_folders(path)
        lists = draw_classes(list(classes), split_sizes, seed)
    else:
        classes, lists = _given(path, splits, split_sizes)
    chosen = {name: classes[name] for names in lists for name in names}
    arrays = decoded(file_sources(chosen), image_size=image_size, grey=grey, cache_dir=cache_dir)
    return split_classes(arrays, lists)


def _given(path, splits, split_sizes):
    missing = [name for name in ("meta_train", "meta_val", "meta_test") if name not in splits]
    others = [folder for folder in subfolders(path) if folder not in splits.values()]
    if missing or others:
        wrong = f"lacks that of {missing[0]}" if missing else f"has {others[0].name} beside them"
        raise ValueError(
            f"{path} must hold train, val and test and no other folders, or classes alone, but "
            f"{wrong}."
        )
    if split_sizes is not None:
        raise ValueError(f"split_sizes must be None where {path} has train, val and test.")
    classes: dict[str, list[Path]] = {}
    lists = []
    for folder in splits.values():
        found = class_folders(folder)
        if twice := [name for name in found if name in classes]:
            raise ValueError(f"splits must be disjoint, but class {twice[0]!r} stands in two.")
        classes |= found
        lists.append(list(found))
    return classes, tuple(lists)


def listed(
    classes: Mapping[str, object], lists: tuple[list[str], list[str], list[str]], what: str
) -> None:
    """Checks that all classes of published lists are there.

    Raises:
      ValueError: one is not; says which and how many.
    """
    everyone = [name for names in lists for name in names]
    if missing := [name for name in everyone if name not in classes]:
        raise ValueError(
            f"{what} must have {len(everyone)} classes, but {len(missing)} are missing, such as "
            f"{missing[0]!r}."
        )
