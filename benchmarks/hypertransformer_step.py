"""A HyperTransformer's training step: seconds, compilation, and the share of the transformers.

    python benchmarks/hypertransformer_step.py

The recipe `omniglot-hypertransformer-20w1s` (8 channels, 20-way 1-shot, 3 queries per class) on
random images, so no data is needed; one task at a time on one device, as the recipe runs on each
core. Shares are those of times taken apart: loss and gradient of a whole task, and of its five
encoders alone, on token sequences of the same shapes. Medians of rounds; what compiles is timed
once. Writes `benchmarks/results/hypertransformer_step.json`.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta import recipes
from jaxmeta.networks import Encoder
from jaxmeta.runs.run import versions

IMAGE = (28, 28, 1)


def noise(task):
    """Episodes of the recipe's shapes, of noise."""
    labels = jnp.eye(task.n_way)

    def sample(key):
        def part(key, shots):
            rows = task.n_way * shots
            return jaxmeta.Examples(
                jax.random.uniform(key, (rows, *IMAGE)), jnp.repeat(labels, shots, axis=0)
            )

        key_support, key_query = jax.random.split(key)
        return jaxmeta.Episode(
            part(key_support, task.train_k_shot), part(key_query, task.train_q_queries)
        )

    return sample


def timed(function, *arguments, rounds):
    """Seconds of the first call, with its compilation, and the median of the others."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - start)
    return seconds[0], float(np.median(seconds[1:]))


def encoders_alone(params, n_way, config):
    """Sum of squares of what all encoders of the generators give, and its arguments."""
    generators = {name: block["generator"] for name, block in params["blocks"].items()}
    generators["head"] = params["head"]
    encoder = Encoder(config.transformer_layers, config.heads)
    weights, tokens = {}, {}
    for name, generator in generators.items():
        weights[name] = {"params": generator["params"]["encoder"]}
        width = generator["params"]["encoder"]["attention_0"]["query"]["kernel"].shape[0]
        length = len(generator["params"]["weights"]) + n_way
        tokens[name] = jax.random.normal(jax.random.key(0), (length, width))

    def total(weights, tokens):
        is_valid = {name: jnp.ones(len(sequence), bool) for name, sequence in tokens.items()}
        outputs = [encoder.apply(weights[n], tokens[n], is_valid[n]) for n in tokens]
        return sum(jnp.sum(jnp.square(output)) for output in outputs)

    return total, weights, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, nargs="+", default=[8])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    recipe = recipes.find("omniglot-hypertransformer-20w1s")
    sample = noise(recipe.task)
    tx = recipe.outer.build()
    rows = []
    for channels in arguments.channels:
        learner = jaxmeta.hypertransformer(channels=channels)
        state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
        episode = sample(jax.random.key(1))
        gradient = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))
        first, task = timed(
            gradient, state.params, jax.random.key(2), episode, rounds=arguments.rounds
        )
        total, *inputs = encoders_alone(state.params, recipe.task.n_way, recipe.learner)
        _, encoders = timed(
            jax.jit(jax.value_and_grad(total, (0, 1))), *inputs, rounds=arguments.rounds
        )
        step = jaxmeta.make_step(
            learner,
            tx,
            sample,
            meta_batch_size=recipe.outer.meta_batch_size,
            steps_per_call=recipe.outer.steps_per_call,
            tasks_at_once=1,
        )
        start, work = time.perf_counter(), time.process_time()
        state, _ = jax.block_until_ready(step(state, jax.random.key(3)))
        compiled, work = time.perf_counter() - start, time.process_time() - work
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            state, _ = jax.block_until_ready(step(state, jax.random.key(3)))
            seconds.append((time.perf_counter() - start) / recipe.outer.steps_per_call)
        row = {
            "channels": channels,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            "milliseconds_per_task": 1e3 * task,
            "milliseconds_of_its_encoders": 1e3 * encoders,
            "share_of_encoders": encoders / task,
            "milliseconds_per_step": 1e3 * float(np.median(seconds)),
            "tasks_per_step": recipe.outer.meta_batch_size,
            "seconds_to_compile_the_gradient": first,
            "seconds_to_compile_and_run_ten_steps": compiled,
            "processor_seconds_of_that": work,
        }
        rows.append(row)
        print(json.dumps(row, indent=1), flush=True)
    result = {
        "rows": rows,
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": versions(),
    }
    path = arguments.out / "hypertransformer_step.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
