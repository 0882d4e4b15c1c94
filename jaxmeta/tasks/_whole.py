"""Batches of all classes of a data set, for classifiers that are trained before they adapt."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets import ClassData
from jaxmeta.learner import Episode, Examples
from jaxmeta.tasks._augment import Augment, check_augment
from jaxmeta.tasks._pool import inputs


def whole_batches(
    class_data: ClassData, *, batch_size: int, augment: Augment | None = None
) -> Callable[[jax.Array], Episode]:
    """Rows of all classes with the label of their class, each drawn as often as any other.

    Args:
      class_data: rows of C classes.
      batch_size: rows of a batch, B.
      augment: `(key, picture) -> picture`, of every row; see `augment`.

    Returns `sample(key) -> Episode`, pure and jittable: the query set is the batch, `x` `[B, *X]`
    and `y` `[B, C]`, and the support set has no rows. It is for
    `learners.metric.whole_classification`.

    Raises:
      ValueError: `batch_size` is below 1, or `augment` changes shape or dtype.

    Example:
      >>> data = ClassData(np.zeros((6, 8, 8, 1), np.uint8), np.array([4, 2]), ("ant", "bee"))
      >>> batch = whole_batches(data, batch_size=3)(jax.random.key(0)).query
      >>> batch.x.shape, batch.y.shape
      ((3, 8, 8, 1), (3, 2))
    """
    at_least(1, batch_size=batch_size)
    images = jnp.asarray(class_data.images)
    if augment is not None:
        check_augment(augment, images.shape[1:], inputs(images[:1], class_data.gives_images).dtype)
    classes = jnp.asarray(np.repeat(np.arange(class_data.n_classes), class_data.counts))

    def sample(key):
        key_rows, key_augment = jax.random.split(key)
        rows = jax.random.randint(key_rows, (batch_size,), 0, len(images))
        x = inputs(images[rows], class_data.gives_images)
        if augment is not None:
            x = jax.vmap(augment)(jax.random.split(key_augment, batch_size), x)
        y = jax.nn.one_hot(classes[rows], class_data.n_classes)
        return Episode(Examples(x[:0], y[:0]), Examples(x, y))

    return sample
