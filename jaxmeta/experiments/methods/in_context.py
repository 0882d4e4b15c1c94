"""Agents that learn a task from the trajectories in their context, as frozen dataclasses."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta import rl
from jaxmeta.experiments.methods.acting import Acting
from jaxmeta.experiments.reports.in_context import source_by_episode
from jaxmeta.rl.environment import Environment
from jaxmeta.training import Score


class _InContext(Acting):
    """An agent that is trained to act as another: by the likelihood of the other's actions."""

    def make_step(self) -> Callable:
        """The outer update."""
        return rl.imitation()

    def extra_results(self, work: Any) -> dict[str, Any]:
        """What it is trained on."""
        del work
        return {"trained_on": "log-likelihood"}


@dataclasses.dataclass(frozen=True)
class DecisionPretrained(_InContext):
    """A decision-pretrained transformer."""

    context: int = 100
    """Transitions in a context."""
    teacher_share: float = 0.0
    """Share of the contexts, from 0 to 1, in which the teacher acts in some steps."""
    greedy: bool = False
    """The likeliest action is taken at test. Otherwise one is drawn."""

    def scored_by(self, metric: Callable) -> Score:
        """Of a posterior the likelihood is the measure, and not the metric of returns."""
        del metric
        return rl.likelihood()

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

    def extra_results(self, work: Any) -> dict[str, Any]:
        """How good it is as a posterior, which is what the likelihood measures."""
        validated = {"validated_by": "log-likelihood"}
        return super().extra_results(work) | validated | work.recipe.task.of_posterior(work)

    def look_back(self, net: Any, params: Any, trajectory: Any) -> jax.Array:
        """At the transitions seen, as long as nothing is forgotten."""
        seen, length = trajectory.seen, min(self.context, len(trajectory.reward))
        # What a step led to is seen with the next one; the last one's is not looked at.
        rows = jnp.concatenate(
            [
                seen.observation[: length - 1],
                seen.action[1:length],
                seen.reached[1:length],
                seen.reward[1:length, None],
            ],
            axis=1,
        )
        rows = jnp.concatenate([rows, jnp.zeros_like(rows[:1])])
        reader = net.build(None)
        is_seen = jnp.arange(length) < jnp.arange(length)[:, None]
        encoded = reader.encode(params["reader"], rows)
        maps = reader.attention(params["reader"], encoded, seen.observation[:length], is_seen)
        return maps[..., 1:]


@dataclasses.dataclass(frozen=True)
class AlgorithmDistillation(_InContext):
    """Algorithm distillation of Q-learning in tables."""

    source_episodes: int = 100
    """Episodes that the source learns for."""
    rate: float = 0.5
    """Step size of the source."""
    discount: float = 0.9
    """Discount of rewards of the source."""
    first_value: float = 1.0
    """Value of every action before the source has learned."""
    exploration: tuple[float, ...] = (0.1, 0.0)
    """Shares of random actions in the first and in the last episode of the source."""

    def source(self, environment: Environment) -> Callable:
        """The learner that is imitated."""
        return rl.q_learning(
            environment,
            episodes=self.source_episodes,
            rate=self.rate,
            discount=self.discount,
            first_value=self.first_value,
            exploration=(self.exploration[0], self.exploration[-1]),
        )

    def build(self, net: Any, task: Any) -> rl.Agent:
        """The agent."""
        environment = task.build()
        return rl.algorithm_distillation(
            net.build(None),
            environment,
            source=self.source(environment),
            source_episodes=self.source_episodes,
            episodes=task.trial,
        )

    def extra_results(self, work: Any) -> dict[str, Any]:
        """What the learner that is imitated gets."""
        source = source_by_episode(work, self.source(work.recipe.task.build()))
        return super().extra_results(work) | {"source_by_episode": source}

    def look_back(self, net: Any, params: Any, trajectory: Any) -> jax.Array:
        """At the steps of its history."""
        look = rl.transformer_attention(width=net.width, layers=net.layers, heads=net.heads)
        return look(params["policy"], trajectory.extra[0])


@dataclasses.dataclass(frozen=True)
class OnlineDecisionTransformer(_InContext):
    """An online decision transformer."""

    target_return: float = 30.0
    """Return of a trial that is asked for at test. Returns to go are counted in units of it."""
    exploration: float = 2.0
    """How many times as much return is asked for in training as at test."""
    context: int = 20
    """Steps of a window in training. Each has three tokens."""
    test_context: int | None = None
    """Steps of context at test. None: as in training."""
    hindsight: bool = True
    """It learns from the returns that were achieved. Otherwise it learns from those asked for."""
    constrained: bool = True
    """The entropy is kept up by a dual variable. Otherwise the likelihood alone is trained."""
    greedy: bool = True
    """The likeliest action is taken at test. Otherwise one is drawn."""
    dual_rate: float = 1e-4
    """Step size of the dual variable, under Adam."""
    capacity: int = 1000
    """Trials in the buffer."""
    offline_trials: int = 1000
    """Trials of given data, of which the best are kept."""
    most_skill: float = 1.0
    """Largest share of actions of the given data that are a teacher's. The share is drawn for each
    trial."""
    offline_rounds: int = 10
    """Rounds before the first roll-out."""
    updates: int = 100
    """Gradient steps of a round."""
    windows: int = 64
    """Windows of each gradient step."""

    def build(self, net: Any, task: Any) -> rl.Agent:
        """The agent."""
        at_test = self.context if self.test_context is None else self.test_context
        return rl.online_decision_transformer(
            net.build(None, 3 * self.context),
            task.build(),
            target_return=self.target_return,
            episodes=task.trial,
            exploration=self.exploration,
            at_test=net.build(None, 3 * at_test),
            hindsight=self.hindsight,
            constrained=self.constrained,
            greedy=self.greedy,
        )

    def training(self, task: Any) -> tuple[Callable, Callable]:
        """Rounds of acting and learning from a buffer."""
        rounds = self.rounds(task)
        return rounds.make_step, rounds.init_state

    def rounds(self, task: Any) -> rl.OnlineRounds:
        """First state and step of the training."""
        environment = task.build()
        behaviour = rl.teacher_with_noise(
            environment,
            episodes=task.trial,
            most_skill=self.most_skill,
            teacher=task.teacher,
        )
        return rl.online_rounds(
            rl.offline_trials(environment, behaviour, n=self.offline_trials),
            capacity=self.capacity,
            offline_rounds=self.offline_rounds,
            updates=self.updates,
            windows=self.windows,
            context=self.context,
        )

    def optimiser(self, outer: Any) -> optax.GradientTransformation:
        """The outer optimiser, which takes several steps at each round, and the dual's own."""
        slower = {
            "steps": self.updates * outer.steps,
            "warm_up": self.updates * outer.warm_up,
            "halve_every": self.updates * outer.halve_every,
        }
        return optax.partition(
            {
                "net": dataclasses.replace(outer, **slower).build(),
                "dual": optax.adam(self.dual_rate),
            },
            {"policy": "net", "head": "net", "log_temperature": "dual"},
        )
