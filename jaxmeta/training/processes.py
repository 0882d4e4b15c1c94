"""What the processes of one run say to each other; with one process, nothing."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

# Seconds after which a process that no longer answers counts as lost, and the others stop.
HEARTBEAT = int(os.environ.get("JAXMETA_HEARTBEAT", "20"))
SHUTDOWN = 3600  # the others wait at their end for the first one's meta-test


def join(coordinator: str, process: int | None = None, processes: int | None = None) -> None:
    """Makes this process one of several that train together; before JAX first computes.

    Args:
      coordinator: "auto" where JAX finds the others by itself (Slurm, Open MPI, Kubernetes, TPU
        pods), or `host:port` of process 0, the same for all.
      process: number of this process, `0..processes-1`; with `host:port` only.
      processes: how many there are; with `host:port` only.

    Raises:
      ValueError: an argument is missing or too many, or no cluster is found.
    """
    by_hand = coordinator != "auto"
    for name, number in (("process", process), ("processes", processes)):
        if by_hand and number is None:
            raise ValueError(f"{name} must be given with a coordinator host:port.")
        if not by_hand and number is not None:
            raise ValueError(f"{name} is found by itself with 'auto', got {number}.")
    if by_hand and not 0 <= (process or 0) < (processes or 0):
        raise ValueError(f"process must be in 0..{(processes or 0) - 1}, got {process}.")
    if by_hand and not coordinator.rpartition(":")[2].isdecimal():
        raise ValueError(f"distributed must be 'auto' or host:port, got {coordinator!r}.")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator if by_hand else None,
            processes,
            process,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except ValueError as error:
        raise ValueError(
            f"distributed='auto' finds no cluster here ({error}); give host:port, process and "
            "processes."
        ) from error


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def from_first(tree: Any) -> Any:
    """The arrays of process 0, for all."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(jnp.asarray, multihost_utils.broadcast_one_to_all(tree))


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def local(tree: Any) -> Any:
    """This process's copy of replicated arrays."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: jnp.asarray(leaf.addressable_data(0)), tree)
