from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxmeta
from jaxmeta import networks
from jaxmeta.learners.hyper import GeneratedWeights
from jaxmeta.networks.weight_generator import WeightGenerator

ENCODER = networks.set_encoder(3, hidden=(4,))


def rows(count, seed=0, width=2):
    rng = np.random.default_rng(seed)
    return jaxmeta.Examples(
        jnp.asarray(rng.normal(size=(count, width))), jnp.asarray(rng.normal(size=(count, 1)))
    )


def setting(target, **settings):
    settings = {"encoder": ENCODER, "hidden": (4,), "code_size": 2} | settings
    learner = jaxmeta.hypernetwork(target, loss_fn=optax.squared_error, **settings)
    support = rows(4)
    params = jax.jit(learner.init)(jax.random.key(0), jaxmeta.Episode(support, support))
    return learner, params, support


def test_generated_weights_are_those_of_the_generator_scaled_by_the_fan_in(x64):
    target = networks.mlp(1, hidden=(5,))
    learner, params, support = setting(target)
    generator = WeightGenerator((5, 10, 1, 5), None, (4,), 2)  # By name: biases before kernels.
    code = ENCODER.apply(params["encoder"], support.x, support.y)
    bias, kernel, _, head = generator.apply(params["generator"], code)
    params["gains"]["params/dense_0/bias"] = 0.3
    adapted = jax.jit(learner.adapt)(params, None, support)
    expected = {
        "params/dense_0/bias": 0.3 * bias,
        "params/dense_0/kernel": kernel.reshape(2, 5) / np.sqrt(2),
        "params/head/bias": np.zeros(1),  # Its gain is still zero.
        "params/head/kernel": head.reshape(5, 1) / np.sqrt(5),
    }
    assert adapted.weights.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_allclose(adapted.weights[name], weight, rtol=1e-6)
    x = np.asarray(rows(3, seed=1).x)
    hidden = np.maximum(x @ expected["params/dense_0/kernel"] + 0.3 * np.asarray(bias), 0)
    outputs = hidden @ expected["params/head/kernel"]
    np.testing.assert_allclose(learner.predict(params, adapted, x), outputs, rtol=1e-5)
    assert set(params["learned"]) == {"params/dense_0/bias", "params/head/bias"}


@pytest.mark.parametrize("target", ["mlp", "conv4"])
def test_neither_order_nor_what_is_not_valid_changes_the_weights(x64, target):
    rng = np.random.default_rng(0)
    net = networks.mlp(2) if target == "mlp" else networks.conv4(2, width=3, strided=True)
    learner = jaxmeta.hypernetwork(net, encoder=ENCODER, chunk_size=16, hidden=(4,))
    x, y = jnp.asarray(rng.normal(size=(4, 6, 6, 1))), jnp.eye(2)[jnp.array([0, 0, 1, 1])]
    x = x.reshape(4, 36) if target == "mlp" else x
    support = jaxmeta.Examples(x, y)
    shapes = jax.eval_shape(learner.init, jax.random.key(1), jaxmeta.Episode(support, support))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)
    adapt = jax.jit(learner.adapt)
    expected = adapt(params, None, support)
    order = jnp.array([2, 0, 3, 1])
    shuffled = jaxmeta.Examples(x[order], y[order])
    nothing = jnp.full((1, *x.shape[1:]), jnp.nan)
    padded = jaxmeta.Examples(
        jnp.concatenate([nothing, x]), jnp.concatenate([y[:1], y]), jnp.arange(5) > 0
    )
    for other in (shuffled, padded):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12),
            adapt(params, None, other),
            expected,
        )
    moved = adapt(params, None, support._replace(x=x.at[0].add(1.0)))
    assert any(
        np.abs(moved.weights[name] - weight).max() > 1e-4
        for name, weight in expected.weights.items()
    )


def test_the_generator_in_numpy(x64):
    """Chunks of four: sizes 6 and 3 take two chunks and one, and share one linear map."""
    generator = WeightGenerator((6, 3), 4, (5,), 2)
    context = jnp.array([0.5, -1.0, 2.0])
    params = jax.jit(generator.init)(jax.random.key(0), context)
    p = jax.tree.map(np.asarray, params["params"])
    assert p["codes"].shape == (3, 2) and p["out"]["kernel"].shape == (5, 4)
    h = np.concatenate([np.tile(context, (3, 1)), p["codes"]], axis=1)
    h = np.maximum(h @ p["dense_0"]["kernel"] + p["dense_0"]["bias"], 0)
    h = h - h.mean(1, keepdims=True)
    h = h / np.sqrt((h**2).mean(1, keepdims=True) + 1e-6)
    entries = h @ p["out"]["kernel"]
    first, second = generator.apply(params, context)
    np.testing.assert_allclose(first, entries[:2].ravel()[:6], rtol=1e-5)
    np.testing.assert_allclose(second, entries[2, :3], rtol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 50])
def test_at_the_start_kernels_have_the_variance_one_over_fan_in(chunk_size):
    generator = WeightGenerator((300, 200), chunk_size, (64,), 8)
    context = 10 * jax.random.normal(jax.random.key(0), (6,))  # Whatever the scale of the code.

    def entries(key):
        return generator.apply(generator.init(key, context), context)

    values = jax.jit(jax.vmap(entries))(jax.random.split(jax.random.key(1), 100))
    for value in values:
        # Chunks share a map, so that a draw has as few as 50 free numbers: sqrt(2 / 50) a draw.
        np.testing.assert_allclose(np.square(value).mean(), 1.0, atol=4 * np.sqrt(2 / 50 / 100))


