"""Lists of class names by split, as published with a data set."""

from pathlib import Path

FOLDER = Path(__file__).parent / "splits"


def class_lists(name: str) -> tuple[list[str], list[str], list[str]]:
    """Class names of `meta_train`, `meta_val` and `meta_test`, as the literature cuts a data set.

    Args:
      name: `"aircraft"`, `"cifar-fs"`, `"cub"`, `"fc100"`, `"mini-imagenet"`,
        `"omniglot-vinyals"`, `"quickdraw"`, `"tiered-imagenet"` or `"vgg-flower"`.

    Raises:
      ValueError: there is no such list; names those that are there.

    Example:
      >>> [len(names) for names in class_lists("mini-imagenet")]
      [64, 16, 20]
    """
    there = sorted(path.stem for path in FOLDER.glob("*.txt"))
    if name not in there:
        raise ValueError(f"name must be one of {', '.join(there)}, got {name!r}.")
    names: dict[str, list[str]] = {"meta_train": [], "meta_val": [], "meta_test": []}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if not line.startswith("#"):
            split, class_name = line.split(maxsplit=1)
            names[split].append(class_name)
    return names["meta_train"], names["meta_val"], names["meta_test"]
