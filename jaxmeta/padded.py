"""A learner's functions compiled for padded sizes, so that another task compiles nothing new."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.learner import Examples, Learner

LEAST_ROWS = 8  # of padded rows
FOLDS = 64  # rows up to which each is held out by itself


class Programs(NamedTuple):
    """`adapt`, `predict` and what the first makes of a support set less some of its rows."""

    adapt: Any  # (params, key data [2], support) -> adapted
    predict: Any  # (params, adapted, x) -> outputs
    held_out: Any  # (params, key data [2], support, folds [S]) -> outputs [S, N]


@functools.lru_cache(maxsize=16)
def programs(learner: Learner) -> Programs:
    """A learner's functions compiled, shared by every estimator that has it."""

    def adapt(params, key, support):
        return learner.adapt(params, jax.random.wrap_key_data(key), support)

    def held_out(params, key, support, folds):
        """Outputs of each row by what was adapted to the rows of other folds."""

        def outputs_of(fold):
            kept = support._replace(is_valid=support.is_valid & (folds != fold))
            outputs = learner.predict(params, adapt(params, key, kept), support.x)
            return jnp.where((folds == fold)[:, None], outputs, 0)

        n_folds = min(FOLDS, support.x.shape[0])
        return jnp.sum(jax.lax.map(outputs_of, jnp.arange(n_folds)), axis=0)

    return Programs(jax.jit(adapt), jax.jit(learner.predict), jax.jit(held_out))


def padded_size(rows: int) -> int:
    """The power of two that so many rows are padded to, 8 at least."""
    return max(LEAST_ROWS, 1 << (rows - 1).bit_length())


def pad(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows `[M, *X]` with zeros behind them, `[size, *X]`."""
    padded = np.zeros((size, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return padded


def padded_examples(x: np.ndarray, y: np.ndarray, rows: int) -> Examples:
    """Examples of so many rows in all; `is_valid` tells those that are there."""
    return Examples(*map(jax.device_put, (pad(x, rows), pad(y, rows), np.arange(rows) < len(x))))
