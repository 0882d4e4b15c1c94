"""Data sets: class-structured arrays with class-disjoint splits."""

from jaxmeta.datasets._class_data import ClassData, Splits, split_classes
from jaxmeta.datasets._glyphs import glyphs
from jaxmeta.datasets._omniglot import omniglot

__all__ = ["ClassData", "Splits", "glyphs", "omniglot", "split_classes"]
