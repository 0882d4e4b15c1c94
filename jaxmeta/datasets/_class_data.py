"""Class-structured arrays, and splits whose classes are disjoint."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ClassData:
    """Examples of several classes, on the host.

    Raises:
      TypeError: `images` is neither uint8 nor floating.
      ValueError: `counts` or `class_names` do not fit, a class is empty, or an image is not finite.
    """

    images: np.ndarray  # [T, H, W, C] uint8, or [T, *X] float; rows of a class are adjacent
    counts: np.ndarray  # [n_classes] int: images of each class, in order
    class_names: tuple[str, ...]

    def __post_init__(self):
        if self.images.dtype != np.uint8 and not np.issubdtype(self.images.dtype, np.floating):
            raise TypeError(f"images must be uint8 or floating, got {self.images.dtype}.")
        if len(self.counts) != len(self.class_names):
            raise ValueError(
                f"counts and class_names must have one length, got {len(self.counts)} "
                f"and {len(self.class_names)}."
            )
        if len(set(self.class_names)) < len(self.class_names):
            twice = next(name for name in self.class_names if self.class_names.count(name) > 1)
            raise ValueError(f"class_names must differ, but {twice!r} stands twice.")
        for name, count in zip(self.class_names, self.counts, strict=True):
            if count < 1:
                raise ValueError(f"every class must have an image, but {name!r} has {count}.")
        if np.sum(self.counts) != len(self.images):
            raise ValueError(
                f"counts must add up to the {len(self.images)} images, got {np.sum(self.counts)}."
            )
        if self.images.dtype != np.uint8:
            self._check_finite()

    def _check_finite(self):
        finite = np.isfinite(self.images).reshape(len(self.images), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            position = int(np.searchsorted(np.cumsum(self.counts), row, side="right"))
            start = int(np.sum(self.counts[:position]))
            raise ValueError(
                "images must be finite, but image "
                f"{row - start} of class {self.class_names[position]!r} has NaN or infinity."
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @classmethod
    def from_classes(cls, classes: Mapping[str, np.ndarray]) -> "ClassData":
        """Builds the arrays from `{class name: images [k, *X]}`.

        Raises:
          ValueError: there is no class, or two classes have images of different shapes.
        """
        if not classes:
            raise ValueError("there must be at least one class, got none.")
        first, *others = classes
        shape = np.shape(classes[first])[1:]
        for name in others:
            if np.shape(classes[name])[1:] != shape:
                raise ValueError(
                    f"all images must have one shape, but those of {first!r} are {shape} and those "
                    f"of {name!r} {np.shape(classes[name])[1:]}."
                )
        counts = np.array([len(images) for images in classes.values()])
        return cls(np.concatenate(list(classes.values())), counts, tuple(classes))


class Splits(NamedTuple):
    """A data set cut by classes: those of one split never occur in another."""

    meta_train: ClassData
    meta_val: ClassData
    meta_test: ClassData


def split_classes(
    classes: Mapping[str, np.ndarray], names: tuple[list[str], list[str], list[str]]
) -> Splits:
    """Cuts classes into the three splits whose class names are given, in order.

    Raises:
      ValueError: a class stands in two splits, or is not there.
    """
    everyone = [name for split in names for name in split]
    if len(set(everyone)) < len(everyone):
        twice = next(name for name in everyone if everyone.count(name) > 1)
        raise ValueError(f"splits must be disjoint, but class {twice!r} stands in two.")
    missing = [name for name in everyone if name not in classes]
    if missing:
        raise ValueError(
            f"{len(missing)} classes of the split are not in the data, such as {missing[0]!r}."
        )
    return Splits(
        *(ClassData.from_classes({name: classes[name] for name in split}) for split in names)
    )
