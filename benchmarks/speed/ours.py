"""jaxmeta's side, which also writes the weights and episodes that all start from."""

import dataclasses
import importlib.metadata
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta import experiments

OUTER_LR = 1e-3


def package():
    """Name and version."""
    experiments.use_all_cores()
    return {"jax": jax.__version__, "jaxmeta": importlib.metadata.version("jaxmeta")}


def build(peer, name, workload, folder):
    """A function that makes one call of the step, and the meta-steps of a call."""
    if workload.kind == "sampling":
        return _sampling(peer, workload), 1
    learner, sample, policy = learner_and_tasks(workload)
    tx = optax.adam(OUTER_LR)
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    _write(folder / f"{name}.npz", state.params, sample, workload)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=workload.tasks, **policy)

    def run():
        nonlocal state
        state, info = step(state, jax.random.key(1))
        loss, norm = np.asarray(info.loss), np.asarray(info.grad_norm)
        return float(loss[0]), float(norm[0])

    return run, policy.get("steps_per_call", 1)


def learner_and_tasks(workload):
    """Learner, tasks, and the policy that the recipes have on this machine."""
    in_turn = {
        "tasks_at_once": 1,
        "devices": math.gcd(jax.local_device_count(), workload.tasks),
    }
    if workload.kind == "mann":
        return jaxmeta.mann(), _streams(workload), {}
    if workload.kind == "hypertransformer":
        return jaxmeta.hypertransformer(channels=workload.width), _images(workload), in_turn
    if workload.kind == "prototypical":
        return _prototypical(workload), _images(workload), in_turn
    is_curve = not workload.side
    learner = jaxmeta.maml(
        jaxmeta.networks.mlp(1, hidden=(40, 40))
        if is_curve
        else jaxmeta.networks.conv4(workload.n_way, width=workload.width),
        rule=jaxmeta.rules.sgd(workload.inner_lr),
        inner_steps=workload.inner_steps,
        loss_fn=optax.squared_error if is_curve else optax.softmax_cross_entropy,
        derivative="first_order"
        if workload.first_order
        else ("reverse" if is_curve else "forward_over_reverse"),
        transductive=True,  # As the peers' batch normalisation does.
    )
    if is_curve:
        sample = jaxmeta.tasks.sinusoid(k_shot=workload.k_shot, q_queries=workload.q_queries)
        return learner, sample, {"steps_per_call": 100}
    return learner, _images(workload), in_turn


def _prototypical(workload):
    """Support and query set each normalised by itself, as the peers do."""
    learner = jaxmeta.prototypical(jaxmeta.networks.conv4(width=workload.width))
    learner = jaxmeta.transductive(learner)

    def loss(params, key, episode):
        adapted = learner.adapt(params, key, episode.support)
        outputs = learner.predict(params, adapted, episode.query.x)
        return jnp.mean(optax.softmax_cross_entropy(outputs, episode.query.y)), outputs

    return learner._replace(loss=loss)


def _images(workload):
    """Noise around a pattern of the class: the cost of real images without their files."""
    shape = (workload.side, workload.side, workload.channels)

    def sample(key):
        key_pattern, key_noise = jax.random.split(key)
        shots = workload.k_shot + workload.q_queries
        x = 0.5 * jax.random.normal(key_pattern, (workload.n_way, 1, *shape))
        x = x + 0.5 * jax.random.normal(key_noise, (workload.n_way, shots, *shape))
        return jaxmeta.Episode(part(x[:, : workload.k_shot]), part(x[:, workload.k_shot :]))

    def part(x):
        y = jnp.repeat(jnp.eye(workload.n_way), x.shape[1], axis=0)
        return jaxmeta.Examples(x.reshape(-1, *shape), y)

    return sample


def _streams(workload):
    """Fifty images of five classes in random order."""
    images = _images(dataclasses.replace(workload, k_shot=0, q_queries=10))

    def sample(key):
        key_images, key_order = jax.random.split(key)
        rows = images(key_images).query
        rows = jax.tree.map(lambda leaf: jax.random.permutation(key_order, leaf), rows)
        return jaxmeta.Stream(*rows)

    return sample


def _write(path, params, sample, workload):
    """Weights by their paths, and the episodes of step 0 as `make_step` draws them."""
    key_step = jax.random.fold_in(jax.random.key(1), 0)
    episodes = []
    for i in range(workload.tasks):
        key_episode, _ = jax.random.split(jax.random.fold_in(key_step, i))
        task = sample(key_episode)
        if isinstance(task, jaxmeta.Stream):  # In the file a stream is the query set of no support.
            rows = jaxmeta.Examples(*task)
            task = jaxmeta.Episode(jax.tree.map(lambda leaf: leaf[:0], rows), rows)
        episodes.append(task)
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *episodes)
    arrays = {
        f"{part}_{name}": getattr(getattr(stacked, part), name)
        for part in ("support", "query")
        for name in ("x", "y")
    }
    for where, leaf in jax.tree_util.tree_leaves_with_path(params):
        arrays["weight" + jax.tree_util.keystr(where, simple=True, separator="/")] = leaf
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})


def _sampling(peer, workload):
    """A batch of episodes on the device: drawn there, or by NumPy and sent there."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1623, 20, 28, 28, 1), np.uint8)
    shots = workload.k_shot + workload.q_queries
    if peer == "jaxmeta":
        classes = {f"{i:04}": of_class for i, of_class in enumerate(images)}
        sample = jaxmeta.tasks.episodes(
            jaxmeta.datasets.ClassData.from_classes(classes),
            n_way=workload.n_way,
            k_shot=workload.k_shot,
            q_queries=workload.q_queries,
        )
        batch = jax.jit(lambda key: jax.vmap(sample)(jax.random.split(key, workload.tasks)))
        keys = iter(jax.random.split(jax.random.key(0), 10_000))
        return lambda: (0.0, float(jax.block_until_ready(batch(next(keys))).query.y[0, 0, 0]) * 0)

    def draw():
        x = np.empty((workload.tasks, workload.n_way, shots, 28, 28, 1), np.float32)
        for task in x:
            chosen = rng.choice(len(images), workload.n_way, replace=False)
            for place, which in enumerate(chosen):
                task[place] = images[which, rng.choice(20, shots, replace=False)] / 255.0
        jax.block_until_ready(jax.device_put(x))
        return 0.0, 0.0

    return draw
