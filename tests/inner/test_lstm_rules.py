import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.inner import inner_loop, rules

WEIGHTS = {"w": jnp.array([0.5, -1.0]), "b": jnp.array([[2.0]])}


def test_where_the_gates_start():
    for settings, rates in (({}, (0.0067, 0.018)), ({"input_bias": (-1.0, 0.0)}, (0.268, 0.5))):
        rule = jaxmeta.rules.lstm(3, **settings)
        bias = rule.init_params(jax.random.key(0), jnp.zeros(2))["input"]["bias"]
        assert rates[0] <= jax.nn.sigmoid(bias) <= rates[1]
    with pytest.raises(ValueError, match=r"forget_bias must go from the smaller .* \(2.0, 1.0\)"):
        jaxmeta.rules.lstm(3, forget_bias=(2.0, 1.0))


def loss(weights, _):
    return jnp.sum(weights["w"] ** 2) + jnp.sum(weights["b"] ** 4)


def test_preprocessing_gives_the_paper_s_values():
    seen = rules.log_and_sign(jnp.array([1.0, -0.5, 1e-3, 1e-6, 0.0]), p=10.0)
    expected = [
        (0.0, 1.0),
        (math.log(0.5) / 10, -1.0),
        (math.log(1e-3) / 10, 1.0),
        (-1.0, math.exp(10) * 1e-6),  # 1e-6 is below e^-10 = 4.5e-5.
        (-1.0, 0.0),
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-7)


def test_zero_weights_and_saturated_gates_are_gradient_descent(x64):
    """f = 1 and i = lr: c - lr grad."""
    rule, lr = rules.lstm(hidden=4), 0.05
    params = rule.init_params(jax.random.key(0), WEIGHTS)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params)
    params["forget"]["bias"] = jnp.array(1e3)
    params["input"]["bias"] = jnp.array(math.log(lr / (1 - lr)))
    start = jax.tree.map(lambda leaf: leaf.astype(float), WEIGHTS)
    ours, _ = inner_loop(rule, loss, params, start, steps=4)
    sgd, _ = inner_loop(rules.sgd(lr), loss, {}, start, steps=4)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(sgd), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_two_steps_against_numpy(x64):
    """The cell written out in numpy, coordinate by coordinate."""
    hidden, rng = 3, np.random.default_rng(0)
    rule = rules.lstm(hidden)
    params = jax.tree.map(
        lambda leaf: jnp.array(rng.normal(size=leaf.shape)),
        rule.init_params(jax.random.key(0), WEIGHTS),
    )
    cell = jax.tree.map(np.asarray, params["cell"]["params"])

    def preprocess(x):
        large = abs(x) >= math.exp(-10)
        return [math.log(abs(x)) / 10, np.sign(x)] if large else [-1.0, math.exp(10) * x]

    c = np.array([2.0, 0.5, -1.0])  # in the order of the flattened tree: b, then w
    h, m, f, i = np.zeros((3, hidden)), np.zeros((3, hidden)), np.zeros(3), np.zeros(3)
    for _ in range(2):
        value = c[1] ** 2 + c[2] ** 2 + c[0] ** 4
        grad = np.array([4 * c[0] ** 3, 2 * c[1], 2 * c[2]])
        for k in range(3):
            seen = np.array(preprocess(grad[k]) + preprocess(value))
            gate = {
                n: seen @ cell[f"i{n}"]["kernel"]
                + h[k] @ cell[f"h{n}"]["kernel"]
                + cell[f"h{n}"]["bias"]
                for n in "ifgo"
            }
            m[k] = sigmoid(gate["f"]) * m[k] + sigmoid(gate["i"]) * np.tanh(gate["g"])
            h[k] = sigmoid(gate["o"]) * np.tanh(m[k])
            for name, before in (("forget", f), ("input", i)):
                kernel, bias = (np.asarray(params[name][n]) for n in ("kernel", "bias"))
                before[k] = np.concatenate([h[k], [c[k], before[k]]]) @ kernel + bias
        c = sigmoid(f) * c - sigmoid(i) * grad
    start = jax.tree.map(lambda leaf: leaf.astype(float), WEIGHTS)
    ours, _ = inner_loop(rule, loss, params, start, steps=2)
    np.testing.assert_allclose(np.concatenate([ours["b"].ravel(), ours["w"]]), c, rtol=1e-10)


