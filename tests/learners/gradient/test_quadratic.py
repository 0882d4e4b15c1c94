"""Meta-gradients on the quadratic L(w) = (w - c)^2 / 2, worked out by hand.

T gradient steps of size a shrink w - c_s by (1 - a)^T, so with w_T = c_s + (1 - a)^T (w - c_s):
MAML's meta-gradient is (1 - a)^T (w_T - c_q), FOMAML's w_T - c_q and Reptile's w - w_T.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import rules

W, SUPPORT, QUERY, RATE = 0.5, 2.0, -1.0, 0.3
POINT = SimpleNamespace(init=lambda key, x: jnp.array(W), apply=lambda w, x: w + 0 * x)


def half_square(outputs, y):
    return 0.5 * (outputs - y) ** 2


def episode():
    one = jnp.ones((1, 1))
    return jaxmeta.Episode(jaxmeta.Examples(one, SUPPORT * one), jaxmeta.Examples(one, QUERY * one))


def value_and_grad(learner):
    key = jax.random.key(0)
    params = jax.jit(learner.init)(key, episode())
    (value, _), grads = jax.value_and_grad(learner.loss, has_aux=True)(params, key, episode())
    return value, grads


def after(steps):
    return SUPPORT + (1 - RATE) ** steps * (W - SUPPORT)


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("derivative", ["reverse", "forward_over_reverse"])
@pytest.mark.parametrize("remat", [False, True])
def test_maml(x64, steps, derivative, remat):
    learner = jaxmeta.maml(
        POINT,
        rule=rules.sgd(RATE),
        inner_steps=steps,
        loss_fn=half_square,
        derivative=derivative,
        remat=remat,
    )
    value, grads = value_and_grad(learner)
    np.testing.assert_allclose(value, 0.5 * (after(steps) - QUERY) ** 2, rtol=1e-12)
    np.testing.assert_allclose(grads.net, (1 - RATE) ** steps * (after(steps) - QUERY), rtol=1e-12)


@pytest.mark.parametrize("steps", range(6))
def test_fomaml(x64, steps):
    learner = jaxmeta.fomaml(POINT, rule=rules.sgd(RATE), inner_steps=steps, loss_fn=half_square)
    _, grads = value_and_grad(learner)
    np.testing.assert_allclose(grads.net, after(steps) - QUERY, rtol=1e-12)


@pytest.mark.parametrize("steps", range(1, 6))
def test_reptile(x64, steps):
    learner = jaxmeta.reptile(POINT, rule=rules.sgd(RATE), inner_steps=steps, loss_fn=half_square)
    value, grads = value_and_grad(learner)
    np.testing.assert_allclose(value, 0.5 * (after(steps) - QUERY) ** 2, rtol=1e-12)
    np.testing.assert_allclose(grads.net, W - after(steps), rtol=1e-12)


def test_meta_sgd(x64):
    # d/da L_q(w - a g_s) = -g_s (w_1 - c_q), with g_s = w - c_s.
    _, grads = value_and_grad(jaxmeta.meta_sgd(POINT, lr=RATE, loss_fn=half_square))
    np.testing.assert_allclose(grads.rule, -(W - SUPPORT) * (after(1) - QUERY), rtol=1e-12)
    np.testing.assert_allclose(grads.net, (1 - RATE) * (after(1) - QUERY), rtol=1e-12)
