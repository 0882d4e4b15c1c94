"""What holds of an agent that says nothing else."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.parts import Built
from jaxmeta.training import init_state


class Acting(Method):
    """An agent: `build(net, task)`."""

    family = "agents"
    acts = True
    adapts = False  # by inner steps
    tasks_at_test = 200  # together, by vmap
    scored_by: Callable | None = None  # in place of the domain's
    build: Any
    make_step: Any

    def assemble(self, net: Any, domain: Any) -> Built:
        """The agent on a net, in an environment."""
        agent = self.build(net, domain)
        make_step, first_state = self.training(domain)
        return Built(
            agent,
            agent,
            lambda _: agent,
            range(0),
            optimiser=self.optimiser,
            make_step=make_step,
            init_state=first_state,
            score=self.metric,
            scored_by=self.scored_by,
            spreads=self.adapts,
        )

    def training(self, task: Any) -> tuple[Callable, Callable]:
        """The outer update and the first state."""
        del task
        return self.make_step(), init_state

    def optimiser(self, outer: Any) -> optax.GradientTransformation:
        """The outer optimiser."""
        return outer.build()

    def measured(self, metric: Any) -> str:
        """What `metric` gives of a task, in words."""
        return f"{metric.name} of a trial"

    def metric(self, returns: jax.Array) -> jax.Array:
        """Of a trial."""
        return jnp.sum(returns)
