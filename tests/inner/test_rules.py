import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jaxmeta.inner import inner_loop, rules


def run(rule, loss, weights, steps=3, **settings):
    return inner_loop(rule, lambda w, _: loss(w), {}, weights, steps=steps, **settings)[0]


@pytest.mark.parametrize("tx", [optax.adam(0.1), optax.sign_sgd(0.1), optax.rmsprop(0.1)])
def test_from_optax_gives_optax_own_weights(x64, tx):
    target = jnp.array([1.0, -2.0, 0.0])  # The last gradient entry is exactly zero.

    def loss(w):
        return jnp.sum((w - target) ** 4)

    weights = jnp.zeros(3)
    state = tx.init(weights)
    for _ in range(3):
        updates, state = tx.update(jax.grad(loss)(weights), state, weights)
        weights = optax.apply_updates(weights, updates)
    adapted = run(rules.from_optax(tx), loss, jnp.zeros(3))
    np.testing.assert_allclose(adapted, weights, rtol=1e-14, atol=0)


@pytest.mark.parametrize("derivative", ["reverse", "forward_over_reverse"])
def test_adam_has_finite_meta_gradients_at_zero_gradient_entries(derivative):
    def outer(start):
        def loss(w):  # The second weight stands behind a dead ReLU.
            return (w[0] - 1.0) ** 2 + jax.nn.relu(w[1] - 5.0)

        weights = run(rules.from_optax(optax.adam(0.1)), loss, start, derivative=derivative)
        return jnp.sum(weights**2)

    grads = jax.grad(outer)(jnp.zeros(2))
    assert np.isfinite(grads).all()
    assert grads[0] != 0


def test_adam_meta_gradient_against_finite_differences(x64):
    def outer(start):
        weights = run(rules.from_optax(optax.adam(0.1)), lambda w: jnp.sum((w - 1.0) ** 4), start)
        return jnp.sum(jnp.sin(weights))

    check_grads(outer, (jnp.array([0.3, -0.4]),), 1, modes=["rev"], rtol=1e-6)


def test_per_parameter_sgd_moves_each_weight_at_its_rate():
    rule = rules.per_parameter_sgd(0.5)
    rates = rule.init_params(jax.random.key(0), {"w": jnp.zeros(2)})
    np.testing.assert_array_equal(rates["w"], [0.5, 0.5])
    moved, _ = rule.update(
        {"w": jnp.array([1.0, -2.0])},
        {},
        {"w": jnp.ones(2)},
        {"w": jnp.array([3.0, 3.0])},
        jnp.zeros(()),
    )
    np.testing.assert_array_equal(moved["w"], [-2.0, 7.0])


@pytest.mark.parametrize("make", [rules.sgd, rules.per_parameter_sgd])
@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_rates_are_checked(make, lr):
    with pytest.raises(ValueError, match="lr must be finite and >= 0, got"):
        make(lr)


def test_from_optax_refuses_another_thing():
    with pytest.raises(TypeError, match="GradientTransformation, got float"):
        rules.from_optax(0.1)


def test_zero_steps_is_the_identity():
    weights = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(run(rules.sgd(0.1), jnp.sum, weights, steps=0), weights)
