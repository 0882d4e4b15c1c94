"""Lists of class names by split, as published with a data set."""

from pathlib import Path


def split_list(name: str) -> tuple[list[str], list[str], list[str]]:
    """Class names of `meta_train`, `meta_val` and `meta_test` in `splits/NAME.txt`."""
    path = Path(__file__).parent / "splits" / f"{name}.txt"
    names: dict[str, list[str]] = {"meta_train": [], "meta_val": [], "meta_test": []}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            split, class_name = line.split()
            names[split].append(class_name)
    return names["meta_train"], names["meta_val"], names["meta_test"]
