"""Where a number that is not finite comes from: the step, the task, the operation."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta.episodes import Loaded, Sample
from jaxmeta.learner import Episode, Key, Params, Trainable
from jaxmeta.losses import wide
from jaxmeta.training.step import global_norm, task_keys
from jaxmeta.training.tracing import jit_passing_constants


class TaskNumbers(NamedTuple):
    """Every task of one step."""

    loss: np.ndarray  # [B]
    grad_norm: np.ndarray  # [B]

    def first_not_finite(self) -> int | None:
        """Number of the first task whose loss or gradient is not finite."""
        is_finite = np.isfinite(self.loss) & np.isfinite(self.grad_norm)
        return None if is_finite.all() else int(np.argmin(is_finite))


def look_at_tasks(
    learner: Trainable,
    sample: Sample,
    params: Any,
    key: jax.Array,
    step: int,
    meta_batch_size: int,
) -> TaskNumbers:
    """Loss and meta-gradient of each task of a step by itself; key as for the step."""

    draw = _of_step(sample, step, meta_batch_size)

    def one(params: Params, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        value_and_grad = jax.value_and_grad(_task_loss(learner, draw, key, step, i))
        loss, grads = value_and_grad(params)
        return wide(loss), global_norm(grads)

    def all_tasks(params: Params) -> tuple[jax.Array, jax.Array]:
        return jax.lax.map(lambda i: one(params, i), jnp.arange(meta_batch_size))

    return TaskNumbers(*map(np.asarray, jit_passing_constants(all_tasks)(params)))


def first_bad_operation(
    learner: Trainable,
    sample: Sample,
    params: Any,
    key: jax.Array,
    step: int,
    task: int,
    meta_batch_size: int,
) -> str | None:
    """Runs one task eagerly, every operation checked for NaN, then for infinity.

    Returns what the first bad operation is and the line it was called from; None where there is
    none, as when only the compiled program overflows.
    """
    task_loss = _task_loss(learner, _of_step(sample, step, meta_batch_size), key, step, task)
    for check in (jax.debug_nans, jax.debug_infs):
        with jax.disable_jit(), check(True):
            try:
                jax.value_and_grad(task_loss)(params)
            except FloatingPointError as error:
                return f"{str(error).splitlines()[0].rstrip('.')}, {_line(error)}"
    return None


def _task_loss(learner: Trainable, sample: Callable, key: Key, step: int, i: Any) -> Callable:
    def task_loss(params: Params) -> jax.Array:
        key_episode, key_learner = task_keys(key, step, i)
        return learner.loss(params, key_learner, sample(key_episode, i))[0]

    return task_loss


def _of_step(sample: Sample, step: int, meta_batch_size: int) -> Callable[[Key, Any], Episode]:
    """`(key, i) -> Episode` of task i of a step."""
    if not isinstance(sample, Loaded):
        return lambda key, i: sample(key)
    episodes = jax.tree.map(
        jnp.asarray, next(sample.batches(step * meta_batch_size, meta_batch_size))
    )
    return lambda key, i: sample.prepare(jax.tree.map(lambda leaf: leaf[i], episodes))


def _line(error: Exception) -> str:
    """The innermost line that is not JAX's own."""
    libraries = [str(Path(str(module.__file__)).parent) for module in (jax, optax)]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(frame.filename.startswith(library) for library in libraries)
    ]
    *_, frame = frames
    return f"{frame.filename}:{frame.lineno}: {frame.line}"
