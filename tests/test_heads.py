import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta import Episode, Examples
from jaxmeta.heads import RELATIVE_LAMBDAS, PhotoNet, class_means, on_features, ridge_values


def test_class_means_are_fifteen_times_the_cosine():
    x = jnp.array([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    y = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    learner = class_means()
    adapted = learner.adapt({}, None, Examples(x, y))
    outputs = learner.predict({}, adapted, jnp.array([[3.0, 4.0]]))
    # cos((3, 4), (3, 0)) = 0.6 and with (0, 3) 0.8: 15 (cos - 1).
    np.testing.assert_allclose(outputs, [[-6, -3]], rtol=1e-6)


def test_ridge_chooses_by_the_rows_that_are_left_out(x64):
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 5))
    y = x @ random.normal(size=(5, 2)) + 0.5 * random.normal(size=(12, 2)) + 7
    learner = ridge_values()
    adapted = learner.adapt({}, None, Examples(jnp.asarray(x), jnp.asarray(y)))

    # Independently: every regulariser, every row left out, the system solved anew.
    rows, targets = x - x.mean(0), y - y.mean(0)
    lambdas = np.sum(rows**2) / 12 * np.array(RELATIVE_LAMBDAS)

    def weights(rows, targets, lam):
        return np.linalg.solve(rows.T @ rows + lam * np.eye(5), rows.T @ targets)

    errors = []
    for lam in lambdas:
        others = [np.arange(12) != i for i in range(12)]
        left_out = [
            targets[i] - rows[i] @ weights(rows[keep], targets[keep], lam)
            for i, keep in enumerate(others)
        ]
        errors.append(np.sum(np.square(left_out)))
    best = lambdas[np.argmin(errors)]
    assert 0 < np.argmin(errors) < len(lambdas) - 1
    np.testing.assert_allclose(adapted.lam, best, rtol=1e-12)
    queries = random.normal(size=(3, 5))
    expected = (queries - x.mean(0)) @ weights(rows, targets, best) + y.mean(0)
    np.testing.assert_allclose(
        learner.predict({}, adapted, jnp.asarray(queries)), expected, rtol=1e-10
    )


def test_padding_of_the_regression_does_not_count(x64):
    x, y = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([[1.0], [2.0], [4.5]])
    learner = ridge_values()
    padded = Examples(
        jnp.concatenate([x, jnp.full((5, 1), 9.0)]),
        jnp.concatenate([y, jnp.full((5, 1), 9.0)]),
        jnp.arange(8) < 3,
    )
    plain = learner.adapt({}, None, Examples(x, y))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10),
        learner.adapt({}, None, padded),
        plain,
    )


def test_a_learner_on_a_frozen_net_is_the_learner_on_its_features():
    net, learner = jaxmeta.networks.mlp(4, hidden=(5,)), jaxmeta.ridge(jaxmeta.networks.linear(3))
    x = jax.random.normal(jax.random.key(0), (6, 7))
    support = Examples(x, jnp.eye(3)[np.arange(6) % 3], jnp.arange(6) < 5)
    episode = Episode(support, support)
    composed = on_features(net, learner)
    params = composed.init(jax.random.key(1), episode)
    seen = support._replace(x=net.apply(params.features, x))
    adapted = learner.adapt(params.learner, None, seen)
    np.testing.assert_allclose(
        composed.predict(params, composed.adapt(params, None, support), x),
        learner.predict(params.learner, adapted, seen.x),
        rtol=1e-5,
        atol=1e-5,
    )
    (loss, _), grads = jax.value_and_grad(composed.loss, has_aux=True)(params, None, episode)
    np.testing.assert_allclose(
        loss, learner.loss(params.learner, None, Episode(seen, seen))[0], rtol=1e-5
    )
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads.features))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(grads.learner))


def test_photos_are_resized_and_normalised():
    # A black picture of any size and colour is -mean / std everywhere: 0.485 / 0.229 and so on.
    found = PhotoNet()._resized(jnp.zeros((2, 4, 6, 1)))
    assert found.shape == (2, 224, 224, 3)
    np.testing.assert_allclose(found[1, 7, 9], [-2.117904, -2.035714, -1.804444], rtol=1e-5)
