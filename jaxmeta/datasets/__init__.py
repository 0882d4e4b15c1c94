"""Data sets: class-structured arrays with class-disjoint splits."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxmeta.datasets._cache import data_home
from jaxmeta.datasets._class_data import ClassData, Splits, split_classes
from jaxmeta.datasets._row_source import Rows

if TYPE_CHECKING:
    from jaxmeta.datasets._cifar import cifar_fs, fc100
    from jaxmeta.datasets._draw_classes import draw_classes
    from jaxmeta.datasets._fine_grained import aircraft, cub, fungi, vgg_flower
    from jaxmeta.datasets._from_npz import from_npz
    from jaxmeta.datasets._from_tfds import from_tfds
    from jaxmeta.datasets._glyphs import glyphs
    from jaxmeta.datasets._image_folder import image_folder
    from jaxmeta.datasets._imagenet import mini_imagenet, tiered_imagenet
    from jaxmeta.datasets._omniglot import omniglot
    from jaxmeta.datasets._quickdraw import quickdraw
    from jaxmeta.datasets._resized import resized
    from jaxmeta.datasets._rows import array_records, image_files, write_array_records
    from jaxmeta.datasets._split_lists import class_lists
    from jaxmeta.datasets._table import Table, from_csv
    from jaxmeta.datasets._tfds_rows import tfds_images

__all__ = [
    "ClassData",
    "Rows",
    "Splits",
    "Table",
    "aircraft",
    "array_records",
    "cifar_fs",
    "class_lists",
    "cub",
    "data_home",
    "draw_classes",
    "fc100",
    "from_csv",
    "from_npz",
    "from_tfds",
    "fungi",
    "glyphs",
    "image_files",
    "image_folder",
    "mini_imagenet",
    "omniglot",
    "quickdraw",
    "resized",
    "split_classes",
    "tfds_images",
    "tiered_imagenet",
    "vgg_flower",
    "write_array_records",
]

# Loaders, and the file of each. They are imported when first asked for, and with them Pillow and
# matplotlib's fonts: `import jaxmeta` does not wait for pictures that nobody reads.
_LOADERS = {
    "Table": "_table",
    "aircraft": "_fine_grained",
    "array_records": "_rows",
    "cifar_fs": "_cifar",
    "class_lists": "_split_lists",
    "cub": "_fine_grained",
    "draw_classes": "_draw_classes",
    "fc100": "_cifar",
    "from_csv": "_table",
    "from_npz": "_from_npz",
    "from_tfds": "_from_tfds",
    "fungi": "_fine_grained",
    "glyphs": "_glyphs",
    "image_files": "_rows",
    "image_folder": "_image_folder",
    "mini_imagenet": "_imagenet",
    "omniglot": "_omniglot",
    "quickdraw": "_quickdraw",
    "resized": "_resized",
    "tfds_images": "_tfds_rows",
    "tiered_imagenet": "_imagenet",
    "vgg_flower": "_fine_grained",
    "write_array_records": "_rows",
}


def __getattr__(name: str) -> Any:
    if name in _LOADERS:
        return getattr(importlib.import_module(f"jaxmeta.datasets.{_LOADERS[name]}"), name)
    raise AttributeError(f"module 'jaxmeta.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
