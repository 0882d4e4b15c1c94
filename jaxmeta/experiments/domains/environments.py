"""Tasks to act in, as frozen dataclasses."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from jaxmeta import rl
from jaxmeta.experiments.metric import RETURN
from jaxmeta.experiments.parts import Samples, Work
from jaxmeta.experiments.reports.returns import by_episode, regrets, return_results
from jaxmeta.rl.environments import Environment


class _World:
    """Tasks to act in."""

    acts = True
    has_images = False
    has_shots = False
    has_paths = False
    metric = RETURN
    n_outputs = 0  # As many as the actions want.
    loss_fn = None
    score = staticmethod(jnp.sum)
    make_evaluate = staticmethod(rl.make_evaluate_returns)
    build: Any
    setting: Any

    def samples(self) -> Samples:
        """Random tasks, the same in all splits."""
        sample = self.build().sample
        return Samples(sample, sample, {self.setting: sample})

    def results(self, work: Work) -> dict:
        """Returns of the agent and of fresh parameters."""
        return return_results(work)

    def along_a_trial(self, work: Work, trained: rl.Returns, untrained: rl.Returns) -> dict:
        """What happens within a trial of an agent with a memory: returns by episode."""
        return by_episode(trained, untrained)

    def trace(self, work: Work) -> None:
        """None: its memory is that of the policy."""


@dataclasses.dataclass(frozen=True)
class Bandits(_World):
    """Bernoulli bandits."""

    n_arms: int = 5
    """arms"""
    n_pulls: int = 10
    """pulls of a trial"""

    def build(self) -> Environment:
        """The environment."""
        return rl.environments.bernoulli_bandits(self.n_arms)

    @property
    def trial(self) -> int:
        """Episodes of a trial."""
        return self.n_pulls

    @property
    def setting(self) -> str:
        """In words."""
        return f"{self.n_arms} arms, {self.n_pulls} pulls"

    def along_a_trial(self, work: Work, trained: rl.Returns, untrained: rl.Returns) -> dict:
        """Regret of each pull, beside that of the strategies of `rl.bandits`."""
        return regrets(self, work)


@dataclasses.dataclass(frozen=True)
class TabularMdps(_World):
    """Random MDPs in tables."""

    n_states: int = 10
    """states"""
    n_actions: int = 5
    """actions"""
    horizon: int = 10
    """steps of an episode"""
    trial: int = 10
    """episodes of a trial"""

    def build(self) -> Environment:
        """The environment."""
        return rl.environments.tabular_mdps(self.n_states, self.n_actions, horizon=self.horizon)

    @property
    def setting(self) -> str:
        """In words."""
        return f"{self.n_states} states, {self.n_actions} actions, {self.trial} episodes"


@dataclasses.dataclass(frozen=True)
class Navigation(_World):
    """A point that moves to a goal in the plane."""

    has_paths = True

    reward: Literal["distance", "squared_distance"] = "distance"
    """minus which, at every step"""
    reach: float = 0.1
    """how far an action of 1 moves the point in each coordinate, which is as far as it may"""
    horizon: int = 100
    """steps of an episode"""
    trial: int = 2
    """episodes of a trial, for agents with a memory"""

    def build(self) -> Environment:
        """The environment."""
        rewards = {
            "distance": rl.environments.minus_distance,
            "squared_distance": rl.environments.minus_squared_distance,
        }
        world = rl.environments.navigation(reward=rewards[self.reward], horizon=self.horizon)
        return rl.environments.unit_actions(world, self.reach)

    @property
    def setting(self) -> str:
        """In words."""
        return f"navigation, minus {self.reward.replace('_', ' ')}"


@dataclasses.dataclass(frozen=True)
class Locomotion(_World):
    """A robot that is to run in a direction or at a velocity; needs the extra `brax`."""

    robot: Literal["half_cheetah", "ant"] = "half_cheetah"
    """which"""
    goal: Literal["direction", "velocity"] = "direction"
    """what differs from task to task"""
    backend: Literal["generalized", "spring", "positional", "mjx"] = "generalized"
    """physics; only generalized and mjx compare with papers"""
    horizon: int = 200
    """steps of an episode"""
    trial: int = 2
    """episodes of a trial, for agents with a memory"""

    def build(self) -> Environment:
        """The environment."""
        worlds = {
            ("half_cheetah", "direction"): rl.locomotion.half_cheetah_direction,
            ("half_cheetah", "velocity"): rl.locomotion.half_cheetah_velocity,
            ("ant", "direction"): rl.locomotion.ant_direction,
            ("ant", "velocity"): rl.locomotion.ant_velocity,
        }
        return worlds[self.robot, self.goal](backend=self.backend, horizon=self.horizon)

    @property
    def setting(self) -> str:
        """In words."""
        return f"{self.robot.replace('_', '-')} {self.goal}, Brax {self.backend}"


Worlds = Bandits | TabularMdps | Navigation | Locomotion
