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
    n_way: int,
    k_shot: int,
    q_queries: int,
    unlabelled: int = 0,
    rotations: bool = False,
) -> Callable[[jax.Array], Episode]:
    """N-way K-shot episodes: classes without replacement, support and query disjoint.

    A class gets a random label slot in each episode. Rows stand class by class.

    Args:
      class_data: images with their classes.
      n_way: classes per episode.
      k_shot: support rows per class.
      q_queries: query rows per class.
      unlabelled: further support rows per class whose labels are all zero; they stand behind the
        others, in random order. Labelled rows and queries are those of the same key without them.
      rotations: images turned by 0, 90, 180 and 270 degrees are four classes; an episode turns all
        images of a class alike (Santoro et al. 2016).

    Returns `sample(key) -> Episode`, pure and jittable: `x` float32 (`[0, 1]` for uint8 images),
    `y` one-hot float32 `[M, n_way]`.

    Raises:
      ValueError: a count is below 1, `unlabelled` is below 0, there are too few classes, a class
        has fewer than `k_shot + q_queries + unlabelled` images, or `rotations` meets images that
        are not square.
    """
    for name, count in (("n_way", n_way), ("k_shot", k_shot), ("q_queries", q_queries)):
        if count < 1:
            raise ValueError(f"{name} must be >= 1, got {count}.")
    if unlabelled < 0:
        raise ValueError(f"unlabelled must be >= 0, got {unlabelled}.")
    turns = 4 if rotations else 1
    n_classes = class_data.n_classes
    if n_way > turns * n_classes:
        raise ValueError(f"n_way must be at most the {turns * n_classes} classes, got {n_way}.")
    shots, counted = k_shot + q_queries + unlabelled, "k_shot + q_queries"
    if unlabelled:
        counted += " + unlabelled"
    smallest = int(np.argmin(class_data.counts))
    if class_data.counts[smallest] < shots:
        raise ValueError(
            f"every class must have {counted} = {shots} images or more, but "
            f"{class_data.class_names[smallest]!r} has {class_data.counts[smallest]}."
        )
    shape = class_data.images.shape[1:]
    if rotations and (len(shape) != 3 or shape[0] != shape[1]):
        raise ValueError(f"rotations need square images [T, H, H, C], got images of shape {shape}.")

    images = jnp.asarray(class_data.images)
    counts = jnp.asarray(class_data.counts)
    starts = jnp.asarray(np.cumsum(class_data.counts) - class_data.counts)
    largest = int(np.max(class_data.counts))
    labels = jnp.eye(n_way)

    def sample(key):
        key_classes, key_rows = jax.random.split(key)
        # The places of the largest of uniform numbers: a draw without replacement that needs no
        # full sort, in random order.
        scores = jax.random.uniform(key_classes, (turns * n_classes,))
        drawn = jax.lax.top_k(scores, n_way)[1]
        chosen, turn = drawn % n_classes, drawn // n_classes
        scores = jax.random.uniform(key_rows, (n_way, largest))
        scores = jnp.where(jnp.arange(largest) < counts[chosen, None], scores, -1.0)
        rows = starts[chosen, None] + jax.lax.top_k(scores, shots)[1]  # [N, shots]
        x = _as_float(images[rows])
        if rotations:
            x = jax.vmap(_turn)(x, turn)
        support = _examples(x[:, :k_shot], labels)
        query = _examples(x[:, k_shot : k_shot + q_queries], labels)
        if unlabelled:
            rest = _examples(x[:, k_shot + q_queries :], 0 * labels)
            order = jax.random.permutation(jax.random.fold_in(key, 2), n_way * unlabelled)
            support = Examples(
                jnp.concatenate([support.x, rest.x[order]]), jnp.concatenate([support.y, rest.y])
            )
        return Episode(support, query)

    return sample


def _as_float(images):
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255
    return images


def _turn(images, quarters):
    """Images `[M, H, H, C]` turned by `quarters` right angles."""
    turned = [jnp.rot90(images, k, (1, 2)) for k in range(4)]
    return jax.lax.select_n(quarters, *turned)


def _examples(x, labels):
    n_way, shots = x.shape[:2]
    return Examples(x.reshape(n_way * shots, *x.shape[2:]), jnp.repeat(labels, shots, axis=0))
