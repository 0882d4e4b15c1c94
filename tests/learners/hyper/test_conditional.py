from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

import jaxmeta
from jaxmeta import networks
from jaxmeta.learners.hyper import Conditioning, Gaussian, log_density, predictive

GLOROT = jax.nn.initializers.glorot_normal()
DECODER = networks.mlp(2, hidden=(6,), activation=jnp.tanh, kernel_init=GLOROT)


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return jaxmeta.Examples(*(jnp.asarray(rng.normal(size=(count, 1))) for _ in range(2)))


def setting():
    learner = jaxmeta.conditional(
        DECODER, encoder=networks.set_encoder(5, hidden=(4,)), least_sigma=0.1
    )
    support = rows(3)
    params = jax.jit(learner.init)(jax.random.key(0), jaxmeta.Episode(support, support))
    return learner, jax.tree.map(lambda leaf: leaf.astype(float), params), support


def test_order_duplication_and_padding_of_the_context_change_nothing(x64):
    learner, params, support = setting()
    query = rows(4, seed=1)

    def predicted(support):
        adapted = jax.jit(learner.adapt)(params, None, support)
        return np.stack(predictive(DECODER, params, adapted, query.x, least_sigma=0.1))

    before = predicted(support)
    order = jnp.array([2, 0, 1])
    shuffled = jax.tree.map(lambda leaf: leaf[order], support)
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), support)
    nothing = jnp.full((2, 1), jnp.nan)
    padded = jaxmeta.Examples(
        jnp.concatenate([nothing, support.x]),
        jnp.concatenate([nothing, support.y]),
        jnp.array([False] * 2 + [True] * 3),
    )
    for other in (shuffled, twice, padded):
        np.testing.assert_allclose(predicted(other), before, rtol=0, atol=1e-12)
    one_twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:1]]), support)
    assert np.abs(predicted(one_twice) - before).max() > 1e-4


def test_a_mean_per_class_weighs_rows_by_soft_labels(x64):
    encoder = networks.set_encoder(2, hidden=(4,), per_class=True)
    x, y = np.random.default_rng(0).normal(size=(2, 3)), np.array([[0.3, 0.7], [0.1, 0.2]])
    params = jax.jit(encoder.init)(jax.random.key(0), x, y)
    one = encoder.apply(params, x, y)
    hidden = [encoder.apply(params, x[i : i + 1], np.eye(2)[:1])[:2] for i in (0, 1)]
    first, second = (
        (0.3 * hidden[0] + 0.1 * hidden[1]) / 0.4,
        (0.7 * hidden[0] + 0.2 * hidden[1]) / 0.9,
    )
    np.testing.assert_allclose(one, np.concatenate([first, second]), rtol=1e-6)
    twice = encoder.apply(params, np.concatenate([x, x]), np.concatenate([y, y]))
    np.testing.assert_allclose(twice, one, rtol=0, atol=1e-12)


def test_sigma_and_log_density_by_hand(x64):
    # The net hands on its context: mean 0.5, s = 0 where softplus is log 2; s = 2 the other time.
    net = SimpleNamespace(
        init=lambda key, x, context: {},
        apply=lambda params, x, context: jnp.broadcast_to(context, (len(x), 2)),
    )
    params, x = {"net": {}}, jnp.zeros((1, 1))
    for s, sigma in ((0.0, 0.1 + 0.9 * 0.6931471805599453), (2.0, 0.1 + 0.9 * 2.1269280110429727)):
        adapted = Conditioning(jnp.array([0.5, s]), {})
        gaussian = predictive(net, params, adapted, x, least_sigma=0.1)
        np.testing.assert_allclose(gaussian.mean, [[0.5]])
        np.testing.assert_allclose(gaussian.sigma, [[sigma]], rtol=1e-12)
        # log N(2; 0.5, sigma) = -(1.5 / sigma)^2 / 2 - log sigma - log(2 pi) / 2
        expected = -(2.25 / sigma**2) / 2 - np.log(sigma) - 0.9189385332046727
        np.testing.assert_allclose(log_density(gaussian, 2.0 + x), [[expected]], rtol=1e-12)
    standard = Gaussian(jnp.zeros((1, 1)), jnp.ones((1, 1)))
    np.testing.assert_allclose(log_density(standard, x), [[-0.9189385332046727]], rtol=1e-12)


