"""The one jitted meta-step, for every learner."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.doors import (
    check_key,
    check_learner,
    check_optimiser,
    check_sample,
    check_state,
)
from jaxmeta.episodes import Loaded, Sample
from jaxmeta.learner import Key, Params, Trainable
from jaxmeta.losses import wide
from jaxmeta.training.sharding import over_devices
from jaxmeta.training.tracing import jit_passing_constants


class MetaState(NamedTuple):
    """What the next meta-step needs."""

    params: Any
    opt_state: Any
    step: jax.Array  # int32, meta-steps done


class StepInfo(NamedTuple):
    """What a human needs; a leading axis `[steps_per_call]` from `make_step`."""

    loss: jax.Array  # mean query loss over the meta-batch
    grad_norm: jax.Array  # global norm of the meta-gradient
    is_skipped: jax.Array  # bool: one of the two is not finite, and the step changed nothing


def task_keys(key: jax.Array, step: jax.Array | int, i: jax.Array | int) -> jax.Array:
    """The keys `[2]` of episode and learner of task i in a step."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), i))


def global_norm(grads: Any) -> jax.Array:
    """Root of the sum of all squares, in float32 or better."""
    return optax.tree.norm(jax.tree.map(wide, grads))


def init_state(
    key: jax.Array, learner: Trainable, tx: optax.GradientTransformation, sample: Sample
) -> MetaState:
    """Meta-parameters and optimiser state before the first step; the task fixes shapes only.

    Args:
      key: seed of the parameters.
      learner: any learner or agent.
      tx: outer optimiser.
      sample: `key -> Episode`, or `key -> Stream`, or of an agent `key -> task`.

    Raises:
      ValueError: an episode's labels are not rows.
      TypeError: `key`, `tx` or `sample` is something else.

    Example:
      >>> import jax, jaxmeta, optax
      >>> sample = jaxmeta.tasks.sinusoid()
      >>> net = jaxmeta.networks.mlp(1, hidden=(8,))
      >>> learner = jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)
      >>> state = jaxmeta.init_state(jax.random.key(0), learner, optax.adam(1e-3), sample)
      >>> int(state.step)
      0
    """
    check_key(key)
    check_learner(learner)
    check_optimiser(tx)
    check_sample(sample)
    key_params, key_episode = jax.random.split(key)
    shapes = jax.eval_shape(sample, key_episode)
    learner.check(shapes)
    # Not a task of the sample: to compile that takes seconds, with all images in the program.
    task = jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), shapes)
    params = jax.tree.map(_of_one_type, jax.jit(learner.init)(key_params, task))
    return MetaState(params, tx.init(params), jnp.zeros((), jnp.int32))


