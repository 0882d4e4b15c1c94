"""How a `Stream` comes into a learner beside an `Episode`."""

from collections.abc import Callable

import jax

from jaxmeta.doors import check_key, check_params
from jaxmeta.learner import (
    Episode,
    Examples,
    Key,
    Learner,
    Outputs,
    Params,
    Stream,
    check_episode,
    check_labels,
)
from jaxmeta.support import zeroed


def taking_streams(learner: Learner, *, init: Callable, loss: Callable) -> Learner:
    """The learner whose `init` and `loss` take a `Stream` in the place of an `Episode` too.

    Rows that are not valid are zero in what the two functions get. `adapt` and `predict` stay as
    they are: a stream has no support set.

    Args:
      learner: of episodes.
      init: `(key, stream) -> params`.
      loss: `(params, key, stream) -> (scalar, outputs [T, W])`; each row is to be predicted before
        its label is seen.

    Raises:
      TypeError: when called, the task is neither.
      ValueError: when called, the labels are not rows, or an episode has no support rows.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> import jaxmeta
      >>> def guess(params, x):
      ...     return jnp.zeros((len(x), 2)) + params
      >>> def init(key, task):
      ...     return jnp.zeros(2)
      >>> def loss(params, key, stream):
      ...     outputs = guess(params, stream.x)
      ...     return optax.softmax_cross_entropy(outputs, stream.y).mean(), outputs
      >>> learner = taking_streams(
      ...     jaxmeta.Learner(
      ...         init, lambda *_: (), lambda params, adapted, x: guess(params, x), None
      ...     ),
      ...     init=init,
      ...     loss=loss,
      ... )
      >>> stream = jaxmeta.Stream(jnp.zeros((3, 1)), jnp.eye(2)[jnp.array([0, 1, 0])])
      >>> round(float(learner.loss(jnp.zeros(2), jax.random.key(0), stream)[0]), 4)
      0.6931
    """

    def init_either(key: Key, task: Episode | Stream) -> Params:
        check_key(key)
        match task:
            case Stream():
                return init(key, _looked_at(task))
            case _:
                return learner.init(key, task)

    def loss_either(params: Params, key: Key, task: Episode | Stream) -> tuple[jax.Array, Outputs]:
        check_params(params)
        match task:
            case Stream():
                return loss(params, key, _looked_at(task))
        check_episode(task)
        if len(task.support.x) == 0:
            raise ValueError(
                "an episode must have support rows, got 0: a sequence whose rows are predicted one "
                "after the other is a jaxmeta.Stream(x, y)."
            )
        return learner.loss(params, key, task)

    return learner._replace(init=init_either, loss=loss_either)


def _looked_at(stream: Stream) -> Stream:
    check_labels(stream=Examples(*stream))
    return Stream(*zeroed(Examples(*stream)))