def test_the_loss_is_the_mean_negative_log_density_over_valid_queries(x64):
    learner, params, support = setting()
    query = rows(3, seed=2)._replace(is_valid=jnp.array([True, False, True]))
    loss, outputs = jax.jit(learner.loss)(params, None, jaxmeta.Episode(support, query))
    adapted = jax.jit(learner.adapt)(params, None, support)
    mean, sigma = predictive(DECODER, params, adapted, query.x, least_sigma=0.1)
    np.testing.assert_array_equal(outputs[::2], mean[::2])  # The row between is padding.
    z = (np.asarray(query.y) - mean) / sigma
    density = np.exp(-(z**2) / 2) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(loss, -np.log(density)[np.array([0, 2])].mean(), rtol=1e-12)
    check_grads(
        lambda params: learner.loss(params, None, jaxmeta.Episode(support, query))[0],
        (params,),
        order=1,
        modes=["rev"],
        rtol=1e-5,
    )


def test_the_set_encoder_in_numpy(x64):
    rng = np.random.default_rng(0)
    x, y, is_valid = rng.normal(size=(4, 2)), np.eye(3)[[0, 1, 1, 0]], np.array([1, 1, 1, 0], bool)
    whole = networks.set_encoder(5, hidden=(6,))
    apart = networks.set_encoder(5, hidden=(6,), per_class=True)
    for encoder, inputs in ((whole, np.concatenate([x, y], 1)), (apart, x)):
        params = jax.jit(encoder.init)(jax.random.key(0), x, y)
        p = jax.tree.map(np.asarray, params["params"])
        hidden = np.maximum(inputs @ p["dense_0"]["kernel"] + p["dense_0"]["bias"], 0)
        h = hidden @ p["out"]["kernel"] + p["out"]["bias"]
        expected = h[:3].mean(0)
        if encoder is apart:  # Class 2 has no rows.
            expected = np.concatenate([h[0], (h[1] + h[2]) / 2, np.zeros(5)])
        code = encoder.apply(params, x, y, is_valid)
        np.testing.assert_allclose(code, expected, rtol=1e-5, atol=1e-7)


def test_the_wavenet_encoder_looks_back_and_only_back(x64):
    """Three layers of dilations 1, 2, 4 see the last eight rows."""
    encoder = networks.wavenet_encoder(4, width=3, layers=3)
    x, y = rows(12).x, rows(12).y
    params = jax.jit(encoder.init)(jax.random.key(0), x, y)
    gradient = jax.grad(lambda x: encoder.apply(params, x, y).sum())(x)[:, 0]
    assert (np.asarray(gradient) != 0).tolist() == [False] * 4 + [True] * 8
    # Rows that are not valid are as if absent, wherever they stand.
    is_valid = jnp.arange(12) % 3 != 1
    masked = encoder.apply(params, x, y, is_valid)
    np.testing.assert_allclose(
        masked, encoder.apply(params, x[is_valid], y[is_valid]), rtol=1e-6, atol=1e-9
    )
    reverse = encoder.apply(params, x[::-1], y[::-1])
    assert np.abs(reverse - encoder.apply(params, x, y)).max() > 1e-4


def test_three_gated_layers_in_numpy(x64):
    """Dilations 1, 2, 4; residual and skip connections; the last row's sum of the skips."""
    rng = np.random.default_rng(3)
    encoder = networks.wavenet_encoder(3, width=4, layers=3)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 1))
    shapes = jax.eval_shape(encoder.init, jax.random.key(1), jnp.array(x), jnp.array(y))
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    p = params["params"]

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    h, skips = dense(np.concatenate([x, y], 1), p["in"]), 0.0
    for layer in range(3):
        before = np.concatenate([np.zeros((2**layer, 4)), h[: -(2**layer)]])
        kernel = p[f"dilated_{layer}"]["kernel"]  # [2, 4, 8]: an earlier row, then the row itself
        gates = before @ kernel[0] + h @ kernel[1] + p[f"dilated_{layer}"]["bias"]
        z = np.tanh(gates[:, :4]) / (1 + np.exp(-gates[:, 4:]))
        h = h + dense(z, p[f"residual_{layer}"])
        skips = skips + dense(z, p[f"skip_{layer}"])
    expected = dense(np.maximum(skips[-1], 0), p["out"])
    np.testing.assert_allclose(encoder.apply(params, x, y), expected, rtol=1e-9)


