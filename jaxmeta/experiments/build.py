"""From a recipe to the functions that run it."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jaxmeta.checks import at_least
from jaxmeta.episodes import Sample
from jaxmeta.experiments.parts import Domain, Method, NetConfig, Samples, check_part
from jaxmeta.experiments.recipe import Recipe, check_choices, check_numbers
from jaxmeta.training import Validation, init_state, make_step


class Experiment(NamedTuple):
    """A recipe, built."""

    learner: Any  # as trained: a Learner, or of tasks to act in an rl.Agent
    at_test: Any  # as evaluated
    after: Callable[[int], Any]  # as evaluated after that many inner steps
    inner_steps: range  # numbers of them to test after; empty for learners without an inner loop
    tx: optax.GradientTransformation
    meta_train: Sample
    validation: Validation
    meta_test: dict[str, Sample]  # by the name of the setting; the recipe's own comes first
    metric: Callable
    tasks_at_once: int | None
    devices: int
    make_step: Callable = make_step
    init_state: Callable = init_state


def build(recipe: Recipe, samples: Samples | None = None) -> Experiment:
    """Loads the data and builds learner, tasks and outer optimiser.

    Args:
      recipe: what to build.
      samples: tasks that are loaded already; None: those of the recipe's domain.

    Raises:
      ValueError: values of the recipe that do not fit each other or the data.
      TypeError: a part of the user's own lacks something that is asked of it.
      FileNotFoundError: the data set's files are not there.
    """
    check_numbers(recipe)
    check_choices(recipe)
    recipe.outer.check()
    at_least(1, test_episodes=recipe.test_episodes, curve_episodes=recipe.curve_episodes)
    domain, net, method, outer = recipe.task, recipe.net, recipe.learner, recipe.outer
    check_part(domain, Domain, "Domain")
    check_part(net, NetConfig, "Net")
    check_part(method, Method, "Method")
    if domain.acts != method.acts:
        kind = "agents" if domain.acts else "learners of episodes"
        raise ValueError(
            f"{type(domain).__name__} is for {kind}, got {type(method).__name__}: choose a task "
            "and a learner that go together."
        )
    samples = domain.samples() if samples is None else samples
    built = method.assemble(net, domain)
    at_test = built.learner if built.at_test is None else built.at_test
    score = built.score or domain.score
    scored_by: Any = built.scored_by or domain.scored_by
    on_cpu = jax.default_backend() == "cpu"
    # Convolutions under per-task weights: in turn on the CPU, each core with its own tasks.
    in_turn = on_cpu and net.convolves and not domain.acts
    # Agents, measured on two cores: twice as fast for MAML, slower for the small steps of a memory.
    is_spread = in_turn or (on_cpu and domain.acts and built.spreads)
    return Experiment(
        learner=built.learner,
        at_test=at_test,
        after=built.after or (lambda _: at_test),
        inner_steps=built.inner_steps,
        tx=built.optimiser(outer),
        meta_train=samples.meta_train,
        validation=Validation(
            samples.meta_val,
            every=outer.validate_every,
            n_episodes=outer.validation_episodes,
            is_better=domain.metric.is_better,
            learner=at_test,
            score=scored_by(score),
        ),
        meta_test=samples.meta_test,
        metric=score,
        tasks_at_once=1 if in_turn else None,
        devices=_devices(outer.meta_batch_size) if is_spread else 1,
        make_step=built.make_step,
        init_state=built.init_state,
    )


def _devices(meta_batch_size):
    """As many devices of each process as the tasks can be shared among."""
    return math.gcd(jax.local_device_count(), max(meta_batch_size // jax.process_count(), 1))


def use_all_cores() -> None:
    """Makes each processor core a device of its own; before JAX first computes."""
    # With two or more such devices JAX 0.8 to 0.10.2 can hang if its thread pool has no more
    # threads than devices.
    os.environ.setdefault("NPROC", "16")
    jax.config.update("jax_num_cpu_devices", _cores())


def _cores():
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
