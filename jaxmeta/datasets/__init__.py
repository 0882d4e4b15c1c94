"""Data sets: class-structured arrays with class-disjoint splits."""

from jaxmeta.datasets._cache import data_home
from jaxmeta.datasets._cifar import cifar_fs, fc100
from jaxmeta.datasets._class_data import ClassData, Splits, split_classes
from jaxmeta.datasets._glyphs import glyphs
from jaxmeta.datasets._omniglot import omniglot
from jaxmeta.datasets._rows import Rows, array_records, image_files, write_array_records
from jaxmeta.datasets._tfds_rows import tfds_images

__all__ = [
    "ClassData",
    "Rows",
    "Splits",
    "array_records",
    "cifar_fs",
    "data_home",
    "fc100",
    "glyphs",
    "image_files",
    "omniglot",
    "split_classes",
    "tfds_images",
    "write_array_records",
]
