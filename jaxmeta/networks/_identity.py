"""No network: for learners of features that are already there."""

from typing import Any

import jax


class Identity:
    """The net that gives its inputs back, flat."""

    def init(self, key: jax.Array, x: jax.Array) -> dict:
        """No parameters."""
        del key, x
        return {}

    def apply(self, params: Any, x: jax.Array) -> jax.Array:
        """`[M, *X]` to `[M, D]`."""
        del params
        return x.reshape(x.shape[0], -1)
