import jax
import jax.numpy as jnp
import numpy as np
import pytest
from identity import Identity

import jaxmeta
from jaxmeta.learners.metric._ridge import primal, woodbury


@pytest.mark.parametrize("rows, columns", [(7, 3), (3, 7)])
def test_primal_equals_woodbury(x64, rows, columns):
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(rows, columns)), rng.normal(size=(rows, 4))
    expected = np.linalg.inv(inputs.T @ inputs + 0.3 * np.eye(columns)) @ inputs.T @ targets
    for solve in (primal, woodbury):
        np.testing.assert_allclose(solve(inputs, targets, 0.3), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [4, 12])  # Fewer and more rows than columns.
def test_logits_against_numpy(x64, rows):
    rng = np.random.default_rng(1)
    labels = np.arange(rows) % 3
    support, query = rng.normal(size=(rows, 5)), rng.normal(size=(4, 5))
    episode = jaxmeta.make_episode(support, labels, query, [0, 1, 2, 0])
    learner = jaxmeta.ridge(Identity(), lam=0.7)
    params = learner.init(jax.random.key(0), episode)
    params = params._replace(scale=jnp.asarray(3.0), shift=jnp.asarray(-0.2))
    _, logits = learner.loss(params, jax.random.key(0), episode)
    x = np.c_[support, np.ones(rows)] / np.sqrt(rows)
    y = np.eye(3)[labels] / np.sqrt(rows)
    weights = np.linalg.solve(x.T @ x + 0.7 * np.eye(6), x.T @ y)
    np.testing.assert_allclose(logits, 3.0 * (np.c_[query, np.ones(4)] @ weights) - 0.2, rtol=1e-10)


@pytest.mark.parametrize("lam", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_values(lam):
    with pytest.raises(ValueError, match="lam must be finite and > 0"):
        jaxmeta.ridge(Identity(), lam=lam)
