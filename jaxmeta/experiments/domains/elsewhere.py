"""Environments of another library as tasks to act in."""

import dataclasses
import importlib
from typing import Any

import jax

from jaxmeta.experiments.domains.environments import World
from jaxmeta.rl.environment import Environment
from jaxmeta.rl.environments import from_gymnax


@dataclasses.dataclass(frozen=True)
class Environments(World):
    """An environment of gymnax, whose parameters differ from task to task."""

    environment: str = "gymnax:CartPole-v1"
    """The environment: gymnax:NAME. It needs the extra `gymnax`."""
    vary: tuple[str, ...] = ("length",)
    """Parameters of the environment that differ from task to task. Each is its usual value times a
    factor; parameters computed from it keep their usual value."""
    least_factor: float = 0.5
    """Least factor of a parameter that varies."""
    most_factor: float = 2.0
    """Largest factor of a parameter that varies."""
    horizon: int = 100
    """Steps of an episode."""
    trial: int = 2
    """Episodes of a trial, for agents with a memory."""

    def build(self) -> Environment:
        """The environment.

        Raises:
          ValueError: there is no such environment or parameter, the factors are not in order, or
            gymnax is not installed.
        """
        library, _, name = self.environment.partition(":")
        if library != "gymnax" or not name:
            raise ValueError(f"environment must be gymnax:NAME, got {self.environment!r}.")
        if not self.least_factor <= self.most_factor:
            raise ValueError(
                f"least_factor must be at most most_factor ({self.most_factor}), got "
                f"{self.least_factor}."
            )
        try:
            gymnax = importlib.import_module("gymnax")
        except ImportError as error:
            raise ValueError(
                f"{self.environment} needs gymnax: pip install 'jaxmeta[gymnax]'."
            ) from error
        if name not in gymnax.registered_envs:
            raise ValueError(
                f"gymnax has no environment {name!r}; it has {', '.join(gymnax.registered_envs)}."
            )
        world, params = gymnax.make(name)
        return from_gymnax(world, lambda key: self._drawn(params, key), self.horizon)

    def _drawn(self, params: Any, key: jax.Array) -> Any:
        """The parameters of one task."""
        numbers = {
            field.name: getattr(params, field.name)
            for field in dataclasses.fields(params)
            if isinstance(getattr(params, field.name), float)
        }
        if unknown := [name for name in self.vary if name not in numbers]:
            raise ValueError(
                f"vary must be some of {', '.join(numbers) or 'none'}, the numbers of "
                f"{self.environment}, got {unknown[0]!r}."
            )
        factors = jax.random.uniform(
            key, (len(self.vary),), minval=self.least_factor, maxval=self.most_factor
        )
        pairs = zip(self.vary, factors, strict=True)
        return params.replace(**{name: factor * numbers[name] for name, factor in pairs})

    @property
    def setting(self) -> str:
        """In words."""
        name = self.environment.partition(":")[2]
        return f"{name}, other {' and '.join(self.vary)} in each task" if self.vary else name
