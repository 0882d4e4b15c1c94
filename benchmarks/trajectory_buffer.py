"""Windows and updates per second of `rl.TrajectoryBuffer` with a million transitions.

    python benchmarks/trajectory_buffer.py

A buffer of 1000 trajectories of 1000 steps, observations of 17 and actions of 6 numbers, as
half-cheetahs have them:

    bytes        those that the buffer states, and what the process grew by when it was made
    windows      drawn per second, 256 at once, of 20 steps each, returns to go summed in hindsight
    insertions   of a trajectory per second, in place
    updates      gradient steps per second of `rl.online_decision_transformer`, each on 64 windows
                 of 20 steps: a transformer of 2 layers 64 wide, squashed Gaussian, the dual too

Medians over rounds, without compilation, go to `benchmarks/results/trajectory_buffer.json`.
Takes a minute or two on two cores; other work on the machine makes the numbers smaller.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from jaxmeta import rl
from jaxmeta.rl.distributions import Continuous
from jaxmeta.rl.environment import Environment, Step

RESULT = Path(__file__).parent / "results/trajectory_buffer.json"
TRAJECTORIES, STEPS, OBSERVATION, ACTION = 1000, 1000, 17, 6
WINDOWS, UPDATE_WINDOWS, CONTEXT, UPDATES = 256, 64, 20, 10


def standing_still():
    """An environment of those sizes; the benchmark does not act in it."""

    def reset(key, task):
        del key, task
        return (), jnp.zeros(OBSERVATION)

    def step(key, state, action, task):
        del key, action, task
        return Step(state, jnp.zeros(OBSERVATION), jnp.zeros(()), jnp.array(False))

    return Environment(lambda key: (), reset, step, Continuous(ACTION), STEPS)


def given(key, n):
    """Trajectories of random numbers."""
    keys = jax.random.split(key, 3)
    reward = jax.random.normal(keys[0], (n, STEPS))
    return rl.Trajectory(
        jax.random.normal(keys[1], (n, STEPS, OBSERVATION + 1)),
        jnp.tanh(jax.random.normal(keys[2], (n, STEPS, ACTION))),
        reward,
        reward,
        jnp.full(n, STEPS, jnp.int32),
    )


def per_second(run, amount, rounds):
    """Median over rounds of an amount of work by `run(round)`."""
    jax.block_until_ready(run(0))
    rates = []
    for number in range(1, rounds + 1):
        started = time.perf_counter()
        jax.block_until_ready(run(number))
        rates.append(amount / (time.perf_counter() - started))
    return round(statistics.median(rates), 1)


def resident():
    """Bytes of this process, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    key = jax.random.key(0)
    new = jax.block_until_ready(given(key, 1))
    before = resident()
    buffer = rl.TrajectoryBuffer.filled(new, TRAJECTORIES)
    insert = jax.jit(rl.TrajectoryBuffer.insert, donate_argnums=0)
    insert_all = jax.jit(
        lambda buffer: jax.lax.fori_loop(0, TRAJECTORIES, lambda _, b: b.insert(new), buffer),
        donate_argnums=0,
    )
    buffer = jax.block_until_ready(insert_all(buffer))
    grown = resident() - before

    def put(number):
        nonlocal buffer
        del number
        buffer = insert(buffer, new)
        return buffer

    insertions = per_second(put, 1, rounds)

    @jax.jit
    def draw(buffer, key):
        return buffer.sample(key, n=WINDOWS, length=CONTEXT)

    windows = per_second(lambda number: draw(buffer, jax.random.key(number)), WINDOWS, rounds)

    world = standing_still()
    policy = rl.transformer(width=64, layers=2, heads=2, context=3 * CONTEXT)
    agent = rl.online_decision_transformer(policy, world, target_return=1.0)
    tx = optax.adam(1e-4)
    training = rl.online_rounds(
        lambda key: new,
        capacity=TRAJECTORIES,
        offline_rounds=2**30,
        updates=UPDATES,
        windows=UPDATE_WINDOWS,
        context=CONTEXT,
    )
    state = training.init_state(key, agent, tx, world.sample)._replace(buffer=buffer)
    step = training.make_step(agent, tx, world.sample, meta_batch_size=1)

    def learn(number):
        nonlocal state
        state, info = step(state, jax.random.key(number))
        return info

    result = {
        "transitions": TRAJECTORIES * STEPS,
        "bytes_stated": buffer.nbytes,
        "bytes_grown": grown,
        "windows_per_second": windows,
        "insertions_per_second": insertions,
        "updates_per_second": per_second(learn, UPDATES, max(rounds // 4, 1)),
        "rounds": rounds,
        "backend": jax.default_backend(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "machine": platform.machine(),
        "jax": jax.__version__,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
