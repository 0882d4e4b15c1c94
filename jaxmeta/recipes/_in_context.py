"""In-context agents' part of a recipe: dark rooms, nets and agents as frozen dataclasses."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta import rl
from jaxmeta.rl.environment import Environment


@dataclasses.dataclass(frozen=True)
class DarkRoom:
    """A room with a goal that cannot be seen."""

    size: int = 10
    """cells along a side"""
    horizon: int = 100
    """steps of an episode"""
    start: tuple[int, ...] = (0, 0)
    """cell in which an episode begins, two numbers"""
    trial: int = 4
    """episodes of a trial"""

    def build(self) -> Environment:
        """The environment."""
        start = (self.start[0], self.start[-1])
        return rl.environments.dark_room(self.size, horizon=self.horizon, start=start)

    @property
    def optimum(self) -> float:
        """The best return of an episode with the goal known, on average over goals."""
        total = 0
        for goal in itertools.product(range(self.size), repeat=2):
            steps = sum(abs(a - b) for a, b in zip(goal, self.start, strict=True))
            total += max(self.horizon - max(steps - 1, 0), 0)
        return total / self.size**2

    @property
    def setting(self) -> str:
        """In words."""
        return f"dark room {self.size}x{self.size}, {self.horizon} steps, {self.trial} episodes"


@dataclasses.dataclass(frozen=True)
class KeyToDoor:
    """A dark room with a key and a door."""

    size: int = 9
    """cells along a side"""
    horizon: int = 50
    """steps of an episode"""
    start: tuple[int, ...] = (4, 4)
    """cell in which an episode begins, two numbers"""
    trial: int = 4
    """episodes of a trial"""

    def build(self) -> Environment:
        """The environment."""
        start = (self.start[0], self.start[-1])
        return rl.environments.key_to_door(self.size, horizon=self.horizon, start=start)

    @property
    def optimum(self) -> float:
        """The best return of an episode: the key and the door."""
        return 2.0

    @property
    def setting(self) -> str:
        """In words."""
        return f"key to door {self.size}x{self.size}, {self.horizon} steps, {self.trial} episodes"


@dataclasses.dataclass(frozen=True)
class Reader:
    """The transformer over a set of transitions."""

    width: int = 32
    """numbers per transition inside"""
    layers: int = 4
    """layers of attention"""
    heads: int = 1
    """heads of the attention"""

    def build(self, n_outputs):
        """The net."""
        del n_outputs
        return rl.context_reader(width=self.width, layers=self.layers, heads=self.heads)


@dataclasses.dataclass(frozen=True)
class DecisionPretrained:
    """A decision-pretrained transformer."""

    context: int = 100
    """transitions in a context"""
    teacher_share: float = 0.0
    """share of the contexts, from 0 to 1, in which the teacher acts in some steps"""
    greedy: bool = False
    """take the likeliest action at test; False draws one"""

    def build(self, net: Any, task: Any, *, given: int = 0, teacher_share=None) -> rl.Agent:
        """The agent."""
        return rl.decision_pretrained(
            net.build(None),
            task.build(),
            context=self.context,
            episodes=task.trial,
            teacher_share=self.teacher_share if teacher_share is None else teacher_share,
            greedy=self.greedy,
            given=given,
        )

    def make_step(self) -> Callable:
        """The outer update."""
        return rl.imitation()

    def optimiser(self, outer: Any) -> optax.GradientTransformation:
        """The outer optimiser."""
        return outer.build()

    def metric(self, returns: jax.Array) -> jax.Array:
        """Return of a trial on bandits, of its last episode elsewhere."""
        return jnp.sum(returns)
