import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.rl import trust_region_step
from jaxmeta.rl._trust_region import conjugate_gradients

rng = np.random.default_rng(0)
ROOT = rng.normal(size=(5, 5))
METRIC = ROOT @ ROOT.T + np.eye(5)
GOAL = rng.normal(size=5)


def test_conjugate_gradients_solve_in_as_many_steps_as_unknowns(x64):
    b = jnp.array(rng.normal(size=5))
    x = conjugate_gradients(lambda v: METRIC @ v, b, 5)
    np.testing.assert_allclose(x, np.linalg.solve(METRIC, b), rtol=1e-8)
    # More steps than needed do no harm, and nothing is asked of b = 0.
    np.testing.assert_allclose(conjugate_gradients(lambda v: METRIC @ v, b, 30), x, rtol=1e-8)
    assert not conjugate_gradients(lambda v: METRIC @ v, jnp.zeros(5), 3).any()


def quadratic_step(params, max_kl, **settings):
    def kl(outputs):
        moved = outputs - params
        return 0.5 * moved @ METRIC @ moved

    return jax.jit(
        lambda params: trust_region_step(
            params,
            lambda x: x @ GOAL,
            lambda x: x,
            kl,
            max_kl=max_kl,
            damping=0.0,
            **settings,
        )
    )(params)


def test_on_a_linear_loss_it_goes_to_the_border_of_the_region(x64):
    # min g x under x M x / 2 <= d has x = -sqrt(2 d / (g M^-1 g)) M^-1 g.
    start = jnp.array(rng.normal(size=5))
    direction = np.linalg.solve(METRIC, GOAL)
    expected = start - np.sqrt(2 * 0.0099 / (GOAL @ direction)) * direction
    new, info = quadratic_step(start, 0.0099)
    assert info.is_accepted and info.kl <= 0.0099
    # On the border itself rounding decides; the line search may then halve once.
    full = np.linalg.norm(expected - start)
    ratio = np.linalg.norm(new - start) / full
    assert min(abs(ratio - 1), abs(ratio - 0.5)) < 1e-9
    np.testing.assert_allclose((new - start) / ratio, expected - start, rtol=1e-7)
    np.testing.assert_allclose(info.improvement, (start - new) @ GOAL, rtol=1e-9)
    np.testing.assert_allclose(info.grad_norm, np.linalg.norm(GOAL), rtol=1e-12)


def test_the_line_search_keeps_the_bound_and_improves(x64):
    # Here the divergence grows faster than its quadratic model, and the loss has a valley.
    start = jnp.array([0.5, -0.2])

    def outputs(x):
        return jnp.stack([jnp.sinh(4 * x[0]) + x[1], 3 * x[1]])

    at = outputs(start)

    def loss(x):
        return jnp.sum((x - 0.45) ** 2)

    def kl(out):
        return jnp.sum((out - at) ** 2) + jnp.sum((out - at) ** 4)

    new, info = trust_region_step(start, loss, outputs, kl, max_kl=0.05, damping=0.0)
    assert info.is_accepted and 0 < info.kl <= 0.05
    np.testing.assert_allclose(info.kl, kl(outputs(new)), rtol=1e-12)
    assert info.improvement > 0
    np.testing.assert_allclose(info.improvement, loss(start) - loss(new), rtol=1e-9)


def test_where_nothing_improves_the_parameters_stay(x64):
    start = jnp.array([1.0, 2.0])

    def loss(x):  # Its gradient points uphill: no length of the step lowers it.
        slope = jnp.sum(x)
        return jax.lax.stop_gradient(-slope) * 2 + slope

    new, info = trust_region_step(
        start, loss, lambda x: x, lambda out: jnp.sum((out - start) ** 2), backtracks=4
    )
    assert not info.is_accepted and info.kl == 0 and info.improvement == 0
    np.testing.assert_array_equal(new, start)


def test_the_curvature_is_the_divergence_s_hessian(x64):
    # Through curved outputs J^T H J is the Hessian at the point, where the divergence is flat.
    start = jnp.array([0.3, -0.7, 0.2])
    weights = jnp.array(rng.normal(size=(4, 3)))

    def outputs(x):
        return jnp.tanh(weights @ x)

    at = outputs(start)

    def kl(out):
        return jnp.sum((jnp.exp(out - at) - 1 - (out - at)) * jnp.arange(1.0, 5.0))

    gradient = jnp.array([1.0, -2.0, 0.5])
    full = jax.hessian(lambda x: kl(outputs(x)))(start)
    direction = np.linalg.solve(full, gradient)
    new, info = trust_region_step(
        start, lambda x: x @ gradient, outputs, kl, max_kl=1e-8, damping=0.0
    )
    assert info.is_accepted
    moved = np.asarray(new - start)
    cosine = -moved @ direction / np.linalg.norm(moved) / np.linalg.norm(direction)
    np.testing.assert_allclose(cosine, 1, rtol=1e-9)
