"""Agents and their outer updates, as frozen dataclasses."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import optax

from jaxmeta import rl
from jaxmeta.experiments.methods.acting import Acting


@dataclasses.dataclass(frozen=True)
class Rl2(Acting):
    """RL^2."""

    discount: float = 0.99
    """Discount of rewards."""
    gae_lambda: float = 0.3
    """Lambda of generalised advantage estimation."""
    update: Literal["ppo", "a2c"] = "ppo"
    """The outer update."""
    epochs: int = 4
    """Passes over the trials of a step, with ppo."""
    minibatches: int = 4
    """Minibatches of each pass, with ppo."""
    clip_ratio: float = 0.2
    """Largest change of an action's probability, as a ratio, that still counts, with ppo."""
    value_weight: float = 0.5
    """Weight of the error of the values."""
    entropy_weight: float = 0.01
    """Weight of the entropy of the policy."""

    def build(self, net: Any, task: Any) -> rl.Agent:
        """The agent."""
        return rl.rl2(
            net.build(None),
            task.build(),
            episodes=task.trial,
            discount=self.discount,
            gae_lambda=self.gae_lambda,
        )

    def make_step(self) -> Callable:
        """The outer update."""
        weights = {"value_weight": self.value_weight, "entropy_weight": self.entropy_weight}
        if self.update == "a2c":
            return rl.a2c(**weights)
        return rl.ppo(
            epochs=self.epochs, minibatches=self.minibatches, clip=self.clip_ratio, **weights
        )

    def optimiser(self, outer: Any) -> optax.GradientTransformation:
        """The outer optimiser, which takes several steps at each meta-step."""
        several = self.epochs * self.minibatches if self.update == "ppo" else 1
        slower = {"steps": several * outer.steps, "halve_every": several * outer.halve_every}
        return dataclasses.replace(outer, **slower).build()


@dataclasses.dataclass(frozen=True)
class MamlRl(Acting):
    """MAML on trajectories."""

    adapts = True
    tasks_at_test = 20

    inner_lr: float = 0.1
    """Step size of the inner loop."""
    inner_steps: int = 1
    """Policy-gradient steps in training. 0: pretraining on all tasks."""
    # The agent's own default, None, is these three for an inner rate of 0.1: a, a / 2, a / 2.
    test_inner_lrs: tuple[float, ...] = (0.1, 0.05, 0.05)
    """Step sizes of the inner loop at test."""
    episodes: int = 20
    """Episodes that are acted for each inner step, and after the last."""
    discount: float = 0.99
    """Discount of rewards."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    inner_loss: Literal["surrogate", "dice", "low_variance_curvature"] = "surrogate"
    """Estimator of the inner gradient."""
    credit_sampling: bool = False
    """The meta-gradient also goes through the sampling of the episodes that are adapted to."""
    update: Literal["trpo", "ppo", "gradient"] = "trpo"
    """The outer update. With trpo the outer optimiser is not used."""
    max_kl: float = 0.01
    """Size of the trust region, with trpo."""

    def build(self, net: Any, task: Any) -> rl.Agent:
        """The agent."""
        environment = task.build()
        losses = {
            "surrogate": rl.surrogate,
            "dice": rl.dice,
            "low_variance_curvature": rl.low_variance_curvature,
        }
        return rl.maml_rl(
            net.build(environment.actions.n_outputs),
            environment,
            inner_lr=self.inner_lr,
            inner_steps=self.inner_steps,
            episodes=self.episodes,
            discount=self.discount,
            gae_lambda=self.gae_lambda,
            inner_loss=losses[self.inner_loss],
            credit_sampling=self.credit_sampling,
            test_inner_lrs=self.test_inner_lrs,
        )

    def make_step(self) -> Callable:
        """The outer update."""
        if self.update == "trpo":
            return rl.trpo(max_kl=self.max_kl)
        return rl.a2c() if self.update == "gradient" else rl.ppo(minibatches=1, entropy_weight=0.0)

    def optimiser(self, outer: Any) -> optax.GradientTransformation:
        """The outer optimiser."""
        return optax.identity() if self.update == "trpo" else outer.build()

    def metric(self, returns: jax.Array) -> jax.Array:
        """Return after as many steps as in training, and after one where that is none."""
        return returns[max(self.inner_steps, 1)]
