import jax
import jax.numpy as jnp
import numpy as np
import pytest
from identity import Identity

import jaxmeta


def test_probability_and_loss_by_hand(x64):
    # One query (1, 0), label 0; support (0, 0) of class 0, (1, 2) and (3, 1) of class 1.
    # |differences|: (1, 0), (0, 2), (2, 1); alpha = (-1, -0.5), b = 0.5.
    learner = jaxmeta.siamese(Identity())
    episode = jaxmeta.make_episode([[0.0, 0], [1, 2], [3, 1]], [0, 1, 1], [[1.0, 0]], [0])
    params = jax.jit(learner.init)(jax.random.key(0), episode)
    head = {"params": {"kernel": jnp.array([[-1.0], [-0.5]]), "bias": jnp.array([0.5])}}
    assert jax.tree.structure(params.head) == jax.tree.structure(head)
    loss, outputs = jax.jit(learner.loss)(params._replace(head=head), jax.random.key(0), episode)
    p = 1 / (1 + np.exp(-np.array([-0.5, -0.5, -2.0])))
    np.testing.assert_allclose(jax.nn.sigmoid(outputs), [[p[0], (p[1] + p[2]) / 2]], rtol=1e-12)
    # Half the mean over equal pairs, half that over unequal ones.
    expected = -np.log(p[0]) / 2 - np.log(1 - p[1:]).mean() / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.slow
def test_the_start_calls_equal_inputs_alike_and_others_less(x64):
    embed = jaxmeta.networks.siamese_embedding(8, width=2)
    learner = jaxmeta.siamese(embed)
    x = jax.random.uniform(jax.random.key(0), (4, 16, 16, 1))
    episode = jaxmeta.make_episode(x[:2], [0, 1], x, [0, 1, 0, 1])
    params = jax.jit(learner.init)(jax.random.key(1), episode)
    adapted = jax.jit(learner.adapt)(params, jax.random.key(2), episode.support)
    assert adapted.embedded.shape == (2, 8)
    assert np.all((adapted.embedded > 0) & (adapted.embedded < 1))
    p = jax.nn.sigmoid(learner.predict(params, adapted, x))
    np.testing.assert_allclose([p[0, 0], p[1, 1]], 1 / (1 + np.exp(-2.0)), rtol=1e-6)
    assert np.all(p <= p[0, 0] * (1 + 1e-6)) and p[0, 1] < p[0, 0]


@pytest.mark.parametrize("name", ["units", "width"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
        jaxmeta.networks.siamese_embedding(**{name: 0})


def test_far_pairs_stay_finite():
    learner = jaxmeta.siamese(Identity())
    episode = jaxmeta.make_episode([[0.0], [1e4]], [0, 1], [[0.0]], [0])
    params = jax.jit(learner.init)(jax.random.key(0), episode)
    head = {"params": {"kernel": jnp.array([[-1.0]]), "bias": jnp.array([0.0])}}
    params = params._replace(head=head)
    (loss, outputs), grads = jax.value_and_grad(learner.loss, has_aux=True)(
        params, jax.random.key(0), episode
    )
    assert np.isfinite(outputs).all() and np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
