"""Nearest neighbour on the inputs themselves: the floor that a learner has to clear."""

import jax
import jax.numpy as jnp

from jaxmeta.learner import Examples, Learner
from jaxmeta.learners.metric._distances import squared_euclidean
from jaxmeta.losses import is_labelled, query_loss
from jaxmeta.padding import ignoring_padding


def nearest_neighbour() -> Learner:
    """Classifies by the class of the nearest support row, in squared Euclidean distance of inputs.

    Nothing is learned: the parameters are `{}` and the adapted value is the support set.
    """

    def init(key, episode):
        del key, episode
        return {}

    def adapt(params, key, support):
        del params, key
        return support

    def predict(params, adapted, x):
        del params
        near = squared_euclidean(x.reshape(len(x), -1), adapted.x.reshape(len(adapted.x), -1))
        belongs = (adapted.y > 0) & is_labelled(Examples(*adapted))[:, None]  # [S, N]
        return -jnp.min(jnp.where(belongs, near[..., None], jnp.finfo(near.dtype).max), axis=1)

    loss = query_loss(adapt, predict, lambda logits, y: -jnp.sum(jax.nn.log_softmax(logits) * y, 1))
    return ignoring_padding(Learner(init, adapt, predict, loss))
