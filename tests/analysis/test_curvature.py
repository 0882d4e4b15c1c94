import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import analysis


def matrix(n=12):
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return (q * np.linspace(-2.0, 5.0, n)) @ q.T


def test_lanczos_of_full_order_finds_all_eigenvalues(x64):
    a = jnp.array(matrix())

    def quadratic(x):
        flat = jnp.concatenate([x["one"], x["two"].ravel()])
        return 0.5 * flat @ a @ flat

    x = {"one": jnp.ones(4), "two": jnp.ones((2, 4))}
    found = analysis.hessian_spectrum(quadratic, x, jax.random.key(0), order=50)
    assert found.dimension == 12
    np.testing.assert_allclose(found.eigenvalues[0], np.linspace(-2, 5, 12), rtol=1e-8)
    np.testing.assert_allclose(found.weights.sum(1), 1.0, rtol=1e-10)


def test_few_steps_find_the_outermost_eigenvalues(x64):
    n = 200
    diagonal = np.concatenate([[-3.0, 40.0], np.linspace(0, 1, n - 2)])
    found = analysis.hessian_spectrum(
        lambda x: 0.5 * jnp.sum(jnp.array(diagonal) * x**2),
        jnp.ones(n),
        jax.random.key(1),
        order=15,
    )
    np.testing.assert_allclose(found.eigenvalues[0, [0, -1]], [-3.0, 40.0], rtol=1e-6)


def test_the_density_has_the_trace_on_average(x64):
    n = 100
    diagonal = np.linspace(0, 1, n)
    found = analysis.hessian_spectrum(
        lambda x: 0.5 * jnp.sum(jnp.array(diagonal) * x**2),
        jnp.ones(n),
        jax.random.key(1),
        order=10,
        probes=200,
    )
    means = (found.eigenvalues * found.weights).sum(1)  # v' H v for unit v: trace / n on average.
    assert abs(means.mean() - 0.5) < 4 * means.std() / 200**0.5


def test_an_exhausted_space_ends_in_zeros(x64):
    found = analysis.hessian_spectrum(
        lambda x: 1.5 * jnp.sum(x**2), jnp.ones(6), jax.random.key(0), order=6
    )
    assert np.isfinite(found.eigenvalues).all()
    np.testing.assert_allclose((found.eigenvalues * found.weights).sum(1), 3.0, rtol=1e-10)


@pytest.mark.parametrize("derivative", ["reverse", "forward_over_reverse"])
def test_hessian_of_a_meta_loss_against_differences_of_its_gradient(x64, derivative):
    net = jaxmeta.networks.mlp(
        1, hidden=(5,), activation=jnp.tanh, kernel_init=jax.nn.initializers.glorot_normal()
    )
    learner = jaxmeta.maml(
        net,
        rule=jaxmeta.rules.sgd(0.1),
        inner_steps=2,
        loss_fn=optax.squared_error,
        derivative=derivative,
    )
    episode = jax.tree.map(
        lambda leaf: leaf.astype(float), jaxmeta.tasks.sinusoid()(jax.random.key(0))
    )
    params = jax.tree.map(
        lambda leaf: leaf.astype(float), jax.jit(learner.init)(jax.random.key(1), episode)
    )
    keys = jax.random.split(jax.random.key(2), len(jax.tree.leaves(params)))
    vector = jax.tree.unflatten(
        jax.tree.structure(params),
        [
            jax.random.normal(key, leaf.shape)
            for key, leaf in zip(keys, jax.tree.leaves(params), strict=True)
        ],
    )

    def meta_loss(params):
        return learner.loss(params, None, episode)[0]

    product = jax.jit(lambda p: analysis.hessian_vector_product(meta_loss, p, vector))(params)
    gradient, step = jax.jit(jax.grad(meta_loss)), 1e-5
    ahead, behind = (
        gradient(optax.tree.add_scale(params, sign * step, vector)) for sign in (1, -1)
    )
    expected = jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)
    for ours, theirs in zip(jax.tree.leaves(product), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_bad_values():
    with pytest.raises(ValueError, match="order must be >= 1, got 0"):
        analysis.hessian_spectrum(jnp.sum, jnp.ones(2), jax.random.key(0), order=0)
