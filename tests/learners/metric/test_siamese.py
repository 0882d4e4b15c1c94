import jax
import jax.numpy as jnp
import numpy as np
from identity import Identity

import jaxmeta


def test_probability_and_loss_by_hand(x64):
    # One query (1, 0), label 0; support (0, 0) of class 0, (1, 2) and (3, 1) of class 1.
    # |differences|: (1, 0), (0, 2), (2, 1); alpha = (-1, -0.5), b = 0.5.
    learner = jaxmeta.siamese(Identity())
    episode = jaxmeta.make_episode([[0.0, 0], [1, 2], [3, 1]], [0, 1, 1], [[1.0, 0]], [0])
    params = learner.init(jax.random.key(0), episode)
    head = {"params": {"kernel": jnp.array([[-1.0], [-0.5]]), "bias": jnp.array([0.5])}}
    assert jax.tree.structure(params.head) == jax.tree.structure(head)
    loss, outputs = learner.loss(params._replace(head=head), jax.random.key(0), episode)
    p = 1 / (1 + np.exp(-np.array([-0.5, -0.5, -2.0])))
    np.testing.assert_allclose(jax.nn.sigmoid(outputs), [[p[0], (p[1] + p[2]) / 2]], rtol=1e-12)
    # Half the mean over equal pairs, half that over unequal ones.
    expected = -np.log(p[0]) / 2 - np.log(1 - p[1:]).mean() / 2
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_far_pairs_stay_finite():
    learner = jaxmeta.siamese(Identity())
    episode = jaxmeta.make_episode([[0.0], [1e4]], [0, 1], [[0.0]], [0])
    params = learner.init(jax.random.key(0), episode)
    head = {"params": {"kernel": jnp.array([[-1.0]]), "bias": jnp.array([0.0])}}
    params = params._replace(head=head)
    (loss, outputs), grads = jax.value_and_grad(learner.loss, has_aux=True)(
        params, jax.random.key(0), episode
    )
    assert np.isfinite(outputs).all() and np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
