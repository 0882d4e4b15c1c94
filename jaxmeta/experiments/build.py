"""From a recipe to the functions that run it."""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jaxmeta import losses, rl, tasks
from jaxmeta.episodes import Sample
from jaxmeta.experiments.domains.environments import Worlds
from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.domains.regression import GaussianProcess, Quadratic
from jaxmeta.experiments.domains.streams import Streams
from jaxmeta.experiments.methods.gradient import LearnedOptimizer, MamlPlusPlus, Reptile
from jaxmeta.experiments.methods.hyper import OnePass
from jaxmeta.experiments.methods.in_context import DecisionPretrained, OnlineDecisionTransformer
from jaxmeta.experiments.methods.memory import Mann, MetaNetworks, Snail
from jaxmeta.experiments.methods.metric import METRIC
from jaxmeta.experiments.methods.reinforcement import MamlRl
from jaxmeta.experiments.nets import Augmented, Conv4, RelationMaps, SigmoidUnits
from jaxmeta.experiments.recipe import Agents, Recipe, check_choices, check_numbers
from jaxmeta.learners.gradient import counting_steps
from jaxmeta.training import Validation, init_state, make_evaluate, make_evaluate_stream, make_step

STREAMS_AT_ONCE = 20  # in an evaluation, by vmap


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


def build(recipe: Recipe) -> Experiment:
    """Loads the data and builds learner, tasks and outer optimiser.

    Raises:
      ValueError: values of the recipe that do not fit each other or the data.
      FileNotFoundError: the data set's files are not there.
    """
    check_numbers(recipe)
    check_choices(recipe)
    recipe.outer.check()
    for name in ("test_episodes", "curve_episodes"):
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name} must be >= 1, got {getattr(recipe, name)}.")
    if isinstance(recipe.task, Worlds):
        return _acting(recipe)
    if isinstance(recipe.task, Images):
        meta_train, meta_val, meta_test = _image_samples(recipe.task)
        n_outputs, loss_fn = recipe.task.n_way, optax.softmax_cross_entropy
        metric, is_better = losses.accuracy, float.__gt__
    elif isinstance(recipe.task, Streams):
        meta_train, meta_val, meta_test = _stream_samples(recipe.task)
        n_outputs = 0  # The width of the labels, whatever the learner is told.
        loss_fn = (
            losses.letters_cross_entropy if recipe.task.strings else optax.softmax_cross_entropy
        )
        metric, is_better = recipe.task.is_right, float.__gt__
    else:
        sample = _sinusoid_samples
        if isinstance(recipe.task, Quadratic):
            sample = _quadratic_samples
        elif isinstance(recipe.task, GaussianProcess):
            sample = _gaussian_process_samples
        meta_train, meta_val, meta_test = sample(recipe.task)
        n_outputs, loss_fn = 1, optax.squared_error
        metric, is_better = losses.squared_error, float.__lt__
    learner, at_test, after, inner_steps = _learners(recipe, n_outputs, loss_fn)
    outer, counts = recipe.outer, isinstance(recipe.learner, MamlPlusPlus)
    has_convolutions = isinstance(recipe.net, Conv4 | RelationMaps | SigmoidUnits | Augmented)
    in_turn = has_convolutions and jax.default_backend() == "cpu"
    return Experiment(
        learner=learner,
        at_test=at_test,
        after=after,
        inner_steps=inner_steps,
        tx=counting_steps(outer.build()) if counts else outer.build(),
        meta_train=meta_train,
        validation=Validation(
            meta_val,
            every=outer.validate_every,
            n_episodes=outer.validation_episodes,
            metric=metric,
            is_better=is_better,
            learner=at_test,
            make_evaluate=_evaluate_streams if isinstance(recipe.task, Streams) else make_evaluate,
        ),
        meta_test=meta_test,
        metric=metric,
        # Convolutions under per-task weights: in turn on the CPU, each core with its own tasks.
        tasks_at_once=1 if in_turn else None,
        devices=_devices(outer.meta_batch_size) if in_turn else 1,
    )


