"""The contract of tasks to act in: pure functions of explicit state.

A task is the parameters of an environment: the arms of a bandit, the tables of an MDP, a goal. An
episode begins with `reset` and ends after `horizon` steps, or when a step says so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxmeta.rl.distributions import Continuous, Discrete

Task = Any


class Step(NamedTuple):
    """What an action leads to."""

    state: Any
    observation: jax.Array  # [O]
    reward: jax.Array  # scalar
    done: jax.Array  # bool; the episode ends here, before its horizon


class Table(NamedTuple):
    """What more is known where the states are the numbers `0..n_states-1`."""

    n_states: int
    observe: Callable[[jax.Array], jax.Array]
    """`state -> observation [O]`"""
    optimal: Callable[[jax.Array, Task], jax.Array] | None = None
    """`(state, task) -> action`, a best one with the task known; None: it depends on the time"""


class Environment(NamedTuple):
    """A distribution of tasks, and how they answer to actions."""

    sample: Callable[[jax.Array], Task]
    """`key -> task`: parameters of one task, any pytree of arrays."""
    reset: Callable[[jax.Array, Task], tuple[Any, jax.Array]]
    """`(key, task) -> (state, observation)`: the first of an episode."""
    step: Callable[[jax.Array, Any, jax.Array, Task], Step]
    """`(key, state, action, task) -> Step`."""
    actions: Discrete | Continuous
    horizon: int
    """steps of an episode at most"""
    table: Table | None = None
    """states that can be counted, for learners in tables and for teachers; None: they cannot"""
