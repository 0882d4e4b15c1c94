"""Every learner's step is lowered for GPUs and TPUs, where no device is needed for that."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import optax
import pytest
from test_all_learners import N_WAY, ROWS, sample

import jaxmeta
from jaxmeta import experiments, networks, recipes

PLATFORMS = ("cuda", "tpu")
# Custom calls that the platforms have themselves: linear algebra, sorting keys, sharding.
THEIRS = re.compile(
    r"cu(solver|blas)_|__gpu\$|cu_threefry2x32|Cholesky|Qr|LuDecomposition|TriangularSolve"
    r"|annotate_device_placement|ApproxTopK|mhlo.topk|Sharding|hip_"
)


def lowered(step, state, key):
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (state, key))
    return jax.export.export(jax.jit(step), platforms=PLATFORMS)(*shapes).mlir_module()


def check(text):
    """No call back to Python, no float64, no operation that only a CPU has."""
    assert "callback" not in text
    assert "f64" not in re.sub(r"dense<.*?>", "", text)
    for target in re.findall(r"custom_call @([\w.$]+)", text):
        assert THEIRS.search(target), target


def check_step(learner, sample, make=jaxmeta.make_step, start=jaxmeta.init_state):
    tx, key = optax.adam(1e-3), jax.random.key(0)
    state = jax.eval_shape(lambda: start(key, learner, tx, sample))
    step = make(learner, tx, sample, meta_batch_size=2, steps_per_call=2)
    check(lowered(step, state, key))


@pytest.mark.parametrize("name", [name for name in ROWS if "," not in name])
def test_a_learner(name):
    check_step(ROWS[name].learner, sample)


def images(key):
    x = jax.random.uniform(key, (2, N_WAY, 28, 28, 1))
    y = jnp.eye(N_WAY)
    return jaxmeta.Episode(jaxmeta.Examples(x[0], y), jaxmeta.Examples(x[1], y))


NET = networks.conv4(width=8)
CONVOLUTIONAL = {
    "maml": jaxmeta.maml(networks.conv4(N_WAY, width=8), inner_steps=2),
    "anil": jaxmeta.anil(networks.conv4(N_WAY, width=8), inner_steps=2),
    "prototypical": jaxmeta.prototypical(NET),
    "relation": jaxmeta.relation(networks.relation_embedding(width=8)),
    "siamese": jaxmeta.siamese(networks.siamese_embedding(16, width=8)),
    "meta_networks": jaxmeta.meta_networks(networks.augmented(N_WAY)),
    "hypertransformer": jaxmeta.hypertransformer(channels=2, blocks=2, transformer_layers=1),
    "hypernetwork": jaxmeta.hypernetwork(
        networks.conv4(N_WAY, width=2), encoder=networks.set_encoder(3, embed=NET)
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_learner_of_images(name):
    with networks.convolve_tasks("together"):  # as on a GPU
        check_step(CONVOLUTIONAL[name], images)


AGENTS = ("bandit-rl2-5a10", "bandit-dpt-5a10", "navigation-maml", "dark-room-dpt")


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent(name):
    recipe = recipes.find(name)
    outer = dataclasses.replace(recipe.outer, meta_batch_size=4, steps_per_call=1)
    built = experiments.build(dataclasses.replace(recipe, outer=outer))
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: built.init_state(key, built.learner, built.tx, built.meta_train))
    step = built.make_step(
        built.learner, built.tx, built.meta_train, meta_batch_size=4, steps_per_call=1
    )
    check(lowered(step, state, key))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct((), jnp.float32), x),
        lambda x: jnp.linalg.eigh(x * jnp.eye(2))[0],
    ],
)
def test_the_check_finds_what_it_looks_for(function):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    text = jax.jit(function).trace(shape).lower(lowering_platforms=("cpu",)).as_text()
    with pytest.raises(AssertionError):
        check(text)