def test_it_starts_close_to_gradient_descent():
    rule = rules.lstm()
    params = rule.init_params(jax.random.key(0), WEIGHTS)
    moved, _ = inner_loop(rule, loss, params, WEIGHTS, steps=1)
    # f in sigmoid(4..5), i in sigmoid(-5..-4), both give or take the small kernels.
    assert 0.97 * 0.5 - 0.02 < moved["w"][0] < 0.995 * 0.5 - 0.005


def test_the_learned_optimiser_acts_on_each_coordinate_by_itself():
    rule = rules.coordinatewise_lstm(5, preprocess=lambda grad: grad[:, None])
    params = rule.init_params(jax.random.key(0), WEIGHTS)
    together, _ = inner_loop(rule, loss, params, WEIGHTS, steps=3)
    alone, _ = inner_loop(rule, lambda w, _: jnp.sum(w**4), params, WEIGHTS["b"], steps=3)
    np.testing.assert_allclose(together["b"], alone, rtol=1e-5)
    assert not np.allclose(together["b"], WEIGHTS["b"])


def test_the_output_is_scaled():
    small, large = (rules.coordinatewise_lstm(5, scale=scale) for scale in (0.01, 0.02))
    params = small.init_params(jax.random.key(0), WEIGHTS)
    one, two = (
        inner_loop(rule, loss, params, WEIGHTS, steps=1)[0]["w"] - WEIGHTS["w"]
        for rule in (small, large)
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4)


def test_truncation_cuts_the_outer_gradient_between_windows(x64):
    """On L = w^2 / 2 every step shrinks w by 1 - a, here 0.9."""
    for every in (1, 2, 3, 4, 5):

        def after(w, every=every):
            rule = rules.truncated(rules.sgd(0.1), every)
            return inner_loop(rule, lambda w, _: 0.5 * w**2, {}, w, steps=4, remat=False)[0]

        value, slope = jax.value_and_grad(after)(2.0)
        np.testing.assert_allclose(value, 2 * 0.9**4, rtol=1e-12)
        # The start is seen from the first window alone, so only when that is the last one too.
        np.testing.assert_allclose(slope, 0.9**4 if every >= 4 else 0.0, rtol=1e-12)


def test_learned_rates_inside_the_last_window_alone_get_a_gradient(x64):
    """d/da of w (1 - a)^4 / windows: steps of the last window count, the others are constants."""

    def after(rate, every):
        base = rules.per_parameter_sgd(0.1)
        rule = rules.truncated(base, every)
        return inner_loop(rule, lambda w, _: 0.5 * w**2, rate, jnp.array(2.0), steps=4)[0]

    for every, counted in ((2, 2), (4, 4), (3, 1)):
        slope = jax.grad(after)(jnp.array(0.1), every)
        start = 2.0 * 0.9 ** (4 - counted)
        np.testing.assert_allclose(slope, -counted * start * 0.9 ** (counted - 1), rtol=1e-12)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: rules.lstm(0), "hidden must be >= 1, got 0"),
        (lambda: rules.coordinatewise_lstm(0), "hidden must be >= 1"),
        (lambda: rules.coordinatewise_lstm(layers=0), "layers must be >= 1"),
        (lambda: rules.truncated(rules.sgd(0.1), 0), "every must be >= 1"),
        (lambda: rules.per_layer_per_step_sgd(0.1, 0), "steps must be >= 1"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_learned_optimiser_is_trained_over_its_whole_trajectory():
    """The loss is the mean over the trajectory of what the same updates give one by one."""
    net = jaxmeta.networks.linear(1, use_bias=False)
    sample = jaxmeta.tasks.quadratic(4)
    settings = {"loss_fn": optax.squared_error, "unroll": 2}
    learner = jaxmeta.learned_optimizer(net, inner_steps=3, **settings)
    key, episode = jax.random.key(1), sample(jax.random.key(2))
    params = learner.init(jax.random.key(0), episode)
    losses = []
    for steps in (1, 2, 3):
        partial = jaxmeta.learned_optimizer(net, inner_steps=steps, **settings)
        outputs = partial.predict(
            params, partial.adapt(params, key, episode.support), episode.query.x
        )
        losses.append(float(jnp.mean((outputs - episode.query.y) ** 2)))
    value, _ = learner.loss(params, key, episode)
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
