"""What the support and query sets may do to every metric learner: padding, order, labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.networks import conv4, relation_embedding, relation_head

SIZE, N_WAY, K_SHOT, Q_QUERIES = 16, 3, 2, 2


def vectors():
    return conv4(width=3, strided=True, spatial_mean=True)


LEARNERS = {
    "prototypical": jaxmeta.prototypical(vectors()),
    "refined": jaxmeta.prototypical(vectors(), refine_steps=1),
    "matching": jaxmeta.matching(vectors(), scale=5.0),
    "full_context": jaxmeta.matching(vectors(), full_context=True),
    "ridge": jaxmeta.ridge(vectors(), lam=0.1),
    "siamese": jaxmeta.siamese(vectors()),
    "relation": jaxmeta.relation(vectors(), relation_head(hidden=4)),
}
learners = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)


def episode_and_params(learner, size=SIZE):
    keys = jax.random.split(jax.random.key(0), 3)

    def examples(key, shots):
        x = jax.random.uniform(key, (N_WAY * shots, size, size, 1))
        return jaxmeta.Examples(x, jnp.repeat(jnp.eye(N_WAY), shots, axis=0))

    episode = jaxmeta.Episode(examples(keys[0], K_SHOT), examples(keys[1], Q_QUERIES))
    params = jax.jit(learner.init)(keys[2], episode)
    return episode, jax.tree.map(lambda leaf: leaf.astype(float), params)


def padded(examples, places, total, n_way):
    """The rows at `places` among `total`, with labels for `n_way` classes; NaN elsewhere."""
    rows = np.asarray(places)
    x = np.full((total, *examples.x.shape[1:]), np.nan)
    x[rows] = examples.x
    y = np.zeros((total, n_way))
    y[rows, : examples.y.shape[1]] = examples.y
    y[np.setdiff1d(np.arange(total), rows), -1] = 1.0  # Padding may claim to be labelled.
    is_valid = np.isin(np.arange(total), rows)
    return jaxmeta.Examples(*map(jnp.asarray, (x, y, is_valid)))


def answers(learner):
    """Loss, outputs and meta-gradient, compiled."""

    def both(params, episode):
        return jax.value_and_grad(learner.loss, has_aux=True)(params, jax.random.key(0), episode)

    return jax.jit(both)


@learners
def test_padding_to_a_larger_way_and_shot_changes_nothing(x64, learner):
    episode, params = episode_and_params(learner)
    wide = jaxmeta.Episode(
        padded(episode.support, [0, 2, 3, 4, 7, 8], 10, N_WAY + 2),
        episode.query._replace(y=jnp.pad(episode.query.y, ((0, 0), (0, 2)))),
    )
    compute = answers(learner)
    (loss, outputs), grads = compute(params, episode)
    (wide_loss, wide_outputs), wide_grads = compute(params, wide)
    np.testing.assert_allclose(wide_loss, loss, rtol=1e-9)
    np.testing.assert_allclose(wide_outputs[:, :N_WAY], outputs, rtol=1e-9, atol=1e-9)
    for value, expected in zip(*map(jax.tree.leaves, (wide_grads, grads)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-10)
    # Nothing can be of a class that is not there.
    assert (jnp.argmax(wide_outputs, axis=1) < N_WAY).all()
    np.testing.assert_array_equal(jax.nn.softmax(wide_outputs)[:, N_WAY:], 0)


@learners
def test_padding_of_the_query_set_changes_nothing(x64, learner):
    episode, params = episode_and_params(learner)
    query = episode.query
    longer = jaxmeta.Examples(
        jnp.concatenate([query.x, jnp.ones((2, SIZE, SIZE, 1))]),
        jnp.concatenate([query.y, jnp.eye(N_WAY)[:2]]),
        jnp.arange(len(query.y) + 2) < len(query.y),
    )
    compute = answers(learner)
    (loss, outputs), grads = compute(params, episode)
    (long_loss, long_outputs), long_grads = compute(params, episode._replace(query=longer))
    np.testing.assert_allclose(long_loss, loss, rtol=1e-9)
    np.testing.assert_allclose(long_outputs[: len(query.y)], outputs, rtol=1e-9, atol=1e-9)
    for value, expected in zip(*map(jax.tree.leaves, (long_grads, grads)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-10)


@learners
def test_relabelling_the_classes_permutes_the_logits(x64, learner):
    episode, params = episode_and_params(learner)
    order = np.array([2, 0, 1])
    relabelled = jax.tree.map(lambda leaf: leaf, episode)
    relabelled = jaxmeta.Episode(*(part._replace(y=part.y[:, order]) for part in relabelled))
    compute = answers(learner)
    (loss, outputs), _ = compute(params, episode)
    (new_loss, new_outputs), _ = compute(params, relabelled)
    np.testing.assert_allclose(new_outputs, outputs[:, order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(new_loss, loss, rtol=1e-9)


@learners
def test_order_of_the_support_rows(x64, learner):
    episode, params = episode_and_params(learner)
    order = np.array([5, 1, 0, 4, 2, 3])
    shuffled = jax.tree.map(lambda leaf: leaf[order], episode.support)
    compute = answers(learner)
    (_, outputs), _ = compute(params, episode)
    (_, new_outputs), _ = compute(params, episode._replace(support=shuffled))
    is_free = learner is not LEARNERS["full_context"]
    assert np.allclose(new_outputs, outputs, rtol=1e-9, atol=1e-12) == is_free


@learners
def test_each_query_by_itself_unless_asked(x64, learner):
    episode, params = episode_and_params(learner)
    adapted = jax.jit(learner.adapt)(params, jax.random.key(0), episode.support)
    x = episode.query.x
    changed = x.at[1:].set(jax.random.uniform(jax.random.key(5), x[1:].shape))
    predict = jax.jit(learner.predict)
    outputs, others = (predict(params, adapted, rows) for rows in (x, changed))
    np.testing.assert_allclose(others[0], outputs[0], rtol=1e-9)
    # Transductive: the query set's own statistics, so that its rows see each other.
    adapt = jax.jit(jaxmeta.transductive(learner).adapt)
    whole = adapt(params, jax.random.key(0), episode.support)
    outputs, others = (predict(params, whole, rows) for rows in (x, changed))
    assert not np.allclose(others[0], outputs[0], rtol=1e-3)


@pytest.mark.slow
def test_relation_maps_are_masked_in_both_nets(x64):
    learner = jaxmeta.relation(relation_embedding(width=2), relation_head(width=2, hidden=3))
    episode, params = episode_and_params(learner, size=24)  # Maps of 4x4.
    wide = jaxmeta.Episode(
        padded(episode.support, [0, 2, 3, 4, 7, 8], 10, N_WAY + 2),
        episode.query._replace(y=jnp.pad(episode.query.y, ((0, 0), (0, 2)))),
    )
    compute = answers(learner)
    (loss, outputs), _ = compute(params, episode)
    (wide_loss, wide_outputs), _ = compute(params, wide)
    np.testing.assert_allclose(wide_loss, loss, rtol=1e-9)
    np.testing.assert_allclose(wide_outputs[:, :N_WAY], outputs, rtol=1e-9)


def test_one_compilation_for_every_size():
    rng = np.random.default_rng(0)
    classes = {f"{i}": rng.integers(0, 256, (4, SIZE, SIZE, 1), np.uint8) for i in range(6)}
    data = jaxmeta.datasets.ClassData.from_classes(classes)
    sample = jaxmeta.tasks.episodes(data, n_way=(2, 4), k_shot=(1, 2), q_queries=1)
    learner, traces = LEARNERS["prototypical"], []

    @jax.jit
    def loss(params, key):
        traces.append(1)
        return learner.loss(params, key, sample(key))[0]

    params = jax.jit(learner.init)(jax.random.key(0), sample(jax.random.key(0)))
    losses = [float(loss(params, jax.random.key(seed))) for seed in range(5)]
    assert np.isfinite(losses).all() and len(traces) == 1
