"""What is looked at where a sample, an optimiser, parameters, a state or a key come in.

Each mistake gets one line before anything is compiled, asked of the thing itself.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.learner import Episode


def check_key(key: Any) -> None:
    """A key is `jax.random.key(seed)`, or a raw `[2]` uint32 one.

    Raises:
      TypeError: it is not.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None:
        if jnp.issubdtype(dtype, jax.dtypes.prng_key) and key.shape == ():
            return
        if dtype == jnp.uint32 and key.ndim == 1:
            return
    shown = f"shape {key.shape}, {dtype}" if dtype is not None else repr(key)
    raise TypeError(f"key must be one random key, got {shown}: give jax.random.key(0).")


def check_sample(sample: Any) -> None:
    """A sample is a function `key -> Episode`.

    Raises:
      TypeError: it is not.
    """
    if _is_optimiser(sample):
        raise TypeError(
            "sample must be a function key -> Episode, got an optimiser: the order is "
            "(learner, tx, sample)."
        )
    if isinstance(sample, Episode):
        raise TypeError(
            "sample must be a function key -> Episode, got an Episode: give `lambda key: episode` "
            "for a task that is always this one."
        )
    if not callable(sample):
        raise TypeError(
            f"sample must be a function key -> Episode, got {type(sample).__name__}: "
            "`jaxmeta.tasks` makes samples."
        )


def check_optimiser(tx: Any) -> None:
    """An outer optimiser is an optax transformation.

    Raises:
      TypeError: it is not.
    """
    if not _is_optimiser(tx):
        name = getattr(tx, "__name__", type(tx).__name__)
        raise TypeError(
            f"tx must be an optax.GradientTransformation such as optax.adam(1e-3), got {name}: the "
            "order is (learner, tx, sample)."
        )


def check_params(params: Any) -> None:
    """Parameters are what `init` gave, and not the whole state of training.

    Raises:
      TypeError: they are a `MetaState`.
      ValueError: their memory is in use by the state that came back.
    """
    if _is_state(params):
        raise TypeError("params must be meta-parameters, got a MetaState: give state.params.")
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            if leaf.is_deleted():
                raise ValueError(
                    "these parameters were given to a step before, which uses their memory again: "
                    "take those of the state that came back."
                )


def check_learner(learner: Any) -> None:
    """A learner is `Trainable`.

    Raises:
      TypeError: it is not, being a net, for instance.
    """
    if not all(callable(getattr(learner, part, None)) for part in ("init", "loss", "check")):
        name = getattr(learner, "__name__", type(learner).__name__)
        raise TypeError(
            f"learner must be a jaxmeta.Learner, got {name}: make one of a net, as in "
            "jaxmeta.maml(net), or of four functions, jaxmeta.Learner(init, adapt, predict, loss)."
        )


def check_state(state: Any) -> None:
    """A state is a `MetaState` that no step has been given before.

    Raises:
      TypeError: it is something else, such as bare parameters.
      ValueError: its memory is in use by the state that came back.
    """
    if not _is_state(state):
        raise TypeError(
            f"state must be a MetaState, got {type(state).__name__}: `init_state` makes one."
        )
    for leaf in jax.tree.leaves(state):
        if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
            if leaf.is_deleted():
                raise ValueError(
                    "this state was given to a step before, which uses its memory again: go on "
                    "with the state that came back, as in `state, info = step(state, key)`."
                )


def _is_optimiser(thing):
    return callable(getattr(thing, "init", None)) and callable(getattr(thing, "update", None))


def _is_state(thing):
    return all(hasattr(thing, name) for name in ("params", "opt_state", "step"))
