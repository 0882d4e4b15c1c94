"""A replay buffer of whole trajectories, on the device.

Zheng, Zhang & Grover, "Online Decision Transformer", ICML 2022, https://arxiv.org/abs/2202.05607,
section 4.1 and algorithm 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Trajectory(NamedTuple):
    """Steps of one trial; a leading axis where there are several."""

    observation: jax.Array  # [T, O]
    action: jax.Array  # [T, ...]
    reward: jax.Array  # [T]
    asked: jax.Array  # [T], return to go that the policy was asked for when it acted
    length: jax.Array  # int32, steps that count; they come first


class Windows(NamedTuple):
    """Some steps in a row, of which the padding comes last; a leading axis for several windows."""

    observation: jax.Array  # [K, O]
    action: jax.Array  # [K, ...]
    reward: jax.Array  # [K]; 0 where not valid
    asked: jax.Array  # [K]
    return_to_go: jax.Array  # [K], sum of the rewards achieved from here to the trial's end
    is_valid: jax.Array  # [K] bool


class TrajectoryBuffer(NamedTuple):
    """Room for so many whole trajectories; where it is full the newest replace the oldest.

    A pytree of arrays, so that it is part of the state of training and of its checkpoints. All
    functions are pure; under `jax.jit` with the buffer donated a buffer is changed in place.

    Example:
      >>> ones = jnp.ones((1, 4))
      >>> one = Trajectory(jnp.ones((1, 4, 2)), ones, ones, ones, jnp.array([3]))
      >>> buffer = TrajectoryBuffer.filled(one, 8)
      >>> buffer.sample(jax.random.key(0), n=5, length=2).reward.shape
      (5, 2)
    """

    trajectories: Trajectory  # [C, ...]
    oldest: jax.Array  # int32, place that the next trajectory is put in
    size: jax.Array  # int32, trajectories in the buffer

    @staticmethod
    def filled(trajectories: Trajectory, capacity: int) -> "TrajectoryBuffer":
        """A buffer with the best of given trajectories, the worst of which will go first.

        Args:
          trajectories: `[N, ...]`, of one length T of arrays.
          capacity: trajectories that there is room for, C.

        Raises:
          ValueError: the capacity is below 1, or there is no trajectory.
        """
        n = len(trajectories.length)
        if capacity < 1 or n < 1:
            raise ValueError(
                f"capacity and the number of trajectories must be >= 1, got {capacity} and {n}."
            )
        kept = jnp.argsort(_returns(trajectories))[-capacity:]
        count = len(kept)

        def place(leaf):
            room = jnp.zeros((capacity, *leaf.shape[1:]), leaf.dtype)
            return room.at[:count].set(leaf[kept])

        return TrajectoryBuffer(
            jax.tree.map(place, trajectories), jnp.int32(count % capacity), jnp.int32(count)
        )

    @property
    def capacity(self) -> int:
        """Trajectories that there is room for."""
        return len(self.trajectories.length)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays; they do not grow."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self))

    def next(self, n: int) -> Trajectory:
        """What stands in the places that the next n trajectories will be put in."""
        places = (self.oldest + jnp.arange(n)) % self.capacity
        return jax.tree.map(lambda leaf: leaf[places], self.trajectories)

    def overwrite(self, trajectories: Trajectory) -> "TrajectoryBuffer":
        """The same buffer with other content in the places of `next`."""
        n = len(trajectories.length)
        if n > self.capacity:
            raise ValueError(f"there must be at most capacity = {self.capacity} of them, got {n}.")
        places = (self.oldest + jnp.arange(n)) % self.capacity
        put = jax.tree.map(
            lambda leaf, new: leaf.at[places].set(new.astype(leaf.dtype)),
            self.trajectories,
            trajectories,
        )
        return self._replace(trajectories=put)

    def insert(self, trajectories: Trajectory) -> "TrajectoryBuffer":
        """With further trajectories `[N, ...]`, first in first out.

        Raises:
          ValueError: they are more than there is room for.
        """
        return self.overwrite(trajectories).advance(len(trajectories.length))

    def advance(self, n: jax.Array | int) -> "TrajectoryBuffer":
        """Takes the next n places for filled."""
        oldest = (self.oldest + n) % self.capacity
        size = jnp.minimum(self.size + n, self.capacity)
        return self._replace(oldest=jnp.int32(oldest), size=jnp.int32(size))

    def sample(self, key: jax.Array, *, n: int, length: int) -> Windows:
        """Windows `[n, length, ...]`, each beginning at a step drawn evenly from all steps.

        So a trajectory is drawn in proportion to its length. The return to go is summed anew, in
        hindsight, from the rewards achieved.
        """
        is_filled = jnp.arange(self.capacity) < self.size
        lengths = jnp.where(is_filled, self.trajectories.length, 0)
        ends = jnp.cumsum(lengths)
        step = jax.random.randint(key, (n,), 0, ends[-1])
        which = jnp.searchsorted(ends, step, side="right")
        begin = step - (ends[which] - lengths[which])

        def cut(which, begin):
            one = jax.tree.map(lambda leaf: leaf[which], self.trajectories)
            places = begin + jnp.arange(length)
            is_valid = places < one.length
            reward, to_go = _rewards(one), return_to_go(_rewards(one))
            places = jnp.minimum(places, len(reward) - 1)

            def there(leaf):
                return leaf[places]

            return Windows(
                there(one.observation),
                there(one.action),
                jnp.where(is_valid, there(reward), 0.0),
                there(one.asked),
                there(to_go),
                is_valid,
            )

        return jax.vmap(cut)(which, begin)


def return_to_go(reward: jax.Array) -> jax.Array:
    """Sum of the rewards from each step on, `[T]`."""
    return jnp.cumsum(reward[::-1])[::-1]


def _rewards(trajectory):
    is_valid = jnp.arange(trajectory.reward.shape[-1]) < trajectory.length[..., None]
    return jnp.where(is_valid, trajectory.reward, 0.0)


def _returns(trajectories):
    return jnp.sum(_rewards(trajectories), axis=-1)
