"""Tasks shared among devices; parameters replicated."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxmeta.learner import Params


def over_devices(summed: Callable, devices: int) -> Callable:
    """Runs `summed(params, keys) -> tree of sums` with the keys shared among devices.

    Each device sums over its own tasks, then the sums are added up. With several processes it is
    `devices` of each of them.
    """
    of_all = [
        [device for device in jax.devices() if device.process_index == process][:devices]
        for process in range(jax.process_count())
    ]
    mesh = Mesh(np.array(of_all).ravel(), ("tasks",))

    def on_each(params: Params, keys: jax.Array) -> Any:
        return jax.lax.psum(summed(params, keys), "tasks")

    # Not check_vma=True: it sums gradients with respect to replicated parameters over the mesh, the
    # inner ones of MAML included, which mixes the tasks of all devices.
    return jax.shard_map(
        on_each, mesh=mesh, in_specs=(P(), P("tasks")), out_specs=P(), check_vma=False
    )