def _of_one_type(leaf: jax.Array) -> jax.Array:
    """The same array without JAX's weak type, which a step would take away: two compilations."""
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def make_step(
    learner: Trainable,
    tx: optax.GradientTransformation,
    sample: Sample,
    *,
    meta_batch_size: int,
    steps_per_call: int = 1,
    tasks_at_once: int | None = None,
    devices: int = 1,
) -> Callable[[MetaState, jax.Array], tuple[MetaState, StepInfo]]:
    """Builds the compiled step `(state, key) -> (state, info)`.

    Episodes are sampled inside, on the device. Task i of step t has the key
    `fold_in(fold_in(key, t), i)` whatever the other arguments, so the same key continues a run. The
    state given in is donated: use the one that comes back. A step whose loss or meta-gradient is
    not finite changes nothing, so the state that comes back is the one before it, and says so in
    `StepInfo.is_skipped`.

    Args:
      learner: any learner; its `loss` is differentiated. Of an agent that is one step along its
        policy gradient, or towards given actions: `rl.a2c()`, `rl.ppo()`, `rl.trpo()` and
        `rl.imitation()` are the updates made for agents.
      tx: outer optimiser.
      sample: `key -> Episode`, jittable; or `Loaded` episodes, of which step t takes those from
        `t * meta_batch_size` on. For learners such as `mann` `key -> Stream`, for an agent `key ->
        task`.
      meta_batch_size: tasks per meta-step.
      steps_per_call: meta-steps in one call, in one `lax.scan`.
      tasks_at_once: the task axis. None batches all tasks by `vmap` (fastest for MLPs and on
        GPUs); 1 runs them in turn, each with its backward pass, in the memory of one task (fastest
        for convolutional nets on the CPU); n runs chunks of n.
      devices: share the tasks among this many devices of each process; parameters are replicated.

    Raises:
      ValueError: a number is below 1; `tasks_at_once` times `devices` times processes does not
        divide `meta_batch_size`; there are fewer devices; or, when called, an episode's labels are
        not rows, or the state was given to a step before.
      TypeError: `tx`, `sample`, or, when called, the state or the key is something else.

    Example:
      >>> import jax, jaxmeta, optax
      >>> sample = jaxmeta.tasks.sinusoid()
      >>> net = jaxmeta.networks.mlp(1, hidden=(8,))
      >>> learner = jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)
      >>> tx = optax.adam(1e-3)
      >>> step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=4)
      >>> state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
      >>> state, info = step(state, jax.random.key(1))
      >>> int(state.step), info.loss.shape
      (1, (1,))
    """
    check_learner(learner)
    check_optimiser(tx)
    check_sample(sample)
    check_counts(
        meta_batch_size=meta_batch_size,
        steps_per_call=steps_per_call,
        devices=devices,
        tasks_at_once=tasks_at_once,
    )
    prepare = sample.prepare if isinstance(sample, Loaded) else None
    shares = devices * jax.process_count()
    chunk = meta_batch_size // shares if tasks_at_once is None else tasks_at_once

    def task_loss(params: Params, task: Any) -> jax.Array:
        (key_episode, key_learner), episode = task
        episode = prepare(episode) if prepare and episode is not None else sample(key_episode)
        learner.check(episode)
        return wide(learner.loss(params, key_learner, episode)[0])

    def chunk_loss(params: Params, tasks: Any) -> jax.Array:
        if chunk == 1:
            return task_loss(params, jax.tree.map(lambda leaf: leaf[0], tasks))
        return jnp.sum(jax.vmap(task_loss, (None, 0))(params, tasks))

    def value_and_grad(params: Params, tasks: Any) -> tuple[jax.Array, Any]:
        """Sums over a chunk, in float32 or better."""
        if chunk > 1 and any(leaf.dtype.itemsize < 4 for leaf in jax.tree.leaves(params)):
            # One gradient sums over tasks in the type of the parameters, where many overflow.
            each = jax.vmap(jax.value_and_grad(task_loss), (None, 0))(params, tasks)
            return jax.tree.map(lambda leaf: jnp.sum(wide(leaf), 0), each)
        return jax.tree.map(wide, jax.value_and_grad(chunk_loss)(params, tasks))

    def summed_loss_and_grads(params: Params, tasks: Any) -> tuple[jax.Array, Any]:
        """`tasks` are keys `[tasks of this device, 2]` and their episodes."""
        if len(tasks[0]) == chunk:
            return value_and_grad(params, tasks)

        def add_chunk(total: Any, tasks: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, value_and_grad(params, tasks)), None

        chunks = jax.tree.map(lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), tasks)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(value_and_grad, params, first))
        return jax.lax.scan(add_chunk, zeros, chunks)[0]

    if shares > 1:
        summed_loss_and_grads = over_devices(summed_loss_and_grads, devices)

    def meta_step(state: MetaState, key: Key, episodes: Any) -> tuple[MetaState, StepInfo]:
        keys = jax.vmap(lambda i: task_keys(key, state.step, i))(jnp.arange(meta_batch_size))
        total = summed_loss_and_grads(state.params, (keys, episodes))
        loss, grads = jax.tree.map(lambda leaf: leaf / meta_batch_size, total)
        norm = global_norm(grads)  # Before the cast: squares of 16-bit numbers overflow.
        grads = jax.tree.map(lambda grad, leaf: grad.astype(leaf.dtype), grads, state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        new = MetaState(optax.apply_updates(state.params, updates), opt_state, state.step + 1)
        is_finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        info = StepInfo(loss, norm, ~is_finite)
        return jax.tree.map(lambda n, old: jnp.where(is_finite, n, old), new, state), info

    def steps(state: MetaState, key: Key, episodes: Any = None) -> tuple[MetaState, StepInfo]:
        return jax.lax.scan(lambda s, e: meta_step(s, key, e), state, episodes, steps_per_call)

    compiled = jit_passing_constants(steps, donate_argnums=0)
    if isinstance(sample, Loaded):
        return checked(_with_episodes(compiled, sample, steps_per_call, meta_batch_size))
    return checked(compiled)


def checked(step: Callable) -> Callable:
    """The same step, which looks at state and key before anything is compiled."""

    def call(state: MetaState, key: Key) -> tuple[MetaState, StepInfo]:
        check_state(state)
        check_key(key)
        return step(state, key)

    return call


def _with_episodes(
    compiled: Callable, loaded: Loaded, steps_per_call: int, meta_batch_size: int
) -> Callable:
    """Hands each call the episodes of its steps, which are read ahead."""
    batches: Iterator[Any] = iter(())
    position: int | None = None

    def step(state: MetaState, key: Key) -> tuple[MetaState, StepInfo]:
        nonlocal batches, position
        if isinstance(state.step, jax.core.Tracer):
            raise TypeError(
                "a step over loaded episodes reads them from disk: it cannot be part of another "
                "jit, scan or vmap; call it by itself."
            )
        now = int(state.step)
        if now != position:  # The first call, or another state than the last call's.
            batches = loaded.batches(now * meta_batch_size, steps_per_call * meta_batch_size)
        position = now + steps_per_call
        shape = (steps_per_call, meta_batch_size)
        episodes = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), next(batches))
        return compiled(state, key, episodes)

    return step


def check_counts(
    *,
    meta_batch_size: int,
    steps_per_call: int,
    devices: int,
    tasks_at_once: int | None = None,
    minibatches: int = 1,
) -> None:
    """Refuses what cannot be shared out evenly; the arguments are those of `make_step`.

    Raises:
      ValueError: a number is below 1; the product of `tasks_at_once`, `minibatches`, `devices` and
        processes does not divide `meta_batch_size`; or there are fewer devices.
    """
    parts = {
        "tasks_at_once": 1 if tasks_at_once is None else tasks_at_once,
        "minibatches": minibatches,
        "devices": devices,
        "processes": jax.process_count(),
    }
    counts = {"meta_batch_size": meta_batch_size, "steps_per_call": steps_per_call} | parts
    at_least(1, **counts)
    if meta_batch_size % math.prod(parts.values()):
        product = " * ".join(f"{name} {number}" for name, number in parts.items() if number > 1)
        raise ValueError(f"{product} must divide meta_batch_size, got {meta_batch_size}.")
    if devices > jax.local_device_count():
        raise ValueError(
            f"devices must be at most the {jax.local_device_count()} local devices, got {devices}."
        )
