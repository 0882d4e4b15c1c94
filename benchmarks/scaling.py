"""Cost of a meta-step against tasks, inner steps, ways and devices.

    python benchmarks/scaling.py

MAML, second order, Conv4-32, 28x28, 1-shot with 15 queries per class, on a device per core: 4
tasks, 5 ways and 5 inner steps where they do not vary. Medians of rounds that go through all points
in turn. The slope is that of the logarithms: 1 where twice as much takes twice as long. Writes
`benchmarks/results/scaling.json` and `.png`. Takes about five minutes on two cores, most of it
compilation; nothing else should run meanwhile.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxmeta
from jaxmeta import experiments
from jaxmeta.command.huge_pages import restart_with_huge_pages

OUT = Path(__file__).parent / "results"
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting."""

    tasks: int = 4
    inner_steps: int = 5
    ways: int = 5
    devices: int = os.cpu_count() or 1


def powers_of_two(most):
    return [2**power for power in range(most.bit_length())]


AXES = {
    "tasks": [2, 4, 8, 16],
    "inner_steps": [1, 2, 5, 10, 20, 50],
    "ways": [2, 5, 10, 20],
    "devices": [number for number in powers_of_two(os.cpu_count() or 1) if 4 % number == 0],
}


def noise(ways):
    """Episodes of random images; their labels count."""
    labels = jax.numpy.eye(ways)

    def sample(key):
        def part(key, shots):
            x = jax.random.uniform(key, (ways * shots, 28, 28, 1))
            return jaxmeta.Examples(x, jax.numpy.repeat(labels, shots, axis=0))

        key_support, key_query = jax.random.split(key)
        return jaxmeta.Episode(part(key_support, 1), part(key_query, 15))

    return sample


def make(point):
    """A function that takes the seconds of one meta-step."""
    learner = jaxmeta.maml(
        jaxmeta.networks.conv4(point.ways, width=32),
        rule=jaxmeta.rules.sgd(0.01),
        inner_steps=point.inner_steps,
        loss_fn=optax.softmax_cross_entropy,
    )
    tx, sample = optax.adam(1e-3), noise(point.ways)
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    step = jaxmeta.make_step(
        learner, tx, sample, meta_batch_size=point.tasks, tasks_at_once=1, devices=point.devices
    )

    def seconds():
        nonlocal state
        start = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, jax.random.key(1)))
        return time.perf_counter() - start

    seconds()  # Compiles.
    return seconds


def draw(report):
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axes, (name, found) in zip(panels, report.items(), strict=True):
        axes.plot(found["values"], found["ms"], "o-")
        axes.set(xscale="log", yscale="log", xlabel=name.replace("_", " "))
        axes.set_xticks(found["values"], [str(value) for value in found["values"]], minor=False)
        axes.minorticks_off()
        slope = found["slope"]
        axes.set_title("" if slope is None else f"slope {slope:.2f}", fontsize=10)
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel("ms per meta-step")
    figure.savefig(OUT / "scaling.png", dpi=120)


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    restart_with_huge_pages()
    experiments.use_all_cores()
    points = {Point(**{name: value}) for name, values in AXES.items() for value in values}
    runs = {}
    for point in sorted(points, key=dataclasses.astuple):
        runs[point] = make(point)
        print(f"compiled {len(runs)} of {len(points)}: {point}", flush=True)
    times = {point: [] for point in runs}
    for _ in range(ROUNDS):
        for point, seconds in runs.items():
            times[point].append(1e3 * seconds())
    report = {}
    for name, values in AXES.items():
        ms = [statistics.median(times[Point(**{name: value})]) for value in values]
        slope = np.polyfit(np.log(values), np.log(ms), 1)[0] if len(values) > 1 else None
        report[name] = {
            "values": values,
            "ms": [round(each, 1) for each in ms],
            "slope": None if slope is None else round(float(slope), 2),
        }
        print(name, report[name])
    draw(report)
    content = {
        "command": "python benchmarks/scaling.py",
        "work": "MAML, second order, Conv4-32, 28x28, 1-shot, 15 queries per class; 4 tasks, 5 "
        "ways, 5 inner steps and all devices where they do not vary",
        "axes": report,
        "rounds": ROUNDS,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
    }
    (OUT / "scaling.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
