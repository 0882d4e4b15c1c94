"""What padding holds never enters: neither a value nor a derivative, be it NaN.

A loss that leaves out rows of padding is not enough: its derivative there is zero, and zero times
the NaN of an input or a label is NaN in the meta-gradient.
"""

import jax
import jax.numpy as jnp

from jaxmeta.doors import check_key, check_params
from jaxmeta.learner import (
    Adapted,
    Episode,
    Examples,
    Key,
    Learner,
    Outputs,
    Params,
    check_episode,
    check_labels,
)
from jaxmeta.support import zeroed


def ignoring_padding(learner: Learner) -> Learner:
    """The learner whose functions see zeros in the rows of either set that are not valid.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from jaxmeta.losses import query_loss
      >>> def adapt(params, key, support):
      ...     return params * jnp.mean(support.x)
      >>> def predict(params, adapted, x):
      ...     return adapted * x
      >>> learner = ignoring_padding(
      ...     Learner(lambda key, episode: 1.0, adapt, predict,
      ...             query_loss(adapt, predict, optax.squared_error))
      ... )
      >>> x, is_valid = jnp.array([[4.0], [jnp.nan]]), jnp.array([True, False])
      >>> support = Examples(x, jnp.ones((2, 1)), is_valid)
      >>> float(learner.adapt(1.0, None, support))
      2.0
    """

    def init(key: Key, episode: Episode) -> Params:
        check_key(key)
        check_episode(episode)
        return learner.init(key, Episode(*map(zeroed, episode)))

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        check_params(params)
        check_labels(support=support)
        return learner.adapt(params, key, zeroed(support))

    def loss(params: Params, key: Key, episode: Episode) -> tuple[jax.Array, Outputs]:
        check_params(params)
        check_episode(episode)
        return learner.loss(params, key, Episode(*map(zeroed, episode)))

    return learner._replace(init=init, adapt=adapt, loss=loss)


def weighted_means(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Means `[N, D]` of rows `[S, D]` under weights `[S, N]` of 0 or more, such as one-hot labels.

    Zero for a column whose weights are all zero, as those of a class that an episode lacks are.

    Example:
      >>> weighted_means(jnp.array([[2.0], [4.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])).tolist()
      [[3.0], [0.0]]
    """
    total = jnp.sum(weights, axis=0)
    return weights.T @ x / jnp.where(total > 0, total, 1)[:, None]
