"""Tasks to act in, as frozen dataclasses."""

import dataclasses
import itertools
import math
from typing import Any, Literal

import jax.numpy as jnp

from jaxmeta import rl
from jaxmeta.experiments.metric import RETURN
from jaxmeta.experiments.parts import Samples, Work
from jaxmeta.experiments.reports.in_context import MOST_CONTEXTS, given_context, posterior
from jaxmeta.experiments.reports.returns import by_episode, regrets, return_results
from jaxmeta.rl.environment import Environment
from jaxmeta.training import Evaluation


class World:
    """Defaults of the protocol `jaxmeta.experiments.parts.Domain`, for tasks to act in.

    A class that inherits from it adds `build()`, which gives the environment, `setting`, its name
    in words, and, for agents with a memory, `trial`, the number of episodes of a trial.
    """

    acts = True
    has_images = False
    has_shots = False
    has_paths = False
    metric = RETURN
    optimum: Any = None  # the best return of an episode, a number; None: not known
    teacher: Any = None  # `(state, task) -> action`; None: that of the environment, if any
    n_outputs = 0  # As many as the actions want.
    loss_fn = None
    score = staticmethod(jnp.sum)
    scored_by = staticmethod(rl.acting)
    build: Any
    setting: Any

    def samples(self) -> Samples:
        """Random tasks, the same in all splits."""
        sample = self.build().sample
        return Samples(sample, sample, {self.setting: sample})

    def results(self, work: Work) -> dict:
        """Returns of the agent and of fresh parameters."""
        return return_results(work)

    def along_a_trial(self, work: Work, trained: Evaluation, untrained: Evaluation) -> dict:
        """What happens within a trial of an agent with a memory: returns by episode."""
        return by_episode(trained, untrained)

    def of_posterior(self, work: Work) -> dict:
        """How good an agent is that is trained to be a posterior: after a given context."""
        return {"given_context": given_context(work)}

    def trace(self, work: Work) -> None:
        """None: its memory is that of the policy."""


@dataclasses.dataclass(frozen=True)
class Bandits(World):
    """Bernoulli bandits."""

    n_arms: int = 5
    """Arms of a bandit."""
    n_pulls: int = 10
    """Pulls of a trial."""

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

    def along_a_trial(self, work: Work, trained: Evaluation, untrained: Evaluation) -> dict:
        """Regret of each pull, beside that of the strategies of `rl.bandits`."""
        return regrets(self, work)

    def of_posterior(self, work: Work) -> dict:
        """How far it is from the exact posterior, where its contexts can all be gone through."""
        n_contexts = math.comb(self.n_pulls + 2 * self.n_arms, self.n_pulls)
        return {"posterior": posterior(self, work)} if n_contexts <= MOST_CONTEXTS else {}


@dataclasses.dataclass(frozen=True)
class TabularMdps(World):
    """Random MDPs in tables."""

    n_states: int = 10
    """States of an MDP."""
    n_actions: int = 5
    """Actions of an MDP."""
    horizon: int = 10
    """Steps of an episode."""
    trial: int = 10
    """Episodes of a trial."""

    def build(self) -> Environment:
        """The environment."""
        return rl.environments.tabular_mdps(self.n_states, self.n_actions, horizon=self.horizon)

    @property
    def setting(self) -> str:
        """In words."""
        return f"{self.n_states} states, {self.n_actions} actions, {self.trial} episodes"


@dataclasses.dataclass(frozen=True)
class Navigation(World):
    """A point that moves to a goal in the plane."""

    has_paths = True

    reward: Literal["distance", "squared_distance"] = "distance"
    """The reward of a step is minus this distance to the goal."""
    reach: float = 0.1
    """How far an action of 1, the largest, moves the point in each coordinate."""
    horizon: int = 100
    """Steps of an episode."""
    trial: int = 2
    """Episodes of a trial, for agents with a memory."""

    def build(self) -> Environment:
        """The environment."""
        rewards = {
            "distance": rl.environments.minus_distance,
            "squared_distance": rl.environments.minus_squared_distance,
        }
        world = rl.environments.navigation(reward=rewards[self.reward], horizon=self.horizon)
        return rl.environments.unit_actions(world, self.reach)

    def teacher(self, state, task):
        """The action straight towards the goal, for data to begin with."""
        return jnp.clip((task - state) / self.reach, -1.0, 1.0)

    @property
    def setting(self) -> str:
        """In words."""
        return f"navigation, minus {self.reward.replace('_', ' ')}"


@dataclasses.dataclass(frozen=True)
class Locomotion(World):
    """A robot that is to run in a direction or at a velocity; needs the extra `brax`."""

    robot: Literal["half_cheetah", "ant"] = "half_cheetah"
    """The robot that is to run."""
    goal: Literal["direction", "velocity"] = "direction"
    """What differs from task to task."""
    backend: Literal["generalized", "spring", "positional", "mjx"] = "generalized"
    """The physics. Only those of generalized and mjx compare with papers."""
    horizon: int = 200
    """Steps of an episode."""
    trial: int = 2
    """Episodes of a trial, for agents with a memory."""

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


@dataclasses.dataclass(frozen=True)
class DarkRoom(World):
    """A room with a goal that cannot be seen."""

    size: int = 10
    """Cells along a side of the room."""
    horizon: int = 100
    """Steps of an episode."""
    start: tuple[int, ...] = (0, 0)
    """Cell in which an episode begins, two numbers."""
    trial: int = 4
    """Episodes of a trial."""

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
class KeyToDoor(World):
    """A dark room with a key and a door."""

    size: int = 9
    """Cells along a side of the room."""
    horizon: int = 50
    """Steps of an episode."""
    start: tuple[int, ...] = (4, 4)
    """Cell in which an episode begins, two numbers."""
    trial: int = 4
    """Episodes of a trial."""

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


Worlds = Bandits | TabularMdps | Navigation | Locomotion | DarkRoom | KeyToDoor
