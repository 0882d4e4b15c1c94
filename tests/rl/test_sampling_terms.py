"""MAML-RL's meta-gradient against exact enumeration: all actions, before and after the update."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl
from jaxmeta.rl import environments
from jaxmeta.rl._maml_rl import Episodes, _Data
from jaxmeta.rl.agent import Batch
from jaxmeta.rl.distributions import Categorical, Discrete

PAYS = jnp.array([1.0, -0.5])  # Two arms, one pull, no chance but the policy's.
THETA, RATE = 0.3, 0.8

NET = SimpleNamespace(
    init=lambda key, x: jnp.array(THETA),
    apply=lambda w, x: jnp.broadcast_to(jnp.stack([w, 0.0 * w]), (len(x), 2)),
)
BANDIT = environments.Environment(
    sample=lambda key: PAYS,
    reset=lambda key, task: ((), jnp.ones(1)),
    step=lambda key, state, action, task: environments.Step(
        (), jnp.ones(1), task[action], jnp.array(True)
    ),
    actions=Discrete(2),
    horizon=1,
)
SETTINGS = {"baseline": rl.no_baseline, "normalise": False, "inner_lr": RATE, "discount": 1.0}


def params_of(theta):
    return {"net": theta, "actions": {}}


def probabilities(theta):
    return jax.nn.softmax(jnp.stack([theta, 0.0 * theta]))


def expected_return(theta):
    return probabilities(theta) @ PAYS


def episodes_of(pulls, theta):
    """A set of one-pull episodes, acted at `theta`."""
    pulls = jnp.array(pulls)
    acted = jnp.log(probabilities(theta))[pulls]
    shape = (len(pulls), 1)
    return jax.lax.stop_gradient(
        Episodes(
            jnp.ones((*shape, 1)),
            pulls.reshape(shape),
            acted.reshape(shape),
            PAYS[pulls].reshape(shape),
            jnp.ones(shape, bool),
        )
    )


def chance(pulls, theta):
    return jnp.prod(probabilities(theta)[jnp.array(pulls)])


def adapted(theta, pulls, inner_loss):
    """One inner step by the definition of each estimator, apart from the learner's code."""
    support = episodes_of(pulls, jax.lax.stop_gradient(theta))

    def loss(theta):
        log_p = jnp.log(probabilities(theta))[support.action]
        return inner_loss(log_p, support.acted, support.advantages, support.is_valid)

    return theta - RATE * jax.grad(loss)(theta)


def meta_gradient(agent, n_pulls):
    """The learner's expected meta-gradient: over all sets before and after the update."""
    total = 0.0
    for before in itertools.product((0, 1), repeat=n_pulls):
        support = episodes_of(before, jnp.array(THETA))
        # Where this set leads, by the learner itself.
        for after in itertools.product((0, 1), repeat=n_pulls):
            batch = batch_of(agent, support, after)
            weights = batch.distribution.logits[0, 0, 0]

            def objective(theta, batch=batch):
                replay = agent.replay(params_of(theta), batch)
                gain = jnp.mean(jnp.exp(replay.log_ratio) * batch.advantages)
                return gain + replay.credit

            likely = chance(before, jnp.array(THETA)) * chance(after, weights)
            total += likely * jax.grad(objective)(jnp.array(THETA))
    return total


def batch_of(agent, support, after):
    dummy = episodes_of(after, jnp.array(THETA))
    worth = jnp.mean(PAYS[jnp.array(after)])
    probe = Batch(
        _Data((support,), dummy, worth), None, dummy.advantages, dummy.is_valid, None, 0.0
    )
    distribution = agent.replay(params_of(jnp.array(THETA)), probe).distribution
    query = dummy._replace(acted=distribution.log_prob(dummy.action))
    assert isinstance(distribution, Categorical)
    return probe._replace(data=probe.data._replace(query=query), distribution=distribution)


