import jax
import jax.numpy as jnp
import numpy as np
import pytest
from identity import Identity

import jaxmeta


def episode_of(rng, rows=5, queries=3):
    labels = [0, 1, 2, 0, 1][:rows]
    support, query = rng.normal(size=(rows, 4)), rng.normal(size=(queries, 4))
    return jaxmeta.make_episode(support, labels, query, [0, 1, 2][:queries], n_way=3)


def cosines(x, support):
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, support)]
    return unit[0] @ unit[1].T


def softmax(scores):
    weights = np.exp(scores)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_probabilities_are_attention_over_the_labels(x64, scale):
    episode = episode_of(np.random.default_rng(0))
    learner = jaxmeta.matching(Identity(), scale=scale)
    params = learner.init(jax.random.key(0), episode)
    loss, outputs = learner.loss(params, jax.random.key(0), episode)
    x, y = np.asarray(episode.query.x), np.asarray(episode.query.y)
    support = episode.support
    expected = softmax(scale * cosines(x, np.asarray(support.x))) @ np.asarray(support.y)
    np.testing.assert_allclose(jnp.exp(outputs), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.nn.softmax(outputs), expected, rtol=1e-12)
    np.testing.assert_allclose(loss, -np.log((expected * y).sum(1)).mean(), rtol=1e-12)


def test_unlabelled_rows_are_not_attended_to(x64):
    episode = episode_of(np.random.default_rng(1))
    learner = jaxmeta.matching(Identity())
    support = episode.support
    more = jaxmeta.Examples(
        jnp.concatenate([support.x, jnp.ones((2, 4))]),
        jnp.concatenate([support.y, 0 * jnp.eye(3)[:2]]),
    )
    params = learner.init(jax.random.key(0), episode)
    outputs = [
        learner.predict(params, learner.adapt(params, jax.random.key(0), rows), episode.query.x)
        for rows in (support, more)
    ]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-12)


def test_zero_lstm_weights_give_the_plain_network(x64):
    episode = episode_of(np.random.default_rng(2))
    key = jax.random.key(0)
    plain, contextual = (jaxmeta.matching(Identity(), full_context=full) for full in (False, True))
    params = contextual.init(key, episode)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params)
    expected = plain.loss(plain.init(key, episode), key, episode)
    for value, reference in zip(contextual.loss(zeros, key, episode), expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-12)
    assert not np.allclose(contextual.loss(params, key, episode)[1], expected[1], atol=1e-3)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gates(params, x, h):
    """Flax's cell: gates i, f, g, o; kernels of the input without a bias, of h with one."""
    got = {}
    for gate in "ifgo":
        kernels = params[f"i{gate}"]["kernel"], params[f"h{gate}"]["kernel"]
        got[gate] = x @ kernels[0] + h @ kernels[1] + params[f"h{gate}"]["bias"]
    return sigmoid(got["i"]), sigmoid(got["f"]), np.tanh(got["g"]), sigmoid(got["o"])


def lstm(params, x, h, c):
    i, f, g, o = gates(params, x, h)
    c = f * c + i * g
    return o * np.tanh(c), c


def test_full_context_by_hand(x64):
    rng = np.random.default_rng(3)
    episode = episode_of(rng)
    steps = 2
    learner = jaxmeta.matching(Identity(), full_context=True, processing_steps=steps)
    params = learner.init(jax.random.key(0), episode)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
    support, queries = np.asarray(episode.support.x), np.asarray(episode.query.x)

    # g_i = g'_i + forward_i + backward_i.
    cells = jax.tree.map(np.asarray, params.support["params"])
    cells = [cells[name] for name in sorted(cells)]
    g = support.copy()
    for cell, order in zip(cells, (range(5), range(4, -1, -1)), strict=True):
        h = c = np.zeros(4)
        for i in order:
            h, c = lstm(cell, support[i], h, c)
            g[i] += h
    # h_k = LSTM(f', [h_{k-1}, r_{k-1}], c_{k-1}) + f', r = softmax(h . g) g.
    (cell,) = jax.tree.map(np.asarray, params.query["params"]).values()
    f = []
    for x in queries:
        h = c = np.zeros(4)
        for _ in range(steps):
            weights = np.exp(g @ h) / np.exp(g @ h).sum()
            h, c = lstm(cell, np.concatenate([x, weights @ g]), h, c)
            h = h + x
        f.append(h)
    expected = softmax(cosines(np.stack(f), g)) @ np.asarray(episode.support.y)
    adapted = learner.adapt(params, jax.random.key(0), episode.support)
    outputs = learner.predict(params, adapted, episode.query.x)
    np.testing.assert_allclose(jnp.exp(outputs), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"processing_steps": 0}, "processing_steps must be >= 1, got 0"),
        ({"scale": 0.0}, "scale must be finite and > 0, got 0.0"),
    ],
)
def test_bad_values(settings, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.matching(Identity(), **settings)
