"""Time of one meta-step against a PyTorch eager loop, in one run.

    pip install -e '.[bench]'
    python benchmarks/meta_step_against_torch.py

Forward, backward and outer Adam, with the same weights, the same tasks and the same arithmetic on
both sides (the losses of the first step are compared):

    conv4           MAML, second order, Conv4-64 with 2x2 pooling on 28x28x1 images, 5-way
                    1-shot, 15 queries per class, 5 inner steps, 4 tasks
    sinusoid        MAML, second order, the net 1-40-40-1, 10 shots, 10 queries, 1 inner step,
                    25 tasks
    prototypical    Conv4-64 on 28x28x1 images, 20-way 5-shot, 5 queries per class, 1 task
    prototypical-2  the same, 2 tasks

PyTorch runs one task after another, as learn2learn and higher do, in as many threads as there are
cores. Rounds alternate between the two sides; the medians and their ratio are printed and written
to `benchmarks/results/meta_step_against_torch.json`. Takes about a minute on two cores.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F

import jaxmeta
from jaxmeta import recipes
from jaxmeta.networks.normalisation import without_statistics

OUTER_LR = 1e-3


def image_episodes(n_way, k_shot, q_queries):
    """Noise around a pattern of the class: the cost of real images without their files."""

    def sample(key):
        key_pattern, key_noise = jax.random.split(key)
        x = jax.random.normal(key_pattern, (n_way, 1, 28, 28, 1))
        noise = jax.random.normal(key_noise, (n_way, k_shot + q_queries, 28, 28, 1))
        x = 0.5 * x + 0.5 * noise
        return jaxmeta.Episode(part(x[:, :k_shot]), part(x[:, k_shot:]))

    def part(x):
        y = jnp.repeat(jnp.eye(n_way), x.shape[1], axis=0)
        return jaxmeta.Examples(x.reshape(-1, 28, 28, 1), y)

    return sample


def conv4(weights, x):
    """Conv4 in PyTorch on NCHW images, normalised by the batch."""
    for block in range(4):
        kernel, scale, bias = weights[3 * block : 3 * block + 3]
        x = F.conv2d(x, kernel, padding=1)
        x = F.batch_norm(x, None, None, scale, bias, training=True, eps=1e-5)
        x = F.max_pool2d(F.relu(x), 2)
    x = x.flatten(1)
    return F.linear(x, *weights[12:]) if weights[12:] else x


def conv4_weights(params):
    """The same weights in PyTorch's order; a 1x1 last map makes flattening the same."""
    weights = []
    for block in range(4):
        of_block = params[f"block_{block}"]
        weights.append(np.transpose(of_block["kernel"], (3, 2, 0, 1)))
        weights += [of_block["norm"]["scale"], of_block["norm"]["bias"]]
    if "head" in params:
        weights += [np.transpose(params["head"]["kernel"]), params["head"]["bias"]]
    return weights


def mlp(weights, x):
    """The sinusoid net in PyTorch."""
    for layer in range(2):
        x = F.relu(F.linear(x, weights[2 * layer], weights[2 * layer + 1]))
    return F.linear(x, weights[4], weights[5])


def mlp_weights(params):
    """The same weights in PyTorch's order."""
    weights = []
    for name in ("dense_0", "dense_1", "head"):
        weights += [np.transpose(params[name]["kernel"]), params[name]["bias"]]
    return weights


class Workload(NamedTuple):
    """One meta-step, told to both sides."""

    learner: jaxmeta.Learner
    torch_loss: Callable  # (weights, support, query) of one task
    to_torch: Callable  # parameters of `learner` as a list of weights
    sample: Callable
    tasks: int
    policy: dict  # of `make_step`


def maml(net, torch_net, loss_fn, torch_loss_fn, *, inner_lr, inner_steps, derivative):
    """MAML on both sides, the query set normalised by its own statistics."""
    learner = jaxmeta.maml(
        net,
        rule=jaxmeta.rules.sgd(inner_lr),
        inner_steps=inner_steps,
        loss_fn=loss_fn,
        derivative=derivative,
        transductive=True,
    )

    def torch_loss(weights, support, query):
        adapted = weights
        for _ in range(inner_steps):
            loss = torch_loss_fn(torch_net(adapted, support.x), support.y)
            grads = torch.autograd.grad(loss, adapted, create_graph=True)
            adapted = [w - inner_lr * g for w, g in zip(adapted, grads, strict=True)]
        return torch_loss_fn(torch_net(adapted, query.x), query.y)

    return learner, torch_loss


def prototypical():
    """Prototypical networks on both sides, support and query set each by its own statistics."""
    learner = jaxmeta.prototypical(jaxmeta.networks.conv4(width=64))

    def loss(params, key, episode):
        adapted = without_statistics(learner.adapt(params, key, episode.support))
        outputs = learner.predict(params, adapted, episode.query.x)
        return jnp.mean(optax.softmax_cross_entropy(outputs, episode.query.y)), outputs

    def torch_loss(weights, support, query):
        counts = support.y.sum(0)
        centres = support.y.T @ conv4(weights, support.x) / counts[:, None]
        distances = (conv4(weights, query.x)[:, None] - centres).square().sum(-1)
        return F.cross_entropy(-distances, query.y)

    return learner._replace(loss=loss), torch_loss


