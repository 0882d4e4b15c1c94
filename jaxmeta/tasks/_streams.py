"""Streams: sequences of images whose labels are shown one step late."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets import ClassData
from jaxmeta.learner import Stream
from jaxmeta.losses import N_LETTERS
from jaxmeta.tasks._affine import interpolated
from jaxmeta.tasks._pool import draw_classes, draw_rows, inputs, pool, turn

STRING_LENGTH = 5


def one_hot_labels(key: jax.Array, n_way: int) -> jax.Array:
    """`[n_way, n_way]`: each class has a label slot (classes are drawn in random order).

    Example:
      >>> one_hot_labels(jax.random.key(0), 5).shape
      (5, 5)
    """
    del key
    return jnp.eye(n_way)


def string_labels(key: jax.Array, n_way: int) -> jax.Array:
    """Strings of five letters out of a to e, all different: `[n_way, 25]`, five ones a row.

    Santoro et al. 2016, section 4.1.

    Example:
      >>> labels = string_labels(jax.random.key(0), 3)
      >>> labels.shape, labels.sum(axis=1).tolist()
      ((3, 25), [5.0, 5.0, 5.0])
    """
    strings = jax.random.choice(key, N_LETTERS**STRING_LENGTH, (n_way,), replace=False)
    letters = strings[:, None] // N_LETTERS ** jnp.arange(STRING_LENGTH)[None] % N_LETTERS
    return jax.nn.one_hot(letters, N_LETTERS).reshape(n_way, -1)


def streams(
    class_data: ClassData,
    *,
    n_way: int = 5,
    per_class: int = 10,
    length: int | None = None,
    labels: Callable[[jax.Array, int], jax.Array] = one_hot_labels,
    rotations: bool = False,
    size: int | None = None,
    max_turn: float = 0.0,
    max_shift: float = 0.0,
) -> Callable[[jax.Array], Stream]:
    """Sequences of Santoro et al. 2016: images of a few classes in random order.

    Nothing is known in advance, and every row is predicted before its label is shown. The paper's
    are 5 classes in 50 steps, `streams(data)`, and 15 classes in 100 steps,
    `streams(data, n_way=15, length=100)`.

    Args:
      class_data: images with their classes.
      n_way: classes of a sequence.
      per_class: images of each class, none twice.
      length: steps T; the sequence of all `n_way * per_class` images is cut there. None: all.
      labels: `(key, n_way) -> [n_way, W]`, drawn anew for each sequence: `one_hot_labels` or
        `string_labels`.
      rotations: images turned by 0, 90, 180 and 270 degrees are four classes.
      size: side to which the images are made smaller; the paper's is 20. None: as they are.
      max_turn: each image is turned by up to this angle, in radians, either way.
      max_shift: each image is shifted by up to this share of its side, either way, along each axis.

    Returns `sample(key) -> Stream` with `x` `[T, *X]` and `y` `[T, W]`, pure and jittable; `x` has
    the dtype that `episodes` gives it.

    Raises:
      ValueError: a number is out of range, there are too few classes, a class has fewer than
        `per_class` images, or images that are not square meet `rotations`, `size` or a turn.

    Example:
      >>> import jax, jaxmeta, numpy as np
      >>> pictures = np.zeros((4 * 6, 8, 8, 1), np.uint8)  # 4 classes of 6
      >>> data = jaxmeta.datasets.ClassData(pictures, (6,) * 4, tuple("abcd"))
      >>> sample = jaxmeta.tasks.streams(data, n_way=2, per_class=3)
      >>> sample(jax.random.key(0)).y.shape
      (6, 2)
    """
    length = _check(class_data, n_way, per_class, length, rotations, size, max_turn, max_shift)
    if size is not None:
        class_data = dataclasses.replace(class_data, images=_smaller(class_data.images, size))
    everything = pool({"class_data": class_data}, None, rotations)

    def sample(key):
        key_classes, key_rows, key_order, key_labels, key_bend = jax.random.split(key, 5)
        chosen, quarters = draw_classes(everything, key_classes, None, n_way)
        rows = draw_rows(everything, key_rows, chosen, per_class)  # [N, per_class]
        shown = jax.random.permutation(key_order, n_way * per_class)[:length]
        which = shown // per_class
        x = inputs(everything.images[rows.ravel()[shown]], everything.are_images)
        if rotations:
            x = jax.vmap(turn)(x, quarters[which])
        if max_turn or max_shift:
            x = _bend(key_bend, x, max_turn, max_shift)
        y = labels(key_labels, n_way)[which]
        return Stream(x, y)

    return sample


def _check(class_data, n_way, per_class, length, rotations, size, max_turn, max_shift):
    length = n_way * per_class if length is None else length
    at_least(1, n_way=n_way, per_class=per_class, length=length, size=size)
    if length > n_way * per_class:
        raise ValueError(f"length must be at most the {n_way * per_class} images, got {length}.")
    at_least(0, max_turn=max_turn, max_shift=max_shift)
    n_classes = class_data.n_classes * (4 if rotations else 1)
    if n_way > n_classes:
        raise ValueError(f"n_way must be at most the {n_classes} classes, got {n_way}.")
    smallest = int(np.argmin(class_data.counts))
    if class_data.counts[smallest] < per_class:
        raise ValueError(
            f"every class must have per_class = {per_class} images or more, but "
            f"{class_data.class_names[smallest]!r} has {class_data.counts[smallest]}."
        )
    shape = class_data.images.shape[1:]
    changed = rotations or size is not None or max_turn or max_shift
    if changed and (len(shape) != 3 or shape[0] != shape[1]):
        raise ValueError(
            "rotations, size, max_turn and max_shift need square images [T, H, H, C], got images "
            f"of shape {shape}."
        )
    is_bent = size is not None or max_turn or max_shift
    if is_bent and not (class_data.gives_images or class_data.images.dtype.kind == "f"):
        raise ValueError(
            "size, max_turn and max_shift need images, uint8 or floating, got "
            f"{class_data.images.dtype} that are not images."
        )
    return length


def _smaller(images, size):
    """Images `[T, H, H, C]` as `[T, size, size, C]`, averaged; uint8 stays uint8."""
    shape = (len(images), size, size, images.shape[3])
    small = np.asarray(jax.image.resize(images.astype(np.float32), shape, "linear"))
    return small.round().astype(np.uint8) if images.dtype == np.uint8 else small


def _bend(key, x, max_turn, max_shift):
    """Each image `[H, H, C]` of `x` turned about its middle and shifted, zero outside."""
    key_turn, key_shift = jax.random.split(key)
    side = x.shape[1]
    angles = jax.random.uniform(key_turn, (len(x),), minval=-max_turn, maxval=max_turn)
    shifts = side * jax.random.uniform(
        key_shift, (len(x), 2, 1), minval=-max_shift, maxval=max_shift
    )
    middle = (side - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*[jnp.arange(side) - middle] * 2, indexing="ij")).reshape(2, -1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    matrices = jnp.stack([jnp.stack([cos, -sin], 1), jnp.stack([sin, cos], 1)], 1)  # [T, 2, 2]
    where = jnp.moveaxis(matrices @ grid + shifts + middle, 1, 2)  # [T, H * H, 2]
    return jax.vmap(interpolated)(x, where).reshape(x.shape)
