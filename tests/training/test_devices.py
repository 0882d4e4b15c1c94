import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.training import init_state, make_step
from jaxmeta.training.step import task_keys


def test_one_learner_of_each_family_on_two_and_eight_devices():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("on_devices.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ
        | {
            # Unoptimised programs compile in a third of the time, and compute the same.
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8 "
            "--xla_backend_optimization_level=0",
            "NPROC": "16",
            "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        },
    )
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == 8
    # Sums of eight float32 numbers in another order, over three steps.
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.parametrize("devices", [1, 2])
def test_each_device_draws_the_episodes_of_its_own_indices(devices):
    """A learner whose gradient is the sum over tasks of a number that tells its episode."""
    sample = jaxmeta.tasks.sinusoid(k_shot=2, q_queries=2)

    def loss(params, key, episode):
        return params * episode.query.x.sum(), episode.query.y

    learner = jaxmeta.Learner(lambda key, episode: jax.numpy.zeros(()), None, None, loss)
    state = init_state(jax.random.key(0), learner, optax.sgd(1.0), sample)
    step = make_step(learner, optax.sgd(1.0), sample, meta_batch_size=4, devices=devices)
    state, _ = step(state, jax.random.key(1))
    tasks = [sample(task_keys(jax.random.key(1), 0, i)[0]).query.x.sum() for i in range(4)]
    np.testing.assert_allclose(state.params, -np.mean(tasks), rtol=1e-5)
