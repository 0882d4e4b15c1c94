"""Where the images of a recipe come from."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """A data set, its split and its classes."""

    dataset: Literal["glyphs", "omniglot", "cifar_fs"] = "glyphs"
    """where the images come from"""
    data_dir: str | None = None
    """folder with the data set's files; None: see `jaxmeta.datasets`"""
    split: Literal["vinyals", "random"] = "vinyals"
    """Omniglot's 1028/172/423 characters, or 1100/100/423 at random"""
    rotations: bool = True
    """images turned by right angles are further classes, in training and at test"""
