"""MAML++ on the quadratic of `test_quadratic.py`, and its parts by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.learners.gradient import counting_steps, step_weights

W, SUPPORT, QUERY = 0.5, 2.0, -1.0
POINT = SimpleNamespace(init=lambda key, x: jnp.array(W), apply=lambda w, x: w + 0 * x)


def episode():
    one = jnp.ones((1, 1))
    return jaxmeta.Episode(jaxmeta.Examples(one, SUPPORT * one), jaxmeta.Examples(one, QUERY * one))


def half_square(outputs, y):
    return 0.5 * (outputs - y) ** 2


def test_rates_of_each_step_receive_the_gradient_of_the_closed_form(x64):
    """w_T - c = prod_t (1 - a_t) (w - c), so dL/da_t = -(w_T - c_s) (w_T - c_q) / (1 - a_t)."""
    rates = np.array([0.3, 0.1, 0.45])
    learner = jaxmeta.maml_plus_plus(
        POINT, lr=0.3, inner_steps=3, annealing_steps=0, loss_fn=half_square
    )
    params = jax.jit(learner.init)(jax.random.key(0), episode())._replace(rule=jnp.array(rates))
    (value, _), grads = jax.value_and_grad(learner.loss, has_aux=True)(
        params, jax.random.key(0), episode()
    )
    last = SUPPORT + np.prod(1 - rates) * (W - SUPPORT)
    np.testing.assert_allclose(value, 0.5 * (last - QUERY) ** 2, rtol=1e-12)
    np.testing.assert_allclose(grads.net, np.prod(1 - rates) * (last - QUERY), rtol=1e-12)
    expected = -(last - SUPPORT) * (last - QUERY) / (1 - rates)
    np.testing.assert_allclose(grads.rule, expected, rtol=1e-12)
    assert grads.step == 0


def test_the_loss_after_each_step_counts_by_its_weight(x64):
    learner = jaxmeta.maml_plus_plus(
        POINT, lr=0.3, inner_steps=3, annealing_steps=100, loss_fn=half_square
    )
    params = jax.jit(learner.init)(jax.random.key(0), episode())
    for step in (0, 40, 99, 100):
        value, _ = jax.jit(learner.loss)(params._replace(step=jnp.float64(step)), None, episode())
        early = max((1 - step / 100) / 3, 0.01) if step < 100 else 0.0
        weights = [early, early, 1 - 2 * early]
        after = [SUPPORT + 0.7**t * (W - SUPPORT) for t in (1, 2, 3)]
        expected = sum(v * 0.5 * (w - QUERY) ** 2 for v, w in zip(weights, after, strict=True))
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_weights_of_the_released_code():
    """get_per_step_loss_importance_vector with 5 steps and 10 epochs, at epochs 0, 3 and 9."""
    np.testing.assert_allclose(step_weights(jnp.array(0.0), 5, 10), [0.2] * 5, rtol=1e-6)
    np.testing.assert_allclose(step_weights(jnp.array(3.0), 5, 10), [0.14] * 4 + [0.44], rtol=1e-6)
    np.testing.assert_allclose(step_weights(jnp.array(9.0), 5, 10), [0.02] * 4 + [0.92], rtol=1e-6)
    late = step_weights(jnp.array(9.9), 5, 10)
    np.testing.assert_allclose(late, [0.006] * 4 + [0.976], rtol=1e-6)
    np.testing.assert_allclose(step_weights(jnp.array(10.0), 5, 10), [0, 0, 0, 0, 1], atol=1e-7)


def test_the_optimiser_counts_meta_steps():
    learner = jaxmeta.maml_plus_plus(
        jaxmeta.networks.mlp(1, hidden=(4,)), inner_steps=2, loss_fn=optax.squared_error
    )
    tx = counting_steps(optax.adam(1e-2))
    sample = jaxmeta.tasks.sinusoid()
    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    before = jax.tree.map(np.asarray, state.params)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=2, steps_per_call=3)
    state, _ = step(state, jax.random.key(0))
    assert float(state.params.step) == 3.0
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before.net, state.params.net)
    assert max(jax.tree.leaves(moved)) > 0.01


def test_each_step_has_normalisation_weights_of_its_own():
    net = jaxmeta.networks.conv4(2, width=3, strided=True)
    learner = jaxmeta.maml_plus_plus(net, lr=0.5, inner_steps=3)
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    part = jaxmeta.Examples(x, jnp.eye(2)[jnp.array([0, 0, 1, 1])])
    episode = jaxmeta.Episode(part, part)
    params = jax.jit(learner.init)(jax.random.key(1), episode)
    block = params.net["params"]["block_1"]
    assert block["norm"]["scale"].shape == (3, 3) and block["kernel"].shape == (3, 3, 3, 3)
    assert "norm" not in str(jax.tree.leaves_with_path(params.rule))
    grads, _ = jax.grad(learner.loss, has_aux=True)(params, None, episode)
    by_step = jnp.abs(grads.net["params"]["block_1"]["norm"]["scale"]).max(1)
    assert (by_step > 0).all()
    # Not adapted: those of the last step come through as they are.
    adapted = jax.jit(learner.adapt)(params, None, part)["params"]
    last = params.net["params"]["block_2"]["norm"]["bias"][-1]
    np.testing.assert_array_equal(adapted["block_2"]["norm"]["bias"], last)
    assert not np.array_equal(
        adapted["block_2"]["kernel"], params.net["params"]["block_2"]["kernel"]
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"inner_steps": 0}, "inner_steps must be >= 1, got 0"),
        ({"annealing_steps": -1}, "annealing_steps must be >= 0, got -1"),
        ({"lr": -1.0}, "lr must be finite and >= 0"),
    ],
)
def test_bad_values(settings, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.maml_plus_plus(POINT, **settings)
