import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jaxmeta
from jaxmeta.learners.metric import logistic_regression


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_against_scikit_learn(x64, c):
    rng = np.random.default_rng(0)
    labels = np.arange(9) % 3
    support = rng.normal(size=(9, 6)) + 2 * np.eye(3, 6)[labels]
    query = rng.normal(size=(4, 6))
    episode = jaxmeta.make_episode(support, labels, query, [0, 1, 2, 0])
    _, logits = jax.jit(logistic_regression(c=c).loss)({}, jax.random.key(0), episode)
    theirs = LogisticRegression(C=c, tol=1e-8).fit(unit(support), labels)
    np.testing.assert_allclose(
        jax.nn.softmax(logits), theirs.predict_proba(unit(query)), rtol=0, atol=2e-4
    )


def test_a_class_without_rows_is_never_predicted():
    episode = jaxmeta.make_episode(jnp.eye(3)[:2], [0, 2], jnp.eye(3), [0, 2, 0], n_way=3)
    _, logits = jax.jit(logistic_regression().loss)({}, jax.random.key(0), episode)
    assert jax.nn.softmax(logits)[:, 1].max() == 0
    assert logits.argmax(1)[:2].tolist() == [0, 2]


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_values(c):
    with pytest.raises(ValueError, match="c must be finite and > 0"):
        logistic_regression(c=c)
