"""What the steps of agents share: acting in a batch of tasks, devices, compilation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxmeta.doors import check_optimiser, check_sample
from jaxmeta.rl.agent import Agent, Batch
from jaxmeta.training.step import check_counts, checked
from jaxmeta.training.tracing import jit_passing_constants


def check(*, tx: Any, sample: Any, tasks_at_once: int | None, **counts: int) -> None:
    """Refuses what agents cannot train with; the arguments are those of `make_step`.

    Raises:
      ValueError: there are several processes, `tasks_at_once` is given, or as `check_counts`.
      TypeError: `tx` is not an optimiser, or `sample` not a function.
    """
    check_optimiser(tx)
    check_sample(sample)
    if jax.process_count() > 1:
        raise ValueError(f"agents train in one process, got {jax.process_count()}.")
    if tasks_at_once is not None:
        raise ValueError(f"tasks_at_once must be None for agents, got {tasks_at_once}.")
    check_counts(**counts)


def act(
    agent: Agent, params: Any, sample: Callable, key: jax.Array, n: int, shared: Callable
) -> Batch:
    """Acts in the n tasks of a step, whose key is `key`; a leading axis `[n]`."""

    def one(number):
        key_task, key_agent = jax.random.split(jax.random.fold_in(key, number))
        return agent.collect(params, key_agent, sample(key_task))

    numbers = shared(jnp.arange(n))
    return shared(jax.lax.stop_gradient(jax.vmap(one)(numbers)))


def apply_gradients(
    tx: optax.GradientTransformation, grads: Any, params: Any, opt_state: Any
) -> tuple[Any, Any]:
    """Parameters and state of the optimiser after a step."""
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def compiled(meta_step: Callable, *, steps_per_call: int, devices: int) -> Callable:
    """From `(state, key) -> (state, info)` of one step to the same of several, compiled.

    The state given in is donated.
    """

    def steps(state, key):
        return jax.lax.scan(lambda s, _: meta_step(s, key), state, length=steps_per_call)

    run = jit_passing_constants(steps, donate_argnums=0)
    if devices == 1:
        return checked(run)
    everywhere = NamedSharding(_mesh(devices), P())
    # From the first call on where later ones have it, or the second would compile anew.
    return checked(lambda state, key: run(jax.device_put(state, everywhere), key))


def sharing(devices: int) -> Callable:
    """`(tree, axis=0) -> tree`: spreads that axis over local devices."""
    if devices == 1:
        return lambda tree, axis=0: tree
    mesh = _mesh(devices)

    def shared(tree, axis=0):
        sharding = NamedSharding(mesh, P(*[None] * axis, "tasks"))
        return jax.lax.with_sharding_constraint(tree, sharding)

    return shared


def _mesh(devices):
    return Mesh(np.array(jax.local_devices()[:devices]), ("tasks",))