def test_film_in_numpy(x64):
    """The third block: convolution, normalisation, `gamma * x + beta`, ReLU, then pooling."""
    rng = np.random.default_rng(4)
    net = networks.conv4(2, width=3)
    x, context = rng.normal(size=(3, 16, 16, 1)), rng.normal(size=4)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.array(x), jnp.array(context))
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    p = params["params"]
    found = net.apply(params, jnp.array(x), jnp.array(context))
    film = context @ p["film"]["kernel"] + p["film"]["bias"]
    assert film[:3].min() < 0  # Where pooling and factor do not commute.
    for number in range(4):
        block, size = p[f"block_{number}"], x.shape[1]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = sum(
            padded[:, i : i + size, j : j + size] @ block["kernel"][i, j]
            for i in range(3)
            for j in range(3)
        )
        x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
        x = x * block["norm"]["scale"] + block["norm"]["bias"]
        if number == 2:
            x = film[:3] * x + film[3:]
        x = np.maximum(x, 0).reshape(3, size // 2, 2, size // 2, 2, 3).max((2, 4))
    expected = x.reshape(3, -1) @ p["head"]["kernel"] + p["head"]["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_an_image_net_conditioned_by_film():
    net = networks.conv4(2, width=3, strided=True)
    encoder = networks.set_encoder(4, hidden=(4,), embed=networks.conv4(width=3, strided=True))
    learner = jaxmeta.conditional(net, encoder=encoder)
    x = jax.random.normal(jax.random.key(0), (5, 6, 6, 1))
    part = jaxmeta.Examples(x, jnp.eye(2)[jnp.array([0, 0, 1, 1, 1])])
    params = jax.jit(learner.init)(jax.random.key(1), jaxmeta.Episode(part, part))
    assert params["net"]["params"]["film"]["kernel"].shape == (4, 6)
    adapt, predict = jax.jit(learner.adapt), jax.jit(learner.predict)
    # Batch statistics leave out what is not valid, in the encoder and in the net.
    padded = jaxmeta.Examples(
        jnp.concatenate([x, 9 + x[:2]]), jnp.concatenate([part.y, part.y[:2]]), jnp.arange(7) < 5
    )
    before = predict(params, adapt(params, None, part), x)
    after = predict(params, adapt(params, None, padded), x)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)
    other = part._replace(y=part.y[::-1])
    assert np.abs(predict(params, adapt(params, None, other), x) - before).max() > 1e-3


@pytest.mark.parametrize(
    "outputs, message",
    [(1, r"must give \[M, 2 D\], mean and s, got shape \(3, 1\)"), (4, r"means \(3, 2\), targets")],
)
def test_outputs_that_are_no_mean_and_sigma_are_refused(outputs, message):
    net = networks.mlp(outputs, hidden=(3,))
    learner = jaxmeta.conditional(net, least_sigma=0.1)
    episode = jaxmeta.Episode(rows(3), rows(3))
    params = jax.jit(learner.init)(jax.random.key(0), episode)
    with pytest.raises(ValueError, match=message):
        learner.loss(params, None, episode)


def test_bad_values():
    with pytest.raises(ValueError, match=r"least_sigma must be in \[0, 1\), got 1.0"):
        jaxmeta.conditional(DECODER, encoder=networks.set_encoder(), least_sigma=1.0)
    with pytest.raises(ValueError, match="hidden and size must be >= 1"):
        networks.set_encoder(0)
    with pytest.raises(ValueError, match="layers must be >= 1, got 0"):
        networks.wavenet_encoder(layers=0)


@pytest.mark.slow
def test_a_conditional_neural_process_learns_a_gaussian_process():
    sample = jaxmeta.tasks.gaussian_process()
    net = networks.mlp(2, hidden=(128, 128), kernel_init=GLOROT)
    learner = jaxmeta.conditional(net, encoder=networks.set_encoder(), least_sigma=0.02)
    tx = optax.adam(optax.cosine_decay_schedule(1e-3, 10_000))
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=16, steps_per_call=500)
    for _ in range(20):
        state, _ = step(state, jax.random.key(1))

    def scores(key):
        support, query = sample(key)
        adapted = learner.adapt(state.params, key, support)
        mean, sigma = predictive(net, state.params, adapted, query.x, least_sigma=0.02)
        floor = jaxmeta.losses.masked_mean(support.y[:, 0], support.is_valid)
        inside = jnp.abs(query.y - mean) < 1.96 * sigma
        return jnp.square(query.y - mean).mean(), jnp.square(query.y - floor).mean(), inside.mean()

    keys = jax.random.split(jax.random.key(9), 1000)
    error, floor, coverage = (float(part.mean()) for part in jax.jit(jax.vmap(scores))(keys))
    assert error < 0.55 * floor
    assert 0.92 < coverage < 0.98