def _devices(meta_batch_size):
    """As many devices of each process as the tasks can be shared among."""
    return math.gcd(jax.local_device_count(), max(meta_batch_size // jax.process_count(), 1))


def _acting(recipe):
    config, task, outer = recipe.learner, recipe.task, recipe.outer
    if not isinstance(config, Agents):
        raise ValueError(f"{task.setting} is for agents, got {type(config).__name__}.")
    agent, sample = config.build(recipe.net, task), task.build().sample
    rounds = config.rounds(task) if isinstance(config, OnlineDecisionTransformer) else None
    is_maml = isinstance(config, MamlRl) and jax.default_backend() == "cpu"
    return Experiment(
        learner=agent,
        at_test=agent,
        after=lambda _: agent,
        inner_steps=range(0),
        tx=config.optimiser(outer),
        meta_train=sample,
        validation=Validation(
            sample,
            every=outer.validate_every,
            n_episodes=outer.validation_episodes,
            metric=config.metric,
            # Of a posterior the likelihood is the measure: see rl.make_evaluate_likelihood.
            make_evaluate=rl.make_evaluate_likelihood
            if isinstance(config, DecisionPretrained)
            else rl.make_evaluate_returns,
        ),
        meta_test={task.setting: sample},
        metric=config.metric,
        tasks_at_once=None,
        # Measured on two cores: twice as fast for MAML, slower for the small steps of a memory.
        devices=_devices(outer.meta_batch_size) if is_maml else 1,
        make_step=rounds.make_step if rounds else config.make_step(),
        init_state=rounds.init_state if rounds else init_state,
    )


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


def _learners(recipe, n_outputs, loss_fn):
    config = recipe.learner
    if isinstance(config, METRIC):
        learner = config.build(recipe.net.build(None))
        return learner, learner, lambda _: learner, range(0)
    if isinstance(config, OnePass | Mann | Snail | MetaNetworks):
        learner = config.build(recipe.net, n_outputs, loss_fn)
        return learner, learner, lambda _: learner, range(0)
    net = recipe.net.build(n_outputs)
    if isinstance(config, Reptile):
        learner = config.build(net, loss_fn, config.inner_steps, config.inner_batch)

        def after(inner_steps):
            return config.build(net, loss_fn, inner_steps, config.test_inner_batch)
    else:
        learner = config.build(net, loss_fn, config.inner_steps)

        def after(inner_steps):
            return config.build(net, loss_fn, inner_steps)

    least = 1 if isinstance(config, MamlPlusPlus | LearnedOptimizer) else 0
    last = config.test_inner_steps
    return learner, after(last), after, range(least, last + 1)


def _sinusoid_samples(task):
    meta_train = tasks.sinusoid(k_shot=task.k_shot, q_queries=task.q_queries)
    shots = dict.fromkeys([task.test_k_shot, 5, 10, 20])
    meta_test = {
        f"{k_shot}-shot": tasks.sinusoid(k_shot=k_shot, q_queries=task.test_q_queries)
        for k_shot in shots
    }
    return meta_train, next(iter(meta_test.values())), meta_test


def _quadratic_samples(task):
    sample = tasks.quadratic(task.dimension)
    return sample, sample, {f"{task.dimension} unknowns": sample}


def _gaussian_process_samples(task):
    shots = (task.least_k_shot, task.most_k_shot)
    sample = tasks.gaussian_process(k_shot=shots, q_queries=task.q_queries)
    return sample, sample, {f"{shots[0]} to {shots[1]}-shot": sample}


def _stream_samples(task):
    splits = task.splits()
    meta_test = task.sample(splits.meta_test, training=False)
    return (
        task.sample(splits.meta_train, training=True),
        task.sample(splits.meta_val, training=False),
        {task.setting: meta_test},
    )


def _evaluate_streams(learner, sample, *, n_episodes, metric):
    return make_evaluate_stream(
        learner, sample, n_episodes=n_episodes, is_right=metric, episodes_at_once=STREAMS_AT_ONCE
    )


def _image_samples(task):
    splits = task.splits()
    meta_train = tasks.episodes(
        splits.meta_train,
        n_way=task.train_n_way,
        k_shot=task.train_k_shot,
        q_queries=task.train_q_queries,
        unlabelled=task.unlabelled,
        rotations=task.rotations,
    )
    meta_val, meta_test = (
        tasks.episodes(
            split,
            n_way=task.n_way,
            k_shot=task.k_shot,
            q_queries=task.q_queries,
            unlabelled=task.unlabelled,
            rotations=task.rotations,
        )
        for split in (splits.meta_val, splits.meta_test)
    )
    setting = f"{task.n_way}-way {task.k_shot}-shot"
    if task.unlabelled:
        setting += f", {task.unlabelled} unlabelled"
    return meta_train, meta_val, {setting: meta_test}
