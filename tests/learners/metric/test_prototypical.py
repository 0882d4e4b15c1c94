import jax
import jax.numpy as jnp
import numpy as np
import pytest
from identity import Identity

import jaxmeta
from jaxmeta.learners.metric import cosine, nearest_neighbour
from jaxmeta.networks import conv4


def test_identity_embedding_is_a_linear_classifier(x64):
    # Snell et al. 2017, section 2.4: weights 2 c and bias -|c|^2, up to -|x|^2 for all classes.
    rng = np.random.default_rng(0)
    support, query = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    labels = np.array([0, 1, 2, 0, 1, 2])
    learner = jaxmeta.prototypical(Identity())
    episode = jaxmeta.make_episode(support, labels, query, [0, 1, 2, 0, 1])
    adapted = jax.jit(learner.adapt)({}, jax.random.key(0), episode.support)
    logits = jax.jit(learner.predict)({}, adapted, episode.query.x)
    centres = np.stack([support[labels == n].mean(0) for n in range(3)])
    linear = query @ (2 * centres).T - (centres**2).sum(1) - (query**2).sum(1, keepdims=True)
    np.testing.assert_allclose(logits, linear, rtol=1e-12)


def test_unlabelled_and_padded_support_rows_do_not_move_the_centres():
    x = jnp.array([[1.0], [3.0], [100.0], [200.0]])
    y = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    support = jaxmeta.Examples(x, y, jnp.array([True, True, True, False]))
    adapted = jaxmeta.prototypical(Identity()).adapt({}, jax.random.key(0), support)
    np.testing.assert_array_equal(adapted.centres, [[2.0], [0.0]])


def test_cosine_distance_by_hand(x64):
    rng = np.random.default_rng(4)
    support, query = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    labels = np.array([0, 1, 2, 0, 1, 2])
    episode = jaxmeta.make_episode(support, labels, query, [0, 1, 2, 0, 1])
    _, logits = jaxmeta.prototypical(Identity(), distance=cosine).loss(
        {}, jax.random.key(0), episode
    )
    centres = np.stack([support[labels == n].mean(0) for n in range(3)])
    norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(centres, axis=1)
    np.testing.assert_allclose(logits, query @ centres.T / norms - 1, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_refinement_is_soft_k_means(x64, steps):
    # Ren et al. 2018, equation 3, in plain numpy.
    rng = np.random.default_rng(5)
    x, labels, query = rng.normal(size=(9, 2)), np.array([0, 1, 2, 0, 1]), rng.normal(size=(4, 2))
    y = np.concatenate([np.eye(3)[labels], np.zeros((4, 3))])
    is_valid = np.array([True] * 8 + [False])
    support = jaxmeta.Examples(jnp.asarray(x), jnp.asarray(y), jnp.asarray(is_valid))
    centres = np.stack([x[:5][labels == n].mean(0) for n in range(3)])
    for _ in range(steps):
        shares = np.exp(-((x[5:8, None] - centres) ** 2).sum(-1))
        shares = np.concatenate([y[:5], shares / shares.sum(1, keepdims=True)])
        centres = shares.T @ x[:8] / shares.sum(0)[:, None]
    learner = jaxmeta.prototypical(Identity(), refine_steps=steps)
    adapted = jax.jit(learner.adapt)({}, jax.random.key(0), support)
    np.testing.assert_allclose(adapted.centres, centres, rtol=1e-12)
    logits = jax.jit(learner.predict)({}, adapted, jnp.asarray(query))
    np.testing.assert_allclose(logits, -((query[:, None] - centres) ** 2).sum(-1), rtol=1e-12)


def test_bad_values():
    with pytest.raises(ValueError, match="refine_steps must be >= 0, got -1"):
        jaxmeta.prototypical(Identity(), refine_steps=-1)


def test_batch_normalisation_uses_the_support_set_alone():
    learner = jaxmeta.prototypical(conv4(width=4))
    key = jax.random.key(0)
    support = jaxmeta.Examples(jax.random.uniform(key, (3, 16, 16, 1)), jnp.eye(3))
    queries = jax.random.uniform(jax.random.key(1), (4, 16, 16, 1))
    params = jax.jit(learner.init)(key, jaxmeta.Episode(support, support))
    adapted = jax.jit(learner.adapt)(params, key, support)
    together = jax.jit(learner.predict)(params, adapted, queries)
    alone = jax.jit(learner.predict)(params, adapted, queries[2:3])
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-4, atol=1e-5)
    # The support set itself, normalised by its own statistics, is what the centres were made of.
    logits = jax.jit(learner.predict)(params, adapted, support.x)
    np.testing.assert_allclose(jnp.diag(logits), 0, atol=1e-6)


def test_nearest_neighbour_by_hand():
    support = jaxmeta.Examples(jnp.array([[0.0], [1.0], [5.0]]), jnp.eye(2)[jnp.array([0, 1, 0])])
    learner = nearest_neighbour()
    logits = learner.predict({}, learner.adapt({}, None, support), jnp.array([[0.9], [4.0]]))
    np.testing.assert_allclose(logits, [[-0.81, -0.01], [-1.0, -9.0]], rtol=1e-5)