def test_collected_sets_are_those_enumerated(x64):
    agent = rl.maml_rl(NET, BANDIT, episodes=2, **SETTINGS)
    batch = agent.collect(params_of(jnp.array(THETA)), jax.random.key(3), PAYS)
    support, query, worth = batch.data
    again = episodes_of(support[0].action[:, 0], jnp.array(THETA))
    for got, expected in zip(support[0], again, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    theta = adapted(jnp.array(THETA), support[0].action[:, 0], rl.surrogate)
    np.testing.assert_allclose(batch.distribution.logits[:, 0, 0], theta, rtol=1e-12)
    again = episodes_of(query.action[:, 0], theta)
    np.testing.assert_allclose(query.acted, again.acted, rtol=1e-12)
    np.testing.assert_allclose(batch.advantages, again.advantages, rtol=1e-12)
    np.testing.assert_allclose(worth, batch.mean_return, rtol=1e-12)


def test_with_credit_the_expected_gradient_is_that_of_the_enumerated_objective(x64):
    def objective(theta):  # E over sets before the update of the expected return after it.
        return sum(
            chance(pulls, theta) * expected_return(adapted(theta, pulls, rl.surrogate))
            for pulls in itertools.product((0, 1), repeat=2)
        )

    agent = rl.maml_rl(NET, BANDIT, episodes=2, credit_sampling=True, **SETTINGS)
    exact = jax.grad(objective)(jnp.array(THETA))
    np.testing.assert_allclose(meta_gradient(agent, 2), exact, rtol=1e-10)


@pytest.mark.parametrize(
    "inner_loss", [rl.surrogate, rl.dice, rl.low_variance_curvature], ids=lambda f: f.__name__
)
def test_without_credit_the_gradient_goes_through_the_step_alone(x64, inner_loss):
    agent = rl.maml_rl(NET, BANDIT, episodes=2, inner_loss=inner_loss, **SETTINGS)
    exact, theta = 0.0, jnp.array(THETA)
    for pulls in itertools.product((0, 1), repeat=2):
        step = jax.grad(lambda t, p=pulls: expected_return(adapted(t, p, inner_loss)))(theta)
        exact += chance(pulls, theta) * step
    np.testing.assert_allclose(meta_gradient(agent, 2), exact, rtol=1e-10)


def gradients_of_two_steps(inner_loss, theta):
    """Expected first and second derivatives of an inner loss over episodes of two pulls."""
    first = second = 0.0
    rewards = jnp.array([[1.0, -0.4], [0.3, 2.0]])  # By the first and by the second pull.
    for pulls in itertools.product((0, 1), repeat=2):
        actions = jnp.array([pulls])
        acted = jax.lax.stop_gradient(jnp.log(probabilities(theta))[actions])
        paid = jnp.array([[rewards[0, pulls[0]], rewards[1, pulls[1]] * (1 + pulls[0])]])
        to_go = jnp.flip(jnp.cumsum(jnp.flip(paid, 1), 1), 1)

        def loss(theta, actions=actions, acted=acted, to_go=to_go):
            log_p = jnp.log(probabilities(theta))[actions]
            return inner_loss(log_p, acted, to_go, jnp.ones((1, 2), bool))

        likely = chance(pulls, theta)
        first += likely * jax.grad(loss)(theta)
        second += likely * jax.grad(jax.grad(loss))(theta)
    return first, second


def true_derivatives(theta):
    def objective(theta):
        p = probabilities(theta)
        paid = jnp.array([[1.0 + 0.3, 1.0 + 2.0], [-0.4 + 2 * 0.3, -0.4 + 2 * 2.0]])
        return -(p @ paid @ p) / 2  # A mean over two steps.

    return jax.grad(objective)(theta), jax.grad(jax.grad(objective))(theta)


def test_second_derivatives_within_their_stated_bias(x64):
    theta = jnp.array(THETA)
    slope, bend = true_derivatives(theta)
    bends = {}
    for inner_loss in (rl.surrogate, rl.dice, rl.low_variance_curvature):
        first, bends[inner_loss] = gradients_of_two_steps(inner_loss, theta)
        np.testing.assert_allclose(first, slope, rtol=1e-10)
    np.testing.assert_allclose(bends[rl.dice], bend, rtol=1e-10)
    # What the others leave out, with s_t the score of pull t and R_t the reward from there on:
    # the surrogate E[sum_t R_t (s_1 + ... + s_t)^2 - ...], low-variance curvature the cross terms.
    cross = own = 0.0
    for pulls in itertools.product((0, 1), repeat=2):
        s = [jax.grad(lambda t, a=a: jnp.log(probabilities(t))[a])(theta) for a in pulls]
        rewards = (
            [1.0, -0.4][pulls[0]],
            [0.3, 2.0][pulls[1]] * (1 + pulls[0]),
        )
        likely = chance(pulls, theta)
        own += likely * (s[0] ** 2 * sum(rewards) + s[1] ** 2 * rewards[1]) / 2
        cross += likely * (2 * s[0] * s[1] * rewards[1]) / 2
    assert abs(own) > 1e-3 and abs(cross) > 1e-3
    np.testing.assert_allclose(bends[rl.low_variance_curvature], bend + cross, rtol=1e-10)
    np.testing.assert_allclose(bends[rl.surrogate], bend + cross + own, rtol=1e-10)


def test_dice_s_meta_gradient_is_right_as_the_sets_grow(x64):
    # With expected inner gradients the objective is J(theta + a J'(theta)); the estimators'
    # expected step has its derivative for DiCE, and lacks a term for the plain surrogate.
    theta = jnp.array(THETA)

    def exact(theta):
        return expected_return(theta + RATE * jax.grad(expected_return)(theta))

    def expected_step(theta, inner_loss):
        at = jax.lax.stop_gradient(theta)
        return sum(chance((a,), at) * adapted(theta, (a,), inner_loss) for a in (0, 1))

    values = {}
    for inner_loss in (rl.surrogate, rl.dice, rl.low_variance_curvature):
        values[inner_loss] = jax.grad(lambda t, f=inner_loss: expected_return(expected_step(t, f)))(
            theta
        )
    right = jax.grad(exact)(theta)
    np.testing.assert_allclose(values[rl.dice], right, rtol=1e-10)
    np.testing.assert_allclose(values[rl.low_variance_curvature], right, rtol=1e-10)
    assert abs(values[rl.surrogate] - right) > 0.02 * abs(right)
