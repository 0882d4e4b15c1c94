"""Few-shot classification episodes drawn from arrays of images, on the device."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.datasets import ClassData
from jaxmeta.learner import Episode, Examples


def episodes(
    class_data: ClassData,
    *,
    n_way: int | tuple[int, int],
    k_shot: int | tuple[int, int],
    q_queries: int,
    unlabelled: int = 0,
    rotations: bool = False,
) -> Callable[[jax.Array], Episode]:
    """N-way K-shot episodes: classes without replacement, support and query disjoint.

    A class gets a random label slot in each episode. Rows stand class by class.

    Args:
      class_data: images with their classes, or features or ids of tokens.
      n_way: classes per episode; or the smallest and largest number of them, each as likely. All
        episodes have the shapes of the largest: rows too many hold zeros, and `is_valid` says so.
      k_shot: support rows per class; or the smallest and largest number, one for all classes.
      q_queries: query rows per class.
      unlabelled: further support rows per class, whose labels are zero; they stand behind the
        others, in random order. Labelled rows and queries are those of the same key without them.
      rotations: images turned by 0, 90, 180 and 270 degrees are four classes; an episode turns all
        images of a class alike (Santoro et al. 2016).

    Returns `sample(key) -> Episode`, pure and jittable: `x` is float32 in `[0, 1]` for images of
    uint8 and of `class_data`'s own dtype otherwise (see `datasets.ClassData`); `y` is one-hot
    float32 `[M, n_way]`; `is_valid` is None where both numbers are fixed.

    Raises:
      ValueError: a count is below 1, a range runs backwards, there are too few classes, a class has
        fewer than `k_shot + q_queries + unlabelled` images, or `rotations` meets images that are
        not square.
    """
    least_way, most_way = _range("n_way", n_way)
    least_shot, most_shot = _range("k_shot", k_shot)
    _range("q_queries", q_queries)
    if unlabelled < 0:
        raise ValueError(f"unlabelled must be >= 0, got {unlabelled}.")
    turns = 4 if rotations else 1
    n_classes = class_data.n_classes
    if most_way > turns * n_classes:
        raise ValueError(f"n_way must be at most the {turns * n_classes} classes, got {most_way}.")
    total = most_shot + q_queries + unlabelled
    smallest = int(np.argmin(class_data.counts))
    if class_data.counts[smallest] < total:
        names = "k_shot + q_queries" + (" + unlabelled" if unlabelled else "")
        raise ValueError(
            f"every class must have {names} = {total} images or more, but "
            f"{class_data.class_names[smallest]!r} has {class_data.counts[smallest]}."
        )
    shape = class_data.images.shape[1:]
    if rotations and (len(shape) != 3 or shape[0] != shape[1]):
        raise ValueError(f"rotations need square images [T, H, H, C], got images of shape {shape}.")

    images = jnp.asarray(class_data.images)
    counts = jnp.asarray(class_data.counts)
    starts = jnp.asarray(np.cumsum(class_data.counts) - class_data.counts)
    largest = int(np.max(class_data.counts))
    labels = jnp.eye(most_way)
    varies = (least_way, least_shot) != (most_way, most_shot)

    def sample(key):
        key_classes, key_rows, key_size, key_extra = jax.random.split(key, 4)
        # The places of the largest of uniform numbers: a draw without replacement that needs no
        # full sort, in random order.
        scores = jax.random.uniform(key_classes, (turns * n_classes,))
        drawn = jax.lax.top_k(scores, most_way)[1]
        chosen, turn = drawn % n_classes, drawn // n_classes
        scores = jax.random.uniform(key_rows, (most_way, largest))
        scores = jnp.where(jnp.arange(largest) < counts[chosen, None], scores, -1.0)
        rows = starts[chosen, None] + jax.lax.top_k(scores, total)[1]  # [N, total]
        x = _inputs(images[rows], class_data.gives_images)
        if rotations:
            x = jax.vmap(_turn)(x, turn)
        support_x, query_x, unlabelled_x = jnp.split(x, (most_shot, most_shot + q_queries), axis=1)
        support, query = _examples(support_x, labels), _examples(query_x, labels)
        extra = _examples(unlabelled_x, jnp.zeros_like(labels))
        if varies:
            key_way, key_shot = jax.random.split(key_size)
            way = jax.random.randint(key_way, (), least_way, most_way + 1)
            shot = jax.random.randint(key_shot, (), least_shot, most_shot + 1)
            is_drawn = jnp.arange(most_way)[:, None] < way  # [N, 1]
            support = _padded(support, is_drawn & (jnp.arange(most_shot) < shot))
            query = _padded(query, is_drawn & jnp.ones(q_queries, bool))
            extra = _padded(extra, is_drawn & jnp.ones(unlabelled, bool))
        if unlabelled:
            order = jax.random.permutation(key_extra, most_way * unlabelled)
            support = jax.tree.map(lambda a, b: jnp.concatenate([a, b[order]]), support, extra)
        return Episode(support, query)

    return sample


def _range(name, count):
    """Smallest and largest of a count given as one number or as both."""
    least, most = count if isinstance(count, tuple) else (count, count)
    if least < 1:
        raise ValueError(f"{name} must be >= 1, got {least}.")
    if least > most:
        raise ValueError(f"{name} must go from the smaller to the larger, got {count}.")
    return least, most


def _inputs(rows, are_images):
    """Pictures in `[0, 1]`; other rows as they are."""
    return rows.astype(jnp.float32) / 255 if are_images else rows


def _turn(images, quarters):
    """Images `[M, H, H, C]` turned by `quarters` right angles."""
    turned = [jnp.rot90(images, k, (1, 2)) for k in range(4)]
    return jax.lax.select_n(quarters, *turned)


def _examples(x, labels):
    n_way, shots = x.shape[:2]
    return Examples(x.reshape(n_way * shots, *x.shape[2:]), jnp.repeat(labels, shots, axis=0))


def _padded(examples, is_valid):
    """Zeros where not `is_valid` `[N, shots]`."""
    is_valid = is_valid.ravel()

    def keep(leaf):
        return jnp.where(is_valid.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0)

    return Examples(keep(examples.x), keep(examples.y), is_valid)
