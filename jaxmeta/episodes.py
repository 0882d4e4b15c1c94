"""Where episodes come from: sampled on the device, or read by the host."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.learner import Episode


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """Episodes that the host reads, for data larger than memory; in place of a `Sample`.

    Episode i is a function of i alone, so the number of steps done is all the state of the reading.
    """

    first: Episode  # episode 0, for shapes
    batches: Callable[[int, int], Iterator[Episode]]
    """`(start, size) -> iterator`: `size` stacked episodes from `start` on, then the next ones."""
    prepare: Callable[[Episode], Episode]  # on the device: bytes to floats

    def __call__(self, key: jax.Array) -> Episode:
        """Episode 0, whatever the key."""
        del key
        return self.prepare(jax.tree.map(jnp.asarray, self.first))


Sample = Callable[[jax.Array], Any] | Loaded  # key -> Episode, Stream, or an agent's task
