"""iMAML on quadratic tasks L(w) = (w - c)' A (w - c) / 2, whose proximal solution is known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import rules
from jaxmeta.inner import proximal_solution

LAM = 2.0
A = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.7]])
ROOT = np.linalg.cholesky(A).T  # A = ROOT' ROOT
C_SUPPORT, C_QUERY, THETA = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [0.3, 0.2, -0.1]])


def episode():
    """Rows of a linear regression: the sum of squares over rows is the quadratic form."""
    x = jnp.array(ROOT)
    return jaxmeta.Episode(
        jaxmeta.Examples(x, jnp.array(ROOT @ C_SUPPORT)[:, None]),
        jaxmeta.Examples(x, jnp.array(ROOT @ C_QUERY)[:, None]),
    )


LINEAR = SimpleNamespace(init=lambda key, x: jnp.array(THETA), apply=lambda w, x: (x @ w)[:, None])


def loss_fn(outputs, y):  # The library's mean over three rows makes the sum of squares, halved.
    return 1.5 * (outputs - y) ** 2


def test_meta_gradient_of_the_closed_form(x64):
    """phi = (A + lam I)^-1 (A c + lam theta); d L_q = lam (A + lam I)^-1 A (phi - c_q)."""
    learner = jaxmeta.imaml(
        LINEAR, rule=rules.sgd(0.2), inner_steps=300, lam=LAM, cg_steps=20, loss_fn=loss_fn
    )
    params = jax.jit(learner.init)(jax.random.key(0), episode())
    inverse = np.linalg.inv(A + LAM * np.eye(3))
    phi = inverse @ (A @ C_SUPPORT + LAM * THETA)
    np.testing.assert_allclose(
        jax.jit(learner.adapt)(params, None, episode().support), phi, rtol=1e-10, atol=1e-12
    )
    (value, _), grads = jax.value_and_grad(learner.loss, has_aux=True)(params, None, episode())
    np.testing.assert_allclose(value, 0.5 * (phi - C_QUERY) @ A @ (phi - C_QUERY), rtol=1e-10)
    np.testing.assert_allclose(grads.net, LAM * inverse @ A @ (phi - C_QUERY), rtol=1e-8)


def test_damping_is_added_to_the_system(x64):
    learner = jaxmeta.imaml(
        LINEAR,
        rule=rules.sgd(0.2),
        inner_steps=300,
        lam=LAM,
        cg_steps=20,
        damping=0.7,
        loss_fn=loss_fn,
    )
    params = jax.jit(learner.init)(jax.random.key(0), episode())
    phi = np.linalg.solve(A + LAM * np.eye(3), A @ C_SUPPORT + LAM * THETA)
    grads, _ = jax.grad(learner.loss, has_aux=True)(params, None, episode())
    expected = np.linalg.solve(1.7 * np.eye(3) + A / LAM, A @ (phi - C_QUERY))
    np.testing.assert_allclose(grads.net, expected, rtol=1e-8)


def test_what_the_loss_closes_over_is_differentiated(x64):
    """d phi / dc = (A + lam I)^-1 A."""

    def solution(c):
        return proximal_solution(
            rules.sgd(0.2),
            lambda w: 0.5 * (w - c) @ jnp.array(A) @ (w - c),
            jnp.array(THETA),
            steps=300,
            lam=LAM,
            cg_steps=20,
        )

    jacobian = jax.jacrev(solution)(jnp.array(C_SUPPORT))
    np.testing.assert_allclose(jacobian, np.linalg.solve(A + LAM * np.eye(3), A), rtol=1e-8)


def test_memory_does_not_grow_with_inner_steps(optimised):
    net = jaxmeta.networks.mlp(2, hidden=(32, 32))
    x = jnp.ones((10, 8))
    part = jaxmeta.Examples(x, jnp.eye(2)[jnp.arange(10) % 2])

    def temporary_bytes(steps):
        learner = jaxmeta.imaml(net, inner_steps=steps)
        params = jax.jit(learner.init)(jax.random.key(0), jaxmeta.Episode(part, part))
        step = jax.jit(jax.grad(learner.loss, has_aux=True))
        compiled = step.lower(params, jax.random.key(0), jaxmeta.Episode(part, part)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary_bytes(500) <= 1.01 * temporary_bytes(5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lam": 0.0}, "lam must be finite and > 0, got 0.0"),
        ({"cg_steps": -1}, "cg_steps must be >= 0, got -1"),
        ({"damping": -0.1}, "damping must be >= 0, got -0.1"),
        ({"inner_steps": -1}, "inner_steps must be >= 0"),
    ],
)
def test_bad_values(settings, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.imaml(LINEAR, **settings)
