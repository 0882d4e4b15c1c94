"""Returns over tasks, of an agent whose returns are known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import rl
from jaxmeta.training import MetaState, evaluate, make_evaluate


def agent(dtype):
    """After k inner steps its return is 10 k plus the task's number."""

    def test(params, key, task):
        return rl.agent.Test(jnp.asarray(10 * jnp.arange(3) + task, dtype), None)

    return rl.Agent(None, None, None, test)


def sample(key):
    return jax.random.uniform(key)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_mean_is_a_return_and_not_a_sum_over_inner_steps(dtype):
    settings = {"n_episodes": 5000, "key": jax.random.key(1), "episodes_at_once": 1000}
    result = evaluate(agent(dtype), {}, sample, score=rl.acting(), **settings)
    assert result.curves.shape == (5000, 3) and result.curves.dtype == np.float64
    np.testing.assert_allclose(result.curve, [0.5, 10.5, 20.5], atol=0.02)
    np.testing.assert_allclose(result.curve, result.curves.mean(0), rtol=1e-12)
    np.testing.assert_array_equal(result.per_episode, result.curves[:, -1])
    np.testing.assert_allclose(result.mean, result.curve[-1], rtol=1e-12)
    np.testing.assert_allclose(result.interval, result.curve_interval[-1], rtol=1e-12)
    assert np.isnan(result.calibration_error) and np.isnan(result.log_loss)
    np.testing.assert_allclose(result.interval, 1.96 * 12**-0.5 / 5000**0.5, rtol=0.1)
    trial = evaluate(agent(dtype), {}, sample, score=rl.acting(jnp.sum), **settings)
    np.testing.assert_allclose(trial.mean, result.curve.sum(), rtol=2e-3)


def test_of_one_task_no_interval_is_known():
    run = make_evaluate(agent("float32"), sample, n_episodes=1, score=rl.acting())
    for result in (run({}, jax.random.key(1)), jax.jit(run)({}, jax.random.key(1))):
        assert np.isnan(result.interval) and np.isfinite(result.mean)
        assert np.isnan(result.curve_interval).all() and result.curve_interval.shape == (3,)
    given = SimpleNamespace(loss=lambda params, key, task: (task, None))
    run = make_evaluate(given, sample, n_episodes=1, score=rl.likelihood())
    assert np.isnan(run({}, jax.random.key(1)).interval)


def test_the_likelihood_is_minus_the_loss():
    given = SimpleNamespace(loss=lambda params, key, task: (task, None))
    key = jax.random.key(1)
    result = evaluate(given, {}, sample, n_episodes=70, key=key, score=rl.likelihood())
    keys = [jax.random.split(jax.random.fold_in(key, i))[0] for i in range(70)]
    expected = -np.array([sample(key) for key in keys], np.float64)
    np.testing.assert_allclose(result.per_episode, expected, rtol=1e-12)
    np.testing.assert_allclose(result.mean, expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(result.interval, 1.96 * expected.std() / 70**0.5, rtol=1e-12)
    assert result.curve is None


def scored(params, agent=agent("float32"), *, key=jax.random.key(0), score=rl.acting(), **settings):
    return evaluate(agent, params, sample, n_episodes=1, key=key, score=score, **settings)


def test_mistakes_are_answered():
    with pytest.raises(TypeError, match=r"got a MetaState: give state\.params"):
        state = MetaState({}, (), jnp.zeros(()))
        scored(state)
    with pytest.raises(TypeError, match=r"got 0: give jax\.random\.key\(0\)"):
        scored({}, key=0)
    learner = jaxmeta.learners.metric.nearest_neighbour()
    with pytest.raises(TypeError, match=r"acting\(\) needs an rl.Agent, got Learner.*few_shot"):
        scored({}, learner)
    with pytest.raises(TypeError, match=r"few_shot\(\) needs a learner.*got Agent.*rl.acting\(\)"):
        scored({}, rl.rl2(rl.gru(2), rl.environments.bernoulli_bandits(2), episodes=2), score=None)
    for score in (rl.acting(), rl.likelihood()):
        with pytest.raises(ValueError, match="transductive=True is for episodes with a query set"):
            scored({}, score=score, transductive=True)
    with pytest.raises(ValueError, match=r"metric must give one number.*got shape \(3,\)"):
        scored({}, score=rl.acting(lambda returns: returns))


@pytest.mark.parametrize("score", [rl.acting(), rl.likelihood()])
def test_a_number_that_is_not_finite_is_said(score):
    def never(params, key, task):
        return jnp.where(task > 0.5, jnp.nan, task) * jnp.ones(2)

    broken = SimpleNamespace(
        loss=lambda *task: (never(*task)[0], None),
        test=lambda *task: rl.agent.Test(never(*task), None),
    )
    key = jax.random.key(1)
    keys = [jax.random.split(jax.random.fold_in(key, i))[0] for i in range(9)]
    first = [float(sample(key)) > 0.5 for key in keys].index(True)
    with pytest.raises(FloatingPointError, match=f"in task {first} (is|are) not finite"):
        evaluate(broken, {}, sample, n_episodes=9, key=key, score=score)
