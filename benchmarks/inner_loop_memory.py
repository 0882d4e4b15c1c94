"""Compiled peak memory of a meta-gradient against inner steps, for every way to differentiate.

    python benchmarks/inner_loop_memory.py

MAML on Conv4-32 at 84x84, 5-way 5-shot, 15 queries per class, one task: bytes of temporaries that
the compiled meta-gradient asks for, beside its arguments and results. Nothing is run, so the
machine's load does not matter. Writes `benchmarks/results/inner_loop_memory.json` and `.png`. Takes
some minutes.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

import jaxmeta

OUT = Path(__file__).parent / "results"
STEPS = (1, 2, 5, 10, 20, 50, 100)
MODES = {
    "reverse, all kept": {"derivative": "reverse", "remat": False},
    "reverse": {"derivative": "reverse"},
    "forward over reverse, all kept": {"derivative": "forward_over_reverse", "remat": False},
    "forward over reverse": {"derivative": "forward_over_reverse"},
    "first order": {"derivative": "first_order"},
    "implicit": None,
}
N_WAY, K_SHOT, Q_QUERIES, SIZE, WIDTH = 5, 5, 15, 84, 32
MIB = 2**20


def part(shots):
    labels = jnp.repeat(jnp.eye(N_WAY), shots, axis=0)
    return jaxmeta.Examples(jnp.zeros((N_WAY * shots, SIZE, SIZE, 3)), labels)


def peak(settings, steps):
    """MiB of temporaries."""
    net = jaxmeta.networks.conv4(N_WAY, width=WIDTH)
    if settings is None:
        learner = jaxmeta.imaml(net, inner_steps=steps)
    else:
        learner = jaxmeta.maml(net, inner_steps=steps, **settings)
    key, episode = jax.random.key(0), jaxmeta.Episode(part(K_SHOT), part(Q_QUERIES))
    params = jax.eval_shape(learner.init, key, episode)
    compiled = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, key, episode).compile()
    return compiled.memory_analysis().temp_size_in_bytes / MIB


def draw(found):
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, values in found.items():
        axes.plot(STEPS, values, "--" if "kept" in name else "-", marker="o", label=name)
    axes.set(
        xscale="log", yscale="log", xlabel="inner steps", ylabel="temporaries of one task, MiB"
    )
    axes.set_xticks(STEPS, [str(number) for number in STEPS])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(OUT / "inner_loop_memory.png", dpi=120)


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    found = {}
    for name, settings in MODES.items():
        found[name] = [round(peak(settings, steps), 1) for steps in STEPS]
        print(f"{name:32} " + " ".join(f"{value:9.1f}" for value in found[name]), flush=True)
    draw(found)
    content = {
        "command": "python benchmarks/inner_loop_memory.py",
        "work": f"Conv4-{WIDTH}, {SIZE}x{SIZE}, {N_WAY}-way {K_SHOT}-shot, {Q_QUERIES} queries per "
        "class, one task",
        "inner_steps": STEPS,
        "temporaries_mib": found,
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
    }
    (OUT / "inner_loop_memory.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
