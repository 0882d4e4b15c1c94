"""The outer loop of a recipe."""

import dataclasses
from typing import Literal

import optax

from jaxmeta.checks import at_least


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer loop."""

    steps: int = 10000
    """Meta-steps of the training."""
    meta_batch_size: int = 4
    """Tasks of a meta-step."""
    outer_lr: float = 1e-3
    """Rate of the outer optimiser."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """The outer optimiser. Reptile is made for sgd."""
    schedule: Literal["constant", "linear", "cosine", "halving"] = "constant"
    """How the outer rate changes over the run: constant; to zero, linearly or by a cosine; or
    halved at intervals."""
    warm_up: int = 0
    """Meta-steps over which the outer rate first rises from zero. The schedule follows."""
    weight_decay: float = 0.0
    """Share of each weight that a step takes away, times the rate (Loshchilov & Hutter 2019)."""
    clip: float | None = None
    """Largest norm of the meta-gradient. None: no limit."""
    halve_every: int = 2000
    """Meta-steps between two halvings of the rate."""
    steps_per_call: int = 10
    """Meta-steps in one compiled call."""
    validate_every: int = 500
    """Meta-steps between two validations."""
    validation_episodes: int = 200
    """Episodes of meta_val in each validation."""
    seed: int = 0
    """Seed of everything that is random in the run."""

    def check(self) -> None:
        """Raises a `ValueError` that names a count below 1."""
        at_least(
            1,
            steps=self.steps,
            meta_batch_size=self.meta_batch_size,
            steps_per_call=self.steps_per_call,
            validate_every=self.validate_every,
            validation_episodes=self.validation_episodes,
            halve_every=self.halve_every,
        )

    def build(self) -> optax.GradientTransformation:
        """The optax transformation.

        Raises:
          ValueError: a count is below 1, or the warm-up leaves no steps to the schedule.
        """
        self.check()
        at_least(0, weight_decay=self.weight_decay)
        if not 0 <= self.warm_up < self.steps:
            raise ValueError(
                f"warm_up must be >= 0 and below steps ({self.steps}), got {self.warm_up}."
            )
        steps = self.steps - self.warm_up
        rate = {
            "constant": optax.constant_schedule(self.outer_lr),
            "linear": optax.linear_schedule(self.outer_lr, 0.0, steps),
            "cosine": optax.cosine_decay_schedule(self.outer_lr, steps),
            "halving": optax.exponential_decay(
                self.outer_lr, self.halve_every, 0.5, staircase=True
            ),
        }[self.schedule]
        if self.warm_up:
            rise = optax.linear_schedule(0.0, self.outer_lr, self.warm_up)
            rate = optax.join_schedules([rise, rate], [self.warm_up])
        tx = self._steps(rate)
        return tx if self.clip is None else optax.chain(optax.clip_by_global_norm(self.clip), tx)

    def _steps(self, rate):
        if self.optimiser == "adam":
            if not self.weight_decay:
                return optax.adam(rate)
            return optax.adamw(rate, weight_decay=self.weight_decay)
        if not self.weight_decay:
            return optax.sgd(rate)
        return optax.chain(optax.add_decayed_weights(self.weight_decay), optax.sgd(rate))
