import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from identity import Identity

import jaxmeta
from jaxmeta import networks
from jaxmeta.learners.metric import averaging, prototypical, ridge, whole_classification


def batch(x, y):
    rows = jaxmeta.Examples(jnp.asarray(x), jnp.asarray(y))
    return jaxmeta.Episode(jaxmeta.Examples(rows.x[:0], rows.y[:0]), rows)


def test_the_loss_is_that_of_a_linear_classifier_of_all_classes(x64):
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(5, 3)), rng.normal(size=(3, 7)), rng.normal(size=7)
    labels = np.array([0, 6, 2, 2, 5])
    learner = whole_classification(Identity())
    episode = batch(x, np.eye(7)[labels])
    params = learner.init(jax.random.key(0), episode)
    params = params._replace(kernel=jnp.asarray(kernel), bias=jnp.asarray(bias))
    loss, logits = learner.loss(params, jax.random.key(0), episode)
    expected = x @ kernel + bias
    np.testing.assert_allclose(logits, expected)
    most = np.log(np.exp(expected).sum(1)) - expected[np.arange(5), labels]
    np.testing.assert_allclose(loss, most.mean(), rtol=1e-12)


def test_statistics_are_averaged_and_a_query_is_classified_by_itself():
    net = networks.mlp(4, hidden=(6,), normalise=True)
    learner = whole_classification(net, head=prototypical(Identity()))
    rng = np.random.default_rng(1)
    tx = averaging(optax.sgd(0.0), rate=0.25)

    def sample(key):
        x = jax.random.normal(key, (8, 3)) * 2 + 1
        return batch(x, jnp.eye(8))

    state = jaxmeta.init_state(jax.random.key(0), learner, tx, sample)
    start = jax.tree.map(jnp.copy, state.params)
    step = jaxmeta.make_step(learner, tx, sample, meta_batch_size=2)
    state, _ = step(state, jax.random.key(1))
    assert len(jax.tree.leaves(start.statistics)) > 0
    # Two batches of the first step, in the sampler's own order.
    seen = [sample(task_key(jax.random.key(1), 0, i)).query for i in range(2)]
    as_net = jaxmeta.net.as_net(net)
    found = [as_net.observe(start.embed, rows)[1] for rows in seen]
    expected = jax.tree.map(
        lambda old, *new: old + 0.25 * (sum(new) / 2 - old), start.statistics, *found
    )
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6),
        state.params.statistics,
        expected,
    )
    # Whatever else is asked, a query's prediction is the same.
    task = jaxmeta.make_episode(
        rng.normal(size=(4, 3)), [0, 1, 0, 1], rng.normal(size=(3, 3)), [0, 1, 1]
    )
    adapted = learner.adapt(state.params, jax.random.key(2), task.support)
    together = learner.predict(state.params, adapted, task.query.x)
    alone = learner.predict(state.params, adapted, task.query.x[1:2])
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-5)
    assert together.shape == (3, 2)


def task_key(key, step, i):
    return jaxmeta.training.step.task_keys(key, step, i)[0]


def test_a_head_with_parameters_is_refused():
    learner = whole_classification(Identity(), head=ridge(Identity()))
    with pytest.raises(ValueError, match="head must be a learner without parameters"):
        learner.init(jax.random.key(0), batch(np.ones((2, 3)), np.eye(2)))
