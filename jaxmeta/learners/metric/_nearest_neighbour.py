"""Nearest neighbour on the inputs themselves: the floor that a learner has to clear."""

import jax
import jax.numpy as jnp

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.metric._distances import squared_euclidean
from jaxmeta.losses import query_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import class_support


def nearest_neighbour() -> Learner:
    """Classifies by the class of the nearest support row, in squared Euclidean distance of inputs.

    Nothing is learned: the parameters are `{}` and the adapted value is the
    `jaxmeta.support.Support`.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta.learners.metric import nearest_neighbour
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> _, logits = nearest_neighbour().loss({}, jax.random.key(0), episode)
      >>> logits.argmax(axis=1).tolist()
      [1]
    """

    def init(key: Key, episode: Episode) -> Params:
        del key, episode
        return {}

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del params, key
        return class_support(support)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        del params
        near = squared_euclidean(_flat(x), _flat(adapted.x))
        return -jnp.min(
            jnp.where(adapted.y > 0, near[..., None], jnp.finfo(near.dtype).max), axis=1
        )

    loss = query_loss(adapt, predict, lambda logits, y: -jnp.sum(jax.nn.log_softmax(logits) * y, 1))
    return ignoring_padding(Learner(init, adapt, predict, loss))


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1)
