import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jaxmeta
from jaxmeta import analysis

RATES = (4e-3, 2e-3, 1e-3)


def net_setting(k):
    """A small net on k minibatches of a regression; tanh, so that derivatives are smooth."""
    net = jaxmeta.networks.mlp(
        1, hidden=(6,), activation=jnp.tanh, kernel_init=jax.nn.initializers.glorot_normal()
    )
    x = jax.random.normal(jax.random.key(0), (k, 5, 3))
    y = jnp.sin(x.sum(-1, keepdims=True))
    weights = jax.tree.map(lambda leaf: leaf.astype(float), net.init(jax.random.key(1), x[0]))

    def loss(weights, batch):
        x, y = batch
        return jnp.mean((net.apply(weights, x) - y) ** 2)

    return loss, weights, (x, y)


minibatches = pytest.mark.parametrize(
    "k", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]
)


@minibatches
def test_measured_coefficients_equal_the_theory(x64, k):
    found = analysis.expansion(*net_setting(k), inner_lrs=RATES)
    np.testing.assert_array_equal(
        found.theory, [[1, -(k - 1)], [1, -2 * (k - 1)], [k, -k * (k - 1) / 2]]
    )
    # Errors of the coefficients are of order a^2 and a: twice the last less the one before (and
    # four thirds less a third) leave the next order.
    first = (4 * found.coefficients[2, :, 0] - found.coefficients[1, :, 0]) / 3
    second = 2 * found.coefficients[2, :, 1] - found.coefficients[1, :, 1]
    np.testing.assert_allclose(first, found.theory[:, 0], rtol=1e-4)
    np.testing.assert_allclose(second, found.theory[:, 1], rtol=1e-2)


@minibatches
def test_the_residual_falls_by_four_with_each_halving(x64, k):
    found = analysis.expansion(*net_setting(k), inner_lrs=RATES)
    ratios = found.residual[:-1] / found.residual[1:]
    np.testing.assert_allclose(ratios, 4.0, rtol=0.03)


@minibatches
def test_wrong_coefficients_fall_by_two_only(x64, k):
    """With MAML's and FOMAML's coefficients of B exchanged, a term of order a is left."""
    loss, weights, batches = net_setting(k)

    def flat(tree):
        return np.asarray(ravel_pytree(tree)[0])

    a, b = map(flat, analysis.avg_grad_and_inner(loss, weights, batches))
    residuals = []
    for lr in RATES:
        found = analysis.meta_gradients(loss, weights, batches, inner_lr=lr)
        wrong = {"fomaml": a - 2 * (k - 1) * lr * b, "maml": a - (k - 1) * lr * b}
        residuals.append(
            [np.linalg.norm(flat(getattr(found, name)) - wrong[name]) for name in wrong]
        )
    ratios = np.array(residuals)[:-1] / np.array(residuals)[1:]
    np.testing.assert_allclose(ratios, 2.0, rtol=0.03)


def test_the_average_over_ten_orders_is_the_average_over_all(x64):
    """On quadratics everything is known: all 5! orders, written out in numpy."""
    import itertools

    k, lr, rng = 5, 0.05, np.random.default_rng(0)
    hessians = np.array([h @ h.T for h in rng.normal(size=(k, 3, 3))]) / 3
    centres, start = rng.normal(size=(k, 3)), rng.normal(size=3)

    def loss(w, batch):
        hessian, centre = batch
        return 0.5 * (w - centre) @ hessian @ (w - centre)

    found = analysis.avg_grad_and_inner(
        loss, jnp.array(start), (jnp.array(hessians), jnp.array(centres))
    )
    grads = np.einsum("kij,kj->ki", hessians, start - centres)
    np.testing.assert_allclose(found[0], grads.mean(0), rtol=1e-12)
    pairs = [hessians[i] @ grads[j] for i, j in itertools.permutations(range(k), 2)]
    np.testing.assert_allclose(found[1], np.mean(pairs, axis=0), rtol=1e-12)

    # One order by hand, for the paper's definitions of the three directions.
    directions = {"fomaml": [], "maml": [], "reptile": []}
    orders = [np.roll(np.arange(k), -r) for r in range(k)]
    for order in orders + [order[::-1] for order in orders]:
        w, chain, total = start, np.eye(3), np.zeros(3)
        for i in order[:-1]:
            g = hessians[i] @ (w - centres[i])
            total, w = total + g, w - lr * g
            chain = (np.eye(3) - lr * hessians[i]) @ chain
        last = hessians[order[-1]] @ (w - centres[order[-1]])
        directions["fomaml"].append(last)
        directions["maml"].append(chain.T @ last)
        directions["reptile"].append(total + last)
    found = analysis.meta_gradients(
        loss, jnp.array(start), (jnp.array(hessians), jnp.array(centres)), inner_lr=lr
    )
    for name, values in directions.items():
        np.testing.assert_allclose(getattr(found, name), np.mean(values, axis=0), rtol=1e-10)


def test_directions_part_as_the_rate_grows(x64):
    found = analysis.expansion(*net_setting(3), inner_lrs=(1e-4, 0.1))
    assert (found.cosine[0] > 0.9999).all()
    assert (found.cosine[1] < found.cosine[0]).all()


def test_bad_values():
    loss, weights, batches = net_setting(2)
    with pytest.raises(ValueError, match="inner_lrs must be > 0, got 0"):
        analysis.expansion(loss, weights, batches, inner_lrs=[0.1, 0])
    one = jax.tree.map(lambda leaf: leaf[:1], batches)
    with pytest.raises(ValueError, match="leading axis of 2 or more, got 1"):
        analysis.expansion(loss, weights, one, inner_lrs=[0.1])