def workloads(cores):
    """All of them, for a machine of that many cores."""
    by_conv4 = maml(
        jaxmeta.networks.conv4(5, width=64),
        conv4,
        optax.softmax_cross_entropy,
        F.cross_entropy,
        inner_lr=0.4,
        inner_steps=5,
        derivative="forward_over_reverse",
    )
    by_mlp = maml(
        jaxmeta.networks.mlp(1, hidden=(40, 40)),
        mlp,
        optax.squared_error,
        F.mse_loss,
        inner_lr=0.01,
        inner_steps=1,
        derivative="reverse",
    )

    def in_turn(tasks):
        return {"tasks_at_once": 1, "devices": math.gcd(cores, tasks)}

    five, twenty = image_episodes(5, 1, 15), image_episodes(20, 5, 5)
    sinusoid = jaxmeta.tasks.sinusoid()
    return {
        "conv4": Workload(*by_conv4, of_net(conv4_weights), five, 4, in_turn(4)),
        "sinusoid": Workload(*by_mlp, of_net(mlp_weights), sinusoid, 25, {"steps_per_call": 100}),
        "prototypical": Workload(*prototypical(), of_embedding, twenty, 1, in_turn(1)),
        "prototypical-2": Workload(*prototypical(), of_embedding, twenty, 2, in_turn(2)),
    }


def of_net(to_torch):
    """From the parameters of MAML."""
    return lambda params: to_torch(params.net["params"])


def of_embedding(params):
    """From the parameters of prototypical networks."""
    return conv4_weights(params["params"])


def torch_side(workload, params, episodes):
    """A function that makes one meta-step of the eager loop and returns its loss."""
    weights = [torch.tensor(np.array(w), requires_grad=True) for w in workload.to_torch(params)]
    optimiser = torch.optim.Adam(weights, OUTER_LR)

    def tensor(x):
        x = torch.tensor(np.array(x))
        return x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x

    episodes = [jax.tree.map(tensor, episode) for episode in episodes]

    def step():
        optimiser.zero_grad()
        total = 0.0
        for support, query in episodes:
            loss = workload.torch_loss(weights, support, query) / len(episodes)
            loss.backward()
            total += loss.item()
        optimiser.step()
        return total

    return step


def compare(name, workload, rounds):
    """Times both sides in turn."""
    tx = optax.adam(OUTER_LR)
    state = jaxmeta.init_state(jax.random.key(0), workload.learner, tx, workload.sample)
    key_step = jax.random.fold_in(jax.random.key(1), 0)  # of step 0, as make_step has it
    episodes = []
    for i in range(workload.tasks):
        key_episode, _ = jax.random.split(jax.random.fold_in(key_step, i))
        episodes.append(jax.tree.map(np.asarray, workload.sample(key_episode)))
    peer = torch_side(workload, jax.tree.map(np.asarray, state.params), episodes)
    step = jaxmeta.make_step(
        workload.learner, tx, workload.sample, meta_batch_size=workload.tasks, **workload.policy
    )

    def ours():
        nonlocal state
        state, info = step(state, jax.random.key(1))
        return np.asarray(info.loss)

    loss, peer_loss = float(ours()[0]), peer()
    if abs(loss - peer_loss) > 1e-4 * abs(peer_loss):
        raise AssertionError(f"{name}: the first losses differ, {loss} and {peer_loss}.")
    per_call = workload.policy.get("steps_per_call", 1)
    times, peer_times = [], []
    for _ in range(rounds):
        times.append(1e3 * timed(ours) / per_call)
        peer_times.append(1e3 * timed(peer))
    median, peer_median = statistics.median(times), statistics.median(peer_times)
    print(
        f"{name:14} jaxmeta {median:8.2f} ms   PyTorch {peer_median:8.2f} ms   "
        f"{peer_median / median:6.2f} times faster   first loss {loss:.6f}, {peer_loss:.6f}"
    )
    return {
        "jaxmeta_ms": round(median, 3),
        "torch_ms": round(peer_median, 3),
        "times_faster": round(peer_median / median, 2),
        "first_losses": [loss, peer_loss],
        "jaxmeta_ms_by_round": [round(t, 3) for t in times],
        "torch_ms_by_round": [round(t, 3) for t in peer_times],
    }


def timed(function):
    """Seconds of the second of two calls: the first wakes the threads of its side."""
    function()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each side (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    recipes.use_all_cores()
    torch.set_num_threads(os.cpu_count() or 1)
    results = {
        name: compare(name, workload, arguments.rounds)
        for name, workload in workloads(jax.local_device_count()).items()
    }
    report = {
        "command": "python benchmarks/meta_step_against_torch.py",
        "rounds": arguments.rounds,
        "cores": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "torch": torch.__version__,
        },
        "results": results,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "meta_step_against_torch.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
