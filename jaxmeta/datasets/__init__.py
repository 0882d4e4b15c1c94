"""Data sets: class-structured arrays with class-disjoint splits."""

from jaxmeta.datasets._cache import data_home
from jaxmeta.datasets._cifar import cifar_fs, fc100
from jaxmeta.datasets._class_data import ClassData, Splits, split_classes
from jaxmeta.datasets._fine_grained import aircraft, cub, fungi, vgg_flower
from jaxmeta.datasets._from_npz import from_npz
from jaxmeta.datasets._from_tfds import from_tfds
from jaxmeta.datasets._glyphs import glyphs
from jaxmeta.datasets._image_folder import draw_classes, image_folder
from jaxmeta.datasets._imagenet import mini_imagenet, tiered_imagenet
from jaxmeta.datasets._omniglot import omniglot
from jaxmeta.datasets._quickdraw import quickdraw
from jaxmeta.datasets._resized import resized
from jaxmeta.datasets._rows import Rows, array_records, image_files, write_array_records
from jaxmeta.datasets._split_lists import class_lists
from jaxmeta.datasets._tfds_rows import tfds_images

__all__ = [
    "ClassData",
    "Rows",
    "Splits",
    "aircraft",
    "array_records",
    "cifar_fs",
    "class_lists",
    "cub",
    "data_home",
    "draw_classes",
    "fc100",
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
