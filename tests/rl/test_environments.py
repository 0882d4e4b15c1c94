import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.rl import environments
from jaxmeta.rl.distributions import Categorical, Gaussian

KEYS = jax.random.split(jax.random.key(0), 4000)


def test_a_bernoulli_arm_pays_its_probability():
    bandit = environments.bernoulli_bandits(3)
    arms = jnp.array([0.0, 0.3, 1.0])
    state, observation = bandit.reset(KEYS[0], arms)
    assert observation.shape == (1,)
    for arm, probability in enumerate(arms):
        step = jax.vmap(lambda key, a=arm: bandit.step(key, state, jnp.array(a), arms))(KEYS)
        error = 4 * np.sqrt(probability * (1 - probability) / len(KEYS))
        assert abs(step.reward.mean() - probability) <= error
        assert step.done.all()
    drawn = jax.vmap(bandit.sample)(KEYS)
    assert drawn.min() >= 0 and drawn.max() <= 1 and abs(drawn.mean() - 0.5) < 0.02


def test_a_gaussian_arm_pays_around_its_mean():
    bandit = environments.gaussian_bandits(2, std=0.5)
    means = jnp.array([-1.0, 2.0])
    step = jax.vmap(lambda key: bandit.step(key, (), jnp.array(1), means))(KEYS)
    assert abs(step.reward.mean() - 2) < 4 * 0.5 / np.sqrt(len(KEYS))
    assert abs(step.reward.std() - 0.5) < 0.03


def test_a_tabular_mdp_follows_its_tables():
    mdps = environments.tabular_mdps(3, 2, horizon=4)
    transition = jnp.zeros((3, 2, 3)).at[0, 1].set(jnp.array([0.1, 0.0, 0.9]))
    task = environments.TabularTask(jnp.log(transition), jnp.arange(6.0).reshape(3, 2))
    state, observation = mdps.reset(KEYS[0], task)
    assert observation.tolist() == [1, 0, 0]
    step = jax.vmap(lambda key: mdps.step(key, state, jnp.array(1), task))(KEYS)
    assert abs(step.reward.mean() - 1) < 4 / np.sqrt(len(KEYS))
    shares = step.observation.mean(0)
    np.testing.assert_allclose(shares, [0.1, 0, 0.9], atol=4 * 0.3 / np.sqrt(len(KEYS)))
    assert not step.done.any() and mdps.horizon == 4


def test_the_mdps_are_those_of_the_paper():
    mdps = environments.tabular_mdps()
    tasks = jax.vmap(mdps.sample)(KEYS[:400])
    assert tasks.transition.shape == (400, 10, 5, 10)
    p = np.exp(tasks.transition)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    # One coordinate of a flat Dirichlet over ten: mean 1/10, variance 9 / (100 * 11).
    assert abs(p.mean() - 0.1) < 1e-4 and abs(p.var() - 9 / 1100) < 2e-4
    assert abs(tasks.reward.mean() - 1) < 0.03 and abs(tasks.reward.std() - 1) < 0.03


@pytest.mark.parametrize(
    "reward, expected",
    [(environments.minus_distance, -0.5), (environments.minus_squared_distance, -0.25)],
)
def test_navigation_clips_and_pays(reward, expected):
    world = environments.navigation(reward=reward)
    goal = jnp.array([0.4, -0.4])
    state, _ = world.reset(KEYS[0], goal)
    step = world.step(KEYS[0], state, jnp.array([7.0, 0.0]), goal)  # Moves to (0.1, 0).
    np.testing.assert_allclose(step.observation, [0.1, 0.0], rtol=1e-6)
    np.testing.assert_allclose(step.reward, expected, rtol=1e-6)
    assert not step.done
    near = world.step(KEYS[0], goal - 0.02, jnp.array([0.015, 0.025]), goal)
    assert near.done
    beside = world.step(KEYS[0], goal - 0.02, jnp.array([0.015, 0.005]), goal)
    assert not beside.done
    goals = jax.vmap(world.sample)(KEYS)
    assert jnp.abs(goals).max() <= 0.5 and jnp.abs(goals).max() > 0.49


