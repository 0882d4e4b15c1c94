"""The contract of meta-learners that act, beside `jaxmeta.learner` for those that predict.

Most learn from what their own actions led to, by a policy gradient. In-context agents learn from
given data: from a teacher, from the history of another learner, or from a buffer of trajectories.
They fulfil the same contract, since the two gradients differ in one factor only, the advantage.
Their batches say so by `advantages=None`: the actions in them are to be imitated, they count as
drawn with probability 1, so that `Replayed.log_ratio` is their log-likelihood, and this, with the
agent's `credit`, is the objective (`rl.imitation`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.losses import masked_mean

Params = Any


class Batch(NamedTuple):
    """What an outer update learns from: steps taken in one task, constants all."""

    data: Any  # the agent's own
    distribution: Any  # [..., T] of actions, under the parameters that acted; None: given data
    advantages: jax.Array | None  # [..., T]; None: the actions are given ones, to be imitated
    is_valid: jax.Array  # [..., T]
    targets: jax.Array | None  # [..., T] of the values, in their unit; None for agents without
    mean_return: jax.Array  # scalar, undiscounted, for a human


class Replayed(NamedTuple):
    """The same steps under other parameters."""

    distribution: Any  # [..., T]
    log_ratio: jax.Array  # [..., T], log pi(a) - log pi_acted(a)
    values: jax.Array | None  # [..., T] of what comes, in the agent's unit; None: has none
    credit: jax.Array | float = 0.0  # scalar, added to the objective


class Test(NamedTuple):
    """How an agent does in one task."""

    returns: jax.Array  # [K], undiscounted: after each inner step, or of each episode
    trajectories: Any  # [K, E, H, ...] or [T, ...]


class Agent(NamedTuple):
    """A meta-learner of behaviour, `Trainable` like a learner. Every function handles one task."""

    init: Callable[[jax.Array, Any], Params]
    """`(key, task) -> params`: meta-parameters, any pytree."""
    collect: Callable[[Params, jax.Array, Any], Batch]
    """`(params, key, task) -> Batch`: acts; not differentiated."""
    replay: Callable[[Params, Batch], Replayed]
    """`(params, batch) -> Replayed`: differentiable in params."""
    test: Callable[[Params, jax.Array, Any], Test]
    """`(params, key, task) -> Test`."""

    def loss(self, params: Params, key: jax.Array, task: Any) -> tuple[jax.Array, jax.Array]:
        """Loss and mean return of one task by itself, as in a learner.

        The loss of imitation where the batch is of given data, else that of the policy gradient.
        """
        batch = jax.lax.stop_gradient(self.collect(params, key, task))
        replay = self.replay(params, batch)
        gain = replay.log_ratio
        if batch.advantages is not None:
            gain = jnp.exp(replay.log_ratio) * batch.advantages
        return -masked_mean(gain, batch.is_valid) - replay.credit, batch.mean_return

    def check(self, task: Any) -> None:
        """Takes any task: what one is, the agent's environment says."""
        del task
