import jax.numpy as jnp
import numpy as np

from jaxmeta.rl.advantages import discounted_returns, gae, linear_baseline, normalised

ALL = jnp.ones(3, bool)


def test_generalised_advantages_by_hand(x64):
    rewards, values = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 1.0, 1.5])
    # Errors with discount 0.9: 1 + 0.9 - 0.5 = 1.4, 2 + 1.35 - 1 = 2.35, 3 - 1.5 = 1.5;
    # summed with 0.9 * 0.8 = 0.72: 1.5, 2.35 + 1.08 = 3.43, 1.4 + 2.4696 = 3.8696.
    advantages = gae(rewards, values, ALL, discount=0.9, gae_lambda=0.8)
    np.testing.assert_allclose(advantages, [3.8696, 3.43, 1.5], rtol=1e-12)
    np.testing.assert_allclose(
        gae(rewards, values, ALL, discount=0.9, gae_lambda=0.0), [1.4, 2.35, 1.5], rtol=1e-12
    )
    # lambda 1 is the return less the value.
    returns = discounted_returns(rewards, discount=0.9)
    np.testing.assert_allclose(returns, [1 + 1.8 + 2.43, 4.7, 3.0], rtol=1e-12)
    np.testing.assert_allclose(
        gae(rewards, values, ALL, discount=0.9, gae_lambda=1.0), returns - values, rtol=1e-12
    )


def test_nothing_comes_after_the_end(x64):
    rewards, values = jnp.array([1.0, 2.0, 0.0]), jnp.array([0.5, 1.0, 99.0])
    advantages = gae(rewards, values, jnp.array([True, True, False]), discount=0.9, gae_lambda=0.8)
    np.testing.assert_allclose(advantages, [1.4 + 0.72 * 1.0, 1.0, 0.0], rtol=1e-12)


def test_the_linear_baseline_is_the_ridge_regression_of_the_valid_steps(x64):
    rng = np.random.default_rng(0)
    seen, returns = rng.normal(size=(4, 30, 2)), rng.normal(size=(4, 30))
    is_valid = np.arange(30) < np.array([[30], [20], [30], [5]])
    fitted = linear_baseline(jnp.array(seen), jnp.array(returns), jnp.array(is_valid))
    time = np.tile(np.arange(30)[:, None] / 100, (4, 1, 1))
    parts = [seen, seen**2, time, time**2, time**3, np.ones_like(time)]
    rows = np.concatenate(parts, axis=-1)[is_valid]
    ridge = np.sqrt(1e-5 * np.mean(np.sum(rows**2, axis=0)))
    tall = np.concatenate([rows, ridge * np.eye(8)])
    weights = np.linalg.lstsq(tall, np.append(returns[is_valid], np.zeros(8)))[0]
    np.testing.assert_allclose(fitted[is_valid], rows @ weights, rtol=1e-8)
    # It explains what is linear in its features.
    linear = 1 + 2 * seen[..., 0] - seen[..., 1] ** 2 + 3 * time[..., 0]
    fitted = linear_baseline(jnp.array(seen), jnp.array(linear), jnp.array(is_valid))
    np.testing.assert_allclose(fitted[is_valid], linear[is_valid], atol=0.02 * linear.std())


def test_normalised_over_the_valid_ones():
    values = jnp.array([[1.0, 3.0], [5.0, 1e6]])
    is_valid = jnp.array([[True, True], [True, False]])
    expected = np.array([[-2, 0], [2, 0]]) / np.std([1, 3, 5])
    np.testing.assert_allclose(normalised(values, is_valid), expected, rtol=1e-6)
