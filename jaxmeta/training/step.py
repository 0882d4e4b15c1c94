"""The one jitted meta-step, for every learner."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Episode, Learner
from jaxmeta.training.constants import hoist_constants
from jaxmeta.training.sharding import over_devices

Sample = Callable[[jax.Array], Episode]


class MetaState(NamedTuple):
    """What the next meta-step needs."""

    params: Any
    opt_state: Any
    step: jax.Array  # int32, meta-steps done


class StepInfo(NamedTuple):
    """What a human needs; a leading axis `[steps_per_call]` from `make_step`."""

    loss: jax.Array  # mean query loss over the meta-batch
    grad_norm: jax.Array  # global norm of the meta-gradient


def task_keys(key: jax.Array, step: jax.Array | int, i: jax.Array | int) -> jax.Array:
    """The keys `[2]` of episode and learner of task i in a step."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), i))


def init_state(
    key: jax.Array, learner: Learner, tx: optax.GradientTransformation, sample: Sample
) -> MetaState:
    """Meta-parameters and optimiser state before the first step; the episode fixes shapes only."""
    key_params, key_episode = jax.random.split(key)
    params = jax.jit(learner.init)(key_params, jax.jit(sample)(key_episode))
    return MetaState(params, tx.init(params), jnp.zeros((), jnp.int32))


def make_step(
    learner: Learner,
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
    not finite changes nothing, so the state that comes back is the one before it.

    Args:
      learner: any learner; its `loss` is differentiated.
      tx: outer optimiser.
      sample: `key -> Episode`, jittable.
      meta_batch_size: tasks per meta-step.
      steps_per_call: meta-steps in one call, in one `lax.scan`.
      tasks_at_once: the task axis. None batches all tasks by `vmap` (fastest for MLPs and on
        GPUs); 1 runs them in turn, each with its backward pass, in the memory of one task (fastest
        for convolutional nets on the CPU); n runs chunks of n.
      devices: share the tasks among this many devices of each process; parameters are replicated.

    Raises:
      ValueError: a number is below 1; `tasks_at_once` times `devices` times processes does not
        divide `meta_batch_size`; or there are fewer devices.
    """
    _check(meta_batch_size, steps_per_call, tasks_at_once, devices)
    shares = devices * jax.process_count()
    chunk = meta_batch_size // shares if tasks_at_once is None else tasks_at_once

    def chunk_loss(params, keys):
        def task_loss(keys):
            key_episode, key_learner = keys
            return learner.loss(params, key_learner, sample(key_episode))[0]

        if chunk == 1:
            return task_loss(keys[0])
        return jnp.sum(jax.vmap(task_loss)(keys))

    def summed_loss_and_grads(params, keys):  # keys [tasks of this device, 2]
        value_and_grad = jax.value_and_grad(chunk_loss)
        if len(keys) == chunk:
            return value_and_grad(params, keys)

        def add_chunk(total, keys):
            return jax.tree.map(jnp.add, total, value_and_grad(params, keys)), None

        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(value_and_grad, params, keys[:chunk]))
        return jax.lax.scan(add_chunk, zeros, keys.reshape(-1, chunk, 2))[0]

    if shares > 1:
        summed_loss_and_grads = over_devices(summed_loss_and_grads, devices)

    def meta_step(state, key):
        keys = jax.vmap(lambda i: task_keys(key, state.step, i))(jnp.arange(meta_batch_size))
        total = summed_loss_and_grads(state.params, keys)
        loss, grads = jax.tree.map(lambda leaf: leaf / meta_batch_size, total)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        new = MetaState(optax.apply_updates(state.params, updates), opt_state, state.step + 1)
        info = StepInfo(loss, optax.tree.norm(grads))
        is_finite = jnp.isfinite(info.loss) & jnp.isfinite(info.grad_norm)
        return jax.tree.map(lambda n, old: jnp.where(is_finite, n, old), new, state), info

    def steps(state, key):
        return jax.lax.scan(lambda s, _: meta_step(s, key), state, length=steps_per_call)

    return hoist_constants(steps, donate_argnums=0)


def _check(meta_batch_size, steps_per_call, tasks_at_once, devices):
    for name, number in (
        ("meta_batch_size", meta_batch_size),
        ("steps_per_call", steps_per_call),
        ("tasks_at_once", 1 if tasks_at_once is None else tasks_at_once),
        ("devices", devices),
    ):
        if number < 1:
            raise ValueError(f"{name} must be >= 1, got {number}.")
    processes = jax.process_count()
    together = (tasks_at_once or 1) * devices * processes
    if meta_batch_size % together:
        names = "tasks_at_once * devices" + (" * processes" if processes > 1 else "")
        raise ValueError(
            f"{names} = {together} must divide meta_batch_size, got {meta_batch_size}."
        )
    if devices > jax.local_device_count():
        raise ValueError(
            f"devices must be at most the {jax.local_device_count()} local devices, got {devices}."
        )
