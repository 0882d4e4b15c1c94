"""Values and derivatives at the edge of the floats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.learners.metric import cosine
from jaxmeta.learners.metric._log_means import log_means
from jaxmeta.learners.metric._matching import _log_attention
from jaxmeta.learners.metric._siamese import _class_scores


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_cosine_of_a_zero_vector_is_zero_and_flat(dtype):
    x, centres = jnp.array([[0.0, 0.0], [3.0, 4.0]], dtype), jnp.array([[1.0, 0.0]], dtype)
    np.testing.assert_allclose(cosine(x, centres)[:, 0].astype(float), [1, 0.4], rtol=4e-3)

    def total(x):
        return jnp.sum(cosine(x, centres))

    # 1 - x1 / |x| has the gradient -(16, -12) / 125 at (3, 4).
    slope = jax.grad(total)(x).astype(float)
    np.testing.assert_allclose(slope, [[0, 0], [-0.128, 0.096]], rtol=0.01)
    assert np.isfinite(jax.hessian(total)(x).astype(float)).all()
    np.testing.assert_array_equal(jax.hessian(total)(x)[0].astype(float), 0)


@pytest.mark.parametrize("size", [1e-4, 1.0, 300.0])
def test_squares_beyond_float16_do_not_spoil_a_cosine(size):
    # 1e-8 is zero in float16, and 9e4 infinite.
    x = jnp.array([[3.0, 4.0]], jnp.float16) * jnp.float16(size)
    centres = jnp.array([[5.0, 12.0]], jnp.float16) * jnp.float16(size)
    np.testing.assert_allclose(cosine(x, centres).astype(float), [[1 - 63 / 65]], atol=2e-3)


def test_log_attention_where_the_probabilities_are_no_floats():
    # exp(-300) is zero in float32. The rows of class 1 weigh exp(-300) and exp(-301) of exp(0).
    labels = jnp.array([[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    logs = _log_attention(jnp.array([[0.0, -300, -301]]), labels)
    np.testing.assert_allclose(logs[0, :2], [0, -300 + np.log1p(np.exp(-1))], rtol=1e-6)
    assert logs[0, 2] < -1e29
    slope = jax.grad(lambda scores: _log_attention(scores, labels)[0, 1])(
        jnp.array([[0.0, -300, -301]])
    )
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(slope, [[-1, share, 1 - share]], rtol=1e-5)


def test_log_odds_where_the_probabilities_are_no_floats():
    labels = jnp.array([[1.0, 0], [0, 1.0], [0, 1.0]])
    odds = _class_scores(jnp.array([[-200.0, 200, 200]]), labels)
    np.testing.assert_allclose(odds, [[-200, 200]], rtol=1e-6)


def test_log_means_against_numpy():
    rng = np.random.default_rng(0)
    logs, weights = rng.normal(size=(4, 5)), rng.random((5, 3))
    expected = np.log(np.exp(logs) @ weights)
    np.testing.assert_allclose(log_means(jnp.array(logs), jnp.array(weights)), expected, rtol=1e-5)
