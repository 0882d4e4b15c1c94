"""Returns over tasks, of an agent whose returns are known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl
from jaxmeta.training import MetaState


def agent(dtype):
    """After k inner steps its return is 10 k plus the task's number."""

    def test(params, key, task):
        return rl.agent.Test(jnp.asarray(10 * jnp.arange(3) + task, dtype), None)

    return rl.Agent(None, None, None, test)


def sample(key):
    return jax.random.uniform(key)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_mean_is_a_return_and_not_a_sum_over_inner_steps(dtype):
    settings = {"n_episodes": 5000, "key": jax.random.key(1)}
    result = rl.evaluate_returns(agent(dtype), {}, sample, **settings, episodes_at_once=1000)
    assert result.per_task.shape == (5000, 3) and result.per_task.dtype == np.float64
    np.testing.assert_allclose(result.at, [0.5, 10.5, 20.5], atol=0.02)
    np.testing.assert_allclose(result.at, result.per_task.mean(0), rtol=1e-12)
    np.testing.assert_allclose(result.mean, result.at[-1], rtol=1e-12)
    np.testing.assert_allclose(result.interval, result.at_interval[-1], rtol=1e-12)
    np.testing.assert_allclose(result.interval, 1.96 * 12**-0.5 / 5000**0.5, rtol=0.1)
    trial = rl.evaluate_returns(agent(dtype), {}, sample, metric=jnp.sum, **settings)
    np.testing.assert_allclose(trial.mean, result.at.sum(), rtol=2e-3)


def test_of_one_task_no_interval_is_known():
    run = rl.make_evaluate_returns(agent("float32"), sample, n_episodes=1)
    for result in (run({}, jax.random.key(1)), jax.jit(run)({}, jax.random.key(1))):
        assert np.isnan(result.interval) and np.isfinite(result.mean)
        assert np.isnan(result.at_interval).all() and result.at_interval.shape == (3,)
    given = SimpleNamespace(loss=lambda params, key, task: (task, None))
    likelihood = rl.make_evaluate_likelihood(given, sample, n_episodes=1)
    assert np.isnan(likelihood({}, jax.random.key(1)).interval)


def test_mistakes_are_answered():
    with pytest.raises(TypeError, match=r"got a MetaState: give state\.params"):
        state = MetaState({}, (), jnp.zeros(()))
        rl.evaluate_returns(agent("float32"), state, sample, n_episodes=1, key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"got 0: give jax\.random\.key\(0\)"):
        rl.evaluate_returns(agent("float32"), {}, sample, n_episodes=1, key=0)
