"""Data sets: class-structured arrays with class-disjoint splits."""

from jaxmeta.datasets._class_data import ClassData

__all__ = ["ClassData"]
