"""Class-structured arrays, and splits whose classes are disjoint."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ClassData:
    """Examples of several classes, on the host.

    Rows of uint8 are pictures, which tasks give as float32 in `[0, 1]`, unless `as_image` is False.
    All other rows, such as features or integer ids of tokens, are given as they are.

    Raises:
      TypeError: `images` are neither floating nor integers.
      ValueError: `counts` or `class_names` do not fit, a class is empty, a number is not finite,
        or an integer does not fit into 32 bits.

    Example:
      >>> ids = np.array([[5, 2], [7, 1], [0, 9]])
      >>> ClassData(ids, np.array([2, 1]), ("greeting", "question")).gives_images
      False
    """

    images: np.ndarray  # [T, H, W, C] uint8, or [T, *X] of any number; a class's rows are adjacent
    counts: np.ndarray  # [n_classes] int: images of each class, in order
    class_names: tuple[str, ...]
    as_image: bool = True  # False: rows of uint8 are ids, such as bytes of a text

    def __post_init__(self):
        is_floating = jnp.issubdtype(self.images.dtype, jnp.floating)  # bfloat16 as well
        if not is_floating and self.images.dtype.kind not in "iu":
            raise TypeError(f"images must be integers or floating, got {self.images.dtype}.")
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
        if is_floating:
            self._check_finite()
        elif self.images.dtype.itemsize == 8:
            self._check_ids()

    def _check_ids(self):
        # JAX holds 32 bits unless it is told otherwise, and would cut the others off in silence.
        least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
        wrong = ((self.images < least) | (self.images > most)).reshape(len(self.images), -1)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = self.images.reshape(len(self.images), -1)[row, column]
            raise ValueError(
                f"integers must be in {least}..{most}, but {self._row_name(row)} has {value}."
            )

    def _row_name(self, row):
        position = int(np.searchsorted(np.cumsum(self.counts), row, side="right"))
        start = int(np.sum(self.counts[:position]))
        return f"image {row - start} of class {self.class_names[position]!r}"

    def _check_finite(self):
        kept = jax.dtypes.canonicalize_dtype(self.images.dtype)  # What JAX makes of them.
        with np.errstate(over="ignore"):
            images = self.images.astype(kept, copy=False)
        finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(
                f"images must be finite in {kept}, but {self._row_name(row)} has NaN, infinity or "
                "a number beyond it."
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def gives_images(self) -> bool:
        """Whether rows are pictures of uint8, which tasks scale to `[0, 1]`."""
        return self.as_image and self.images.dtype == np.uint8

    @classmethod
    def from_classes(
        cls, classes: Mapping[str, np.ndarray], *, as_image: bool = True
    ) -> "ClassData":
        """Builds the arrays from `{class name: images [k, *X]}`.

        Raises:
          ValueError: there is no class, or two classes have images of different shapes or dtypes.
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
        arrays = {name: np.asarray(images) for name, images in classes.items()}
        for name in others:
            if arrays[name].dtype != arrays[first].dtype:  # They may differ in their range, too.
                raise ValueError(
                    f"all images must have one dtype, but those of {first!r} are "
                    f"{arrays[first].dtype} and those of {name!r} {arrays[name].dtype}."
                )
        counts = np.array([len(images) for images in arrays.values()])
        return cls(np.concatenate(list(arrays.values())), counts, tuple(arrays), as_image)


class Splits(NamedTuple):
    """A data set cut by classes: those of one split never occur in another."""

    meta_train: ClassData
    meta_val: ClassData
    meta_test: ClassData


def split_classes(
    classes: Mapping[str, np.ndarray],
    names: tuple[Sequence[str], Sequence[str], Sequence[str]],
    *,
    as_image: bool = True,
) -> Splits:
    """Cuts classes into the three splits whose class names are given, in order.

    Raises:
      ValueError: a class stands in two splits, or is not there.

    Example:
      >>> classes = {name: np.zeros((2, 4)) for name in ("ant", "bee", "cow")}
      >>> splits = split_classes(classes, (["ant"], ["bee"], ["cow"]))
      >>> splits.meta_test.class_names
      ('cow',)
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
        *(
            ClassData.from_classes({name: classes[name] for name in split}, as_image=as_image)
            for split in names
        )
    )