def test_chosen_weights_and_chunks():
    head = networks.mlp(1, hidden=(5,))
    learner, params, support = setting(
        head, generated=lambda path: "head" in path, chunk_size=2, code_size=3
    )
    adapted = jax.jit(learner.adapt)(params, None, support)
    assert set(adapted.weights) == {"params/head/bias", "params/head/kernel"}
    # One chunk for the bias, three for the five weights of the kernel.
    assert params["generator"]["params"]["codes"].shape == (4, 3)
    assert params["learned"]["params/dense_0/kernel"].shape == (2, 5)
    with pytest.raises(ValueError, match=r"generated must choose at least one of .*params/head/bi"):
        setting(head, generated=lambda path: False)


def test_chunks_keep_the_generator_small():
    """Conv4-64 has 113 000 weights; its generator in chunks of 512 has fewer than it."""
    part = jaxmeta.Examples(
        jax.ShapeDtypeStruct((5, 28, 28, 1), jnp.float32), jax.ShapeDtypeStruct((5, 5), jnp.float32)
    )

    def count(chunk_size):
        learner = jaxmeta.hypernetwork(
            networks.conv4(5), encoder=ENCODER, chunk_size=chunk_size, hidden=(64,)
        )
        params = jax.eval_shape(learner.init, jax.random.key(0), jaxmeta.Episode(part, part))
        return sum(leaf.size for leaf in jax.tree.leaves(params["generator"]))

    assert count(512) < 50_000 < 7_000_000 < count(None)


class Cube(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(2, 3, rngs=rngs)
        self.outer = nnx.Linear(3, 1, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.inner(x) ** 3)


HAND_WRITTEN = SimpleNamespace(
    init=lambda key, x: [jnp.ones((x.shape[1], 3)), (jnp.zeros(3), jnp.ones((3, 1)))],
    apply=lambda w, x: jnp.tanh(x @ w[0] + w[1][0]) @ w[1][1],
)


@pytest.mark.parametrize("target", [HAND_WRITTEN, jaxmeta.from_nnx(Cube)], ids=["pair", "nnx"])
def test_targets_that_are_not_flax_linen(target):
    learner, params, support = setting(target, chunk_size=3)
    episode = jaxmeta.Episode(support, rows(5, seed=1))
    (_, outputs), gradient = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(
        params, None, episode
    )
    assert outputs.shape == (5, 1)
    # Every part learns: encoder, generator, gains of the biases, and the biases themselves.
    assert all(float(optax.tree.norm(gradient[part])) > 0 for part in gradient)
    adapted = jax.jit(learner.adapt)(params, None, support)
    whole = jax.jit(target.init)(jax.random.key(0), support.x)
    leaves = iter(adapted.weights.values())
    weights = jax.tree.map(lambda leaf: next(leaves).reshape(leaf.shape), whole)
    np.testing.assert_allclose(outputs, target.apply(weights, episode.query.x), rtol=1e-5)


def test_a_convolutional_target_with_batch_normalisation():
    net = networks.conv4(2, width=3, strided=True)
    learner = jaxmeta.hypernetwork(net, encoder=ENCODER, chunk_size=16, hidden=(4,))
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, 1))
    part = jaxmeta.Examples(x, jnp.eye(2)[jnp.array([0, 0, 1, 1])])
    params = jax.jit(learner.init)(jax.random.key(1), jaxmeta.Episode(part, part))
    adapt, predict = jax.jit(learner.adapt), jax.jit(learner.predict)
    adapted = adapt(params, None, part)
    # Scales start at one, not at noise.
    np.testing.assert_array_equal(adapted.weights["params/block_0/norm/scale"], np.ones(3))
    padded = jaxmeta.Examples(
        jnp.concatenate([x, x[:2] + 9]), jnp.concatenate([part.y, part.y[:2]]), jnp.arange(6) < 4
    )
    np.testing.assert_allclose(
        predict(params, adapt(params, None, padded), x),
        predict(params, adapted, x),
        rtol=1e-3,
        atol=1e-4,
    )
    alone = predict(params, adapted, x[:1])
    np.testing.assert_allclose(alone, predict(params, adapted, x)[:1], rtol=1e-4, atol=1e-5)
    assert isinstance(adapted, GeneratedWeights)


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=4)(x[:, None])
        return nn.Dense(1)(x[:, 0])


def test_a_bias_has_no_fan_in_whatever_its_axes():
    learner = jaxmeta.hypernetwork(Attention(), loss_fn=optax.squared_error)
    support = rows(4)
    params = jax.jit(learner.init)(jax.random.key(0), jaxmeta.Episode(support, support))
    weights = jax.jit(learner.adapt)(params, None, support).weights
    biases = {name: weight for name, weight in weights.items() if name.endswith("/bias")}
    assert {weight.shape for weight in biases.values()} == {(2, 2), (2,), (1,)}
    assert all(np.all(weight == 0) for weight in biases.values())  # The target's own start.
    kernels = [weight for name, weight in weights.items() if name.endswith("/kernel")]
    assert len(kernels) == 5 and all(np.abs(weight).min() > 0 for weight in kernels)


@pytest.mark.parametrize("setting", ["chunk_size", "code_size"])
def test_bad_values(setting):
    with pytest.raises(ValueError, match=f"{setting} must be >= 1, got 0"):
        jaxmeta.hypernetwork(networks.mlp(1), encoder=ENCODER, **{setting: 0})


def test_one_normalised_unit_would_be_zero():
    with pytest.raises(ValueError, match="the last of hidden must be >= 2"):
        jaxmeta.hypernetwork(networks.mlp(1), hidden=(4, 1))
