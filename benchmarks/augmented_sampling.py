"""What augmentation costs: sampling a meta-batch with it and without, against a Conv4 meta-step.

    python benchmarks/augmented_sampling.py

MAML on Conv4-64, second order, 5 inner steps, 5-way 1-shot with 15 queries per class, 4 tasks. At
32x32 in colour (CIFAR-FS): crop, flip and colour jitter; at 28x28 grey (Omniglot): affine maps of
Koch et al. 2015. Each side is timed as a whole step with its sampling inside, in turn, and the
sampling alone as well; medians over repetitions. Writes
`benchmarks/results/augmented_sampling.json`. Takes some minutes; run it on a machine that does
nothing else, as its aim is a share below 10%.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import jax
import numpy as np
import optax

import jaxmeta
from jaxmeta import tasks
from jaxmeta.datasets import ClassData

OUT = Path(__file__).parent / "results" / "augmented_sampling.json"
SHAPE = {"n_way": 5, "k_shot": 1, "q_queries": 15}
META_BATCH, INNER_STEPS = 4, 5
SETTINGS = {
    "colour 32x32, crop, flip, jitter": (
        (32, 32, 3),
        tasks.augment(tasks.random_crop(padding=4), tasks.random_flip(), tasks.colour_jitter()),
    ),
    "colour 32x32, crop, flip, jitter, erasing": (
        (32, 32, 3),
        tasks.augment(
            tasks.random_crop(padding=4),
            tasks.random_flip(),
            tasks.colour_jitter(),
            tasks.random_erasing(),
        ),
    ),
    "grey 28x28, affine": ((28, 28, 1), tasks.random_affine()),
}


def data(shape):
    """Noise: what pictures show makes no difference to the time."""
    images = np.random.default_rng(0).integers(0, 256, (64 * 20, *shape), np.uint8)
    return ClassData(images, np.full(64, 20), tuple(map(str, range(64))))


def seconds(call, repetitions):
    call(0)  # Compiled before.
    taken = []
    for number in range(1, repetitions + 1):
        start = time.perf_counter()
        jax.block_until_ready(call(number))
        taken.append(time.perf_counter() - start)
    return taken


def sampling(sample):
    many = jax.jit(jax.vmap(sample))
    return lambda number: many(jax.random.split(jax.random.key(number), META_BATCH))


def stepping(sample):
    learner = jaxmeta.maml(
        jaxmeta.networks.conv4(SHAPE["n_way"], width=64),
        rule=jaxmeta.rules.sgd(0.01),
        inner_steps=INNER_STEPS,
    )
    tx = optax.adam(1e-3)
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=META_BATCH)

    def call(number):
        nonlocal state
        state, info = step(state, jax.random.key(number))
        return info

    return call


def measure(shape, augment, repetitions):
    images = data(shape)
    samplers = {
        "plain": tasks.episodes(images, **SHAPE),
        "augmented": tasks.episodes(images, **SHAPE, augment=augment),
    }
    found = {}
    for name, sample in samplers.items():
        found[f"sampling, {name}"] = statistics.median(seconds(sampling(sample), 10 * repetitions))
    steps = {name: stepping(sample) for name, sample in samplers.items()}
    taken = {name: [] for name in steps}
    for _ in range(2):  # In turn, so that a change of the machine's pace meets both.
        for name, call in steps.items():
            taken[name] += seconds(call, repetitions)
    for name, times in taken.items():
        found[f"meta-step, {name}"] = statistics.median(times)
    extra = found["sampling, augmented"] - found["sampling, plain"]
    found["share of the meta-step"] = extra / found["meta-step, plain"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found = {}
    for name, (shape, augment) in SETTINGS.items():
        found[name] = measure(shape, augment, arguments.repetitions)
        print(name)
        for what, value in found[name].items():
            print(
                f"  {what}: {value:.2%}" if "share" in what else f"  {what}: {value * 1e3:.2f} ms"
            )
    result = {
        "command": f"python benchmarks/augmented_sampling.py --repetitions {arguments.repetitions}",
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "jax": jax.__version__,
        "seconds": found,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
