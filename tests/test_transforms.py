"""Learners from learners."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta import transforms
from jaxmeta.networks import mlp

KEY = jax.random.key(0)


def episode():
    key_support, key_query = jax.random.split(jax.random.key(1))
    labels = jnp.eye(2)[jnp.array([0, 1, 0, 1])]
    return jaxmeta.Episode(
        jaxmeta.Examples(jax.random.normal(key_support, (4, 3)), labels),
        jaxmeta.Examples(3 * jax.random.normal(key_query, (4, 3)), labels),
    )


def test_transductive_normalises_the_queries_together():
    net = mlp(2, hidden=(4,), normalise=True)
    learner = jaxmeta.maml(net, inner_steps=0)
    together = jaxmeta.transductive(learner)
    params = learner.init(KEY, episode())
    adapted = together.adapt(params, KEY, episode().support)
    outputs = together.predict(params, adapted, episode().query.x)
    np.testing.assert_allclose(outputs, net.apply(params.net, episode().query.x), rtol=1e-5)
    again = jaxmeta.transductive(together)  # There is nothing more to leave out.
    jax.tree.map(
        np.testing.assert_array_equal, again.adapt(params, KEY, episode().support), adapted
    )
    assert together.loss is learner.loss and together.init is learner.init


def test_one_query_at_a_time_hands_over_rows_one_by_one():
    """A learner that answers with the mean of the rows that it is handed."""
    seen = jaxmeta.Learner(
        lambda key, episode: {},
        lambda params, key, support: {"statistics": jnp.zeros(())} if params else {},
        lambda params, adapted, x: jnp.broadcast_to(jnp.mean(x, 0), x.shape),
        lambda params, key, episode: (jnp.zeros(()), episode.query.x),
    )
    alone = jaxmeta.one_query_at_a_time(seen)
    support, query = episode()
    for params, others in (({}, support.x), ({"statistics are kept": 1}, support.x[:0])):
        adapted = alone.adapt(params, KEY, support)
        assert isinstance(adapted, transforms.Accompanied)
        expected = [np.concatenate([others, row[None]]).mean(0) for row in query.x]
        np.testing.assert_allclose(
            alone.predict(params, adapted, query.x), expected, rtol=1e-5, atol=1e-6
        )


def test_evaluate_is_of_the_transformed_learner():
    learner = jaxmeta.maml(mlp(2, hidden=(4,), normalise=True), inner_steps=1)
    params = learner.init(KEY, episode())

    def sample(key):
        one = episode()
        return one._replace(query=one.query._replace(x=jax.random.normal(key, (4, 3))))

    settings = {"n_episodes": 3, "key": KEY, "metric": lambda outputs, query: outputs[0, 0]}
    for is_together in (False, True):
        change = jaxmeta.transductive if is_together else jaxmeta.one_query_at_a_time
        result = jaxmeta.evaluate(learner, params, sample, transductive=is_together, **settings)
        by_hand = []
        for number in range(3):
            key_episode, key_learner = jax.random.split(jax.random.fold_in(KEY, number))
            support, query = sample(key_episode)
            adapted = change(learner).adapt(params, key_learner, support)
            by_hand.append(change(learner).predict(params, adapted, query.x)[0, 0])
        np.testing.assert_allclose(result.per_episode, by_hand, rtol=1e-4, atol=1e-6)
        assert result.transductive == is_together


def test_padding_of_the_support_set_is_no_company():
    """Of a learner whose prediction of a row is moved by the rows beside it."""

    def predict(params, adapted, x):
        del params, adapted
        return x - x.mean(axis=0)

    learner = jaxmeta.Learner(lambda *_: {}, lambda *_: {}, predict, lambda *_: (0.0, 0.0))
    alone = jaxmeta.one_query_at_a_time(learner)
    rows, query = jnp.array([[1.0], [3.0]]), jnp.array([[8.0]])
    labels = jnp.eye(2)
    for held in (0.0, 50.0, jnp.nan):  # in two rows of padding, between the valid ones
        x = jnp.array([[1.0], [held], [held], [3.0]])
        is_valid = jnp.array([True, False, False, True])
        support = jaxmeta.Examples(x, labels[jnp.array([0, 0, 0, 1])], is_valid)
        adapted = alone.adapt({}, KEY, support)
        # Each valid row stands twice: 8 less the mean of 1, 3, 1, 3 and 8.
        np.testing.assert_allclose(alone.predict({}, adapted, query), [[8 - 16 / 5]], rtol=1e-6)
    without = alone.adapt({}, KEY, jaxmeta.Examples(rows, labels))
    np.testing.assert_allclose(alone.predict({}, without, query), [[8 - 12 / 3]], rtol=1e-6)
    nobody = jaxmeta.Examples(rows, labels, jnp.array([False, False]))
    assert alone.adapt({}, KEY, nobody).company.tolist() == [[0.0], [0.0]]
