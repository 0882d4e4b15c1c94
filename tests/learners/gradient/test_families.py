"""What sets the gradient-based learners apart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import losses, rules
from jaxmeta.learners.gradient._reptile import _minibatches


def setting(learner):
    key = jax.random.key(0)
    x = jax.random.normal(key, (6, 3))
    episode = jaxmeta.Episode(
        jaxmeta.Examples(x, jnp.eye(2)[jnp.arange(6) % 2]),
        jaxmeta.Examples(-x, jnp.eye(2)[jnp.arange(6) % 2]),
    )
    return jax.jit(learner.init)(key, episode), key, episode


NET = jaxmeta.networks.mlp(2, hidden=(4,), kernel_init=jax.nn.initializers.glorot_normal())


def test_anil_moves_the_head_alone():
    learner = jaxmeta.anil(NET, rule=rules.sgd(1.0), inner_steps=2)
    params, key, episode = setting(learner)
    adapted = jax.jit(learner.adapt)(params, key, episode.support)["params"]
    before = params.net["params"]
    jax.tree.map(np.testing.assert_array_equal, adapted["dense_0"], before["dense_0"])
    assert not np.array_equal(adapted["head"]["kernel"], before["head"]["kernel"])
    grads, _ = jax.grad(learner.loss, has_aux=True)(params, key, episode)
    assert optax.tree.norm(grads.net["params"]["dense_0"]) > 0


def test_anil_says_when_there_is_no_head():
    learner = jaxmeta.anil(NET, head="classifier")
    with pytest.raises(ValueError, match="adaptable must choose at least one of the weights"):
        setting(learner)


@pytest.mark.parametrize("derivative", ["reverse", "forward_over_reverse"])
def test_anil_body_gradient_flows_through_the_adapted_head(x64, derivative):
    learner = jaxmeta.anil(NET, rule=rules.sgd(0.5), inner_steps=2, derivative=derivative)
    params, key, episode = setting(learner)
    params = jax.tree.map(lambda leaf: leaf.astype(float), params)
    kernel = params.net["params"]["dense_0"]["kernel"]

    def loss(shift):
        net = jax.tree.map(lambda leaf: leaf, params.net)
        net["params"]["dense_0"]["kernel"] = kernel.at[0, 0].add(shift)
        return jax.jit(learner.loss)(params._replace(net=net), key, episode)[0]

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(loss)(0.0), slope, rtol=1e-6)


def test_training_and_test_may_take_different_numbers_of_steps():
    params, key, episode = setting(jaxmeta.maml(NET, inner_steps=1))
    one = jaxmeta.maml(NET, inner_steps=1).adapt(params, key, episode.support)
    twice = jaxmeta.maml(NET, inner_steps=1).adapt(params._replace(net=one), key, episode.support)
    two = jaxmeta.maml(NET, inner_steps=2).adapt(params, key, episode.support)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), two, twice)


def test_fomaml_gradient_is_that_of_the_query_loss_at_the_adapted_weights():
    learner = jaxmeta.fomaml(NET, rule=rules.sgd(0.5), inner_steps=3)
    params, key, episode = setting(learner)
    adapted = jax.jit(learner.adapt)(params, key, episode.support)

    def query_loss(weights):
        outputs = NET.apply(weights, episode.query.x)
        return losses.mean_loss(optax.softmax_cross_entropy, outputs, episode.query)

    expected = jax.grad(query_loss)(adapted)
    grads, _ = jax.grad(learner.loss, has_aux=True)(params, key, episode)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), grads.net, expected)


def test_one_step_of_reptile_is_joint_training():
    # Nichol et al. 2018, section 3: with k = 1, phi - phi_1 = lr * grad of the support loss.
    learner = jaxmeta.reptile(NET, rule=rules.sgd(0.1), inner_steps=1)
    params, key, episode = setting(learner)

    def support_loss(weights):
        outputs = NET.apply(weights, episode.support.x)
        return losses.mean_loss(optax.softmax_cross_entropy, outputs, episode.support)

    expected = jax.tree.map(lambda g: 0.1 * g, jax.grad(support_loss)(params.net))
    grads, _ = jax.grad(learner.loss, has_aux=True)(params, key, episode)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), grads.net, expected
    )


def test_reptile_minibatches_go_through_every_row_before_one_comes_again():
    rows = np.asarray(_minibatches(jax.random.key(0), jnp.ones(6, bool), 4, 3)).ravel()
    assert sorted(rows[:6]) == list(range(6))
    assert sorted(rows[6:]) == list(range(6))


def test_reptile_refuses_more_rows_than_there_are():
    learner = jaxmeta.reptile(NET, batch_size=7)
    params, key, episode = setting(learner)
    with pytest.raises(ValueError, match="at most the 6 support rows, got 7"):
        jax.jit(learner.adapt)(params, key, episode.support)


def test_transductive_loss_shares_statistics_between_queries():
    net = jaxmeta.networks.mlp(2, hidden=(4,), normalise=True)
    outputs = {}
    for transductive in (False, True):
        learner = jaxmeta.maml(net, inner_steps=1, transductive=transductive)
        params, key, episode = setting(learner)
        moved = episode.query.x.at[1:].multiply(5.0)
        changed = episode._replace(query=episode.query._replace(x=moved))
        before, after = (learner.loss(params, key, e)[1][0] for e in (episode, changed))
        outputs[transductive] = np.allclose(before, after, rtol=1e-5)
    assert outputs == {False: True, True: False}
