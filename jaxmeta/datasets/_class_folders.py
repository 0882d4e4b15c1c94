"""Folders of pictures, one for each class: what counts, what is skipped, what is refused."""

from pathlib import Path, PurePath

from PIL import Image

# What lies beside pictures and is none: skipped. Any other ending is refused, not left out.
BESIDE = (
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".xml",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".log",
    ".mat",
    ".db",
    ".ini",
)
SPLITS = {
    "meta_train": ("train", "meta_train"),
    "meta_val": ("val", "valid", "validation", "meta_val"),
    "meta_test": ("test", "meta_test"),
}


def is_hidden(path: PurePath) -> bool:
    """Whether the path has a part that begins with a dot or with `__MACOSX`."""
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Paths of the pictures of each class, both in the order of their names.

    A class is a folder that holds pictures itself; its name is its path below `folder`, such as
    `cat` or `Greek/character01`. Files and folders whose names begin with a dot or with
    `__MACOSX` are hidden and skipped, and so are texts and tables beside the pictures, and all
    files but pictures beside folders.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: there is no class, a class without a picture, pictures beside folders, a file of
        an unknown ending beside pictures, or a link that leads back or nowhere; names it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    classes: dict[str, list[Path]] = {}
    _collect(folder, folder, classes, ())
    if not classes:
        raise ValueError(
            f"{folder} must hold a folder of pictures for each class, such as {folder}/cat/1.jpg, "
            "but has none."
        )
    return classes


def split_folders(folder: Path) -> dict[str, Path]:
    """Folders of the splits below `folder`, as far as there are any, by `meta_train`, ...

    Raises:
      ValueError: one split has two folders.
    """
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        there = [folder / name for name in names if (folder / name).is_dir()]
        if len(there) > 1:
            raise ValueError(f"{there[0]} and {there[1]} are both {split}: keep one.")
        if there:
            found[split] = there[0]
    return found


def subfolders(folder: Path) -> list[Path]:
    """Folders in `folder` that are not hidden, in the order of their names."""
    return [path for path in _visible(folder) if path.is_dir()]


def pictures_in(folder: Path) -> list[Path]:
    """Paths of the pictures that lie in `folder` itself, in the order of their names.

    Raises:
      ValueError: a file is none, or has an unknown ending; names it.
    """
    return [path for path in _files(folder) if _is_picture(path)]


def _collect(folder, root, classes, above):
    if folder.resolve() in above:
        raise ValueError(f"{folder} is a link to a folder above it.")
    folders = subfolders(folder)
    if folders or folder == root:
        # Archives, licences and the like lie here too: pictures alone would be a mistake.
        pictures = [path for path in _files(folder) if _ends_as_picture(path)]
    else:
        pictures = pictures_in(folder)
    if pictures and folder == root:
        raise ValueError(f"{pictures[0]} lies in no class: put each class in a folder of its own.")
    if pictures and folders:
        raise ValueError(
            f"{folder} must hold either pictures or folders of classes, but has both, such as "
            f"{pictures[0].name} and {folders[0].name}."
        )
    if folder != root and not folders:
        if not pictures:
            raise ValueError(f"every class must have an image, but {folder} has none.")
        classes[folder.relative_to(root).as_posix()] = pictures
    for path in folders:
        _collect(path, root, classes, (*above, folder.resolve()))


def _visible(folder):
    return sorted(path for path in folder.iterdir() if not is_hidden(Path(path.name)))


def _files(folder):
    return [path for path in _visible(folder) if not path.is_dir()]


def _ends_as_picture(path):
    return path.suffix.lower() in Image.registered_extensions()


def _is_picture(path):
    if path.suffix.lower() in BESIDE:
        return False
    if not _ends_as_picture(path):
        raise ValueError(
            f"{path} has an ending of no picture that can be read: convert it, or move it away."
        )
    if not path.is_file():  # Such as a pipe, which would be waited for.
        raise ValueError(f"{path} is not a file.")
    return True
