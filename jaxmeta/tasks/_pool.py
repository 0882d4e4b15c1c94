"""Classes of one or more data sets on the device, and draws of classes and rows from them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.datasets import ClassData


class Pool(NamedTuple):
    """All classes, those of one source adjacent; C is their number and G that of the sources."""

    images: jax.Array  # [T, *X]
    are_images: bool  # of uint8, which become floats in [0, 1]
    starts: jax.Array  # [C] first row of each class
    counts: jax.Array  # [C] rows of each class
    largest: int  # rows of the largest class
    turns: int  # 4 if each class counts once for each right angle, else 1
    is_of: jax.Array  # [G, C] bool: whether a class is of a source
    log_weights: jax.Array  # [G] of the sources


def pool(
    sources: Mapping[str, ClassData],
    weights: Mapping[str, float] | Sequence[float] | None,
    rotations: bool,
) -> Pool:
    """Puts the sources on the device.

    Raises:
      ValueError: images of the sources differ in shape or dtype, weights do not fit, or rotations
        meet images that are not square.
    """
    (first, data), *others = sources.items()
    for name, other in others:
        for what, ours, theirs in (
            ("shape", data.images.shape[1:], other.images.shape[1:]),
            ("dtype", data.images.dtype, other.images.dtype),
            ("as_image", data.as_image, other.as_image),
        ):
            if ours != theirs:
                raise ValueError(
                    f"all sources must have images of one {what}, but those of {first!r} have "
                    f"{ours} and those of {name!r} {theirs}."
                )
    shape = data.images.shape[1:]
    if rotations and (len(shape) != 3 or shape[0] != shape[1]):
        raise ValueError(f"rotations need square images [T, H, H, C], got images of shape {shape}.")
    counts = np.concatenate([source.counts for source in sources.values()])
    n_classes = [source.n_classes for source in sources.values()]
    return Pool(
        jnp.asarray(np.concatenate([source.images for source in sources.values()])),
        data.gives_images,
        jnp.asarray(np.cumsum(counts) - counts),
        jnp.asarray(counts),
        int(counts.max()),
        4 if rotations else 1,
        jnp.asarray(np.repeat(np.eye(len(n_classes), dtype=bool), n_classes, axis=1)),
        jnp.log(jnp.asarray(_weights(sources, weights))),
    )


def _weights(sources, weights):
    """`[G]` float, of sum 1."""
    if isinstance(weights, Mapping):
        if set(weights) != set(sources):
            raise ValueError(
                f"weights must name each source once, got {sorted(weights)} for {sorted(sources)}."
            )
        weights = [weights[name] for name in sources]
    values = np.ones(len(sources)) if weights is None else np.asarray(weights, np.float64)
    if values.shape != (len(sources),) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"weights must be a finite number > 0 for each of {len(sources)} sources, got "
            f"{weights}."
        )
    return values / values.sum()


def draw_classes(
    pool: Pool, key: jax.Array, key_source: jax.Array | None, n_way: int
) -> tuple[jax.Array, jax.Array]:
    """Classes of one source without replacement, in random order, and their right angles.

    `key_source` draws the source; None where there is one.
    """
    n_classes = len(pool.counts)
    # The places of the largest of uniform numbers: a draw without replacement that needs no full
    # sort, in random order.
    scores = jax.random.uniform(key, (pool.turns * n_classes,))
    if key_source is not None:
        is_of = pool.is_of[jax.random.categorical(key_source, pool.log_weights)]
        scores = jnp.where(jnp.tile(is_of, pool.turns), scores, -1.0)
    drawn = jax.lax.top_k(scores, n_way)[1]
    return drawn % n_classes, drawn // n_classes


def draw_rows(pool: Pool, key: jax.Array, chosen: jax.Array, number: int) -> jax.Array:
    """Rows of each chosen class without replacement, in random order, `[N, number]`.

    A class of fewer rows gives all of them first; what stands behind is of other classes.
    """
    scores = jax.random.uniform(key, (len(chosen), pool.largest))
    scores = jnp.where(jnp.arange(pool.largest)[None] < pool.counts[chosen, None], scores, -1.0)
    return pool.starts[chosen, None] + jax.lax.top_k(scores, number)[1]


def inputs(rows: jax.Array, are_images: bool) -> jax.Array:
    """Pictures in `[0, 1]`; other rows as they are."""
    return rows.astype(jnp.float32) / 255 if are_images else rows


def turn(image: jax.Array, quarters: jax.Array) -> jax.Array:
    """An image `[H, H, C]` turned by `quarters` right angles."""
    return jax.lax.select_n(quarters, *[jnp.rot90(image, k) for k in range(4)])