def test_unit_actions_stand_for_the_bounds():
    world = environments.unit_actions(environments.navigation(), 0.1)
    state, _ = world.reset(jax.random.key(0), jnp.zeros(2))
    moved = world.step(jax.random.key(0), state, jnp.array([0.5, -7.0]), jnp.ones(2))
    np.testing.assert_allclose(moved.observation, [0.05, -0.1], rtol=1e-6)
    np.testing.assert_allclose(moved.reward, -np.hypot(0.95, 1.1), rtol=1e-6)


def test_an_environment_of_gymnax_fits():
    gymnax = pytest.importorskip("gymnax", reason="needs the extra `gymnax`", exc_type=ImportError)
    cart, params = gymnax.make("CartPole-v1")
    poles = environments.from_gymnax(
        cart, lambda key: params.replace(length=jax.random.uniform(key, minval=0.2)), 50
    )
    assert poles.actions == environments.Discrete(2)
    task = poles.sample(KEYS[0])
    state, observation = poles.reset(KEYS[1], task)
    assert observation.shape == (4,)
    for _ in range(30):  # Pushed one way only, the pole falls.
        step = poles.step(KEYS[2], state, jnp.array(0), task)
        state = step.state
        if step.done:
            break
    assert step.done and step.reward == 1
    pendulum, swing = gymnax.make("Pendulum-v1")
    swings = environments.from_gymnax(pendulum, lambda key: swing, 5)
    assert swings.actions == environments.Continuous(1)


def test_wrong_numbers_are_refused():
    for build, name in (
        (lambda: environments.bernoulli_bandits(1), "n_arms must be >= 2, got 1"),
        (lambda: environments.gaussian_bandits(2, std=-1.0), "std must be >= 0, got -1.0"),
        (lambda: environments.tabular_mdps(0), "n_states must be >= 1, got 0"),
        (lambda: environments.navigation(horizon=0), "horizon must be >= 1, got 0"),
        (lambda: environments.unit_actions(environments.navigation(), 0), "bound must be > 0"),
        (
            lambda: environments.unit_actions(environments.bernoulli_bandits(2), 1.0),
            "actions must be continuous",
        ),
    ):
        with pytest.raises(ValueError, match=name):
            build()


def test_a_gaussian_knows_its_density(x64):
    one = Gaussian(jnp.array([0.5, -1.0]), jnp.log(jnp.array([2.0, 0.5])))
    other = Gaussian(jnp.array([0.0, 0.0]), jnp.log(jnp.array([1.0, 1.5])))
    # -(1/2)(x - m)^2 / s^2 - log s - log(2 pi) / 2, by coordinate, for x = (1.5, -1).
    by_hand = -0.125 - np.log(2) - np.log(0.5) - np.log(2 * np.pi)
    np.testing.assert_allclose(one.log_prob(jnp.array([1.5, -1.0])), by_hand, rtol=1e-12)
    x = one.sample(jax.random.key(0))
    samples = jax.vmap(one.sample)(jax.random.split(jax.random.key(1), 20_000))
    assert x.shape == (2,)
    for exact, terms in (
        (one.entropy(), -one.log_prob(samples)),
        (one.kl(other), one.log_prob(samples) - other.log_prob(samples)),
    ):
        assert abs(exact - terms.mean()) < 4 * terms.std() / np.sqrt(len(samples))
    np.testing.assert_allclose(one.kl(one), 0, atol=1e-15)


def test_a_categorical_knows_its_probabilities(x64):
    one, other = (Categorical(jnp.log(jnp.array(p))) for p in ([0.2, 0.8], [0.5, 0.5]))
    np.testing.assert_allclose(one.log_prob(jnp.array(1)), np.log(0.8), rtol=1e-12)
    np.testing.assert_allclose(one.entropy(), -0.2 * np.log(0.2) - 0.8 * np.log(0.8), rtol=1e-12)
    by_hand = 0.2 * np.log(0.4) + 0.8 * np.log(1.6)
    np.testing.assert_allclose(one.kl(other), by_hand, rtol=1e-12)
