import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import rl
from jaxmeta.rl.advantages import discounted_returns, gae
from jaxmeta.training import init_state, make_evaluate

MDPS = rl.environments.tabular_mdps(3, 2, horizon=2)
POLICIES = {
    "gru": rl.gru(4),
    "lstm": rl.lstm(4),
    "snail": rl.snail(embedding=3, filters=2, key_size=4, value_size=3),
    "transformer": rl.transformer(width=4, heads=1),
}


@pytest.mark.parametrize("name", POLICIES)
def test_step_by_step_is_the_whole_trial_at_once(x64, name):
    policy, inputs = POLICIES[name], jnp.array(np.random.default_rng(0).normal(size=(9, 5)))
    params = policy.init(jax.random.key(0), inputs)
    params = jax.tree.map(lambda w: w.astype(jnp.float64), params)
    memory = policy.start(params, 9)
    steps = jax.lax.scan(lambda memory, x: policy.step(params, memory, x), memory, inputs)[1]
    np.testing.assert_allclose(steps, policy.apply(params, inputs), rtol=1e-9, atol=1e-12)
    # It remembers: the first input matters to the last features, and the last not to the first.
    slopes = jax.jacobian(lambda inputs: policy.apply(params, inputs))(inputs)
    assert jnp.abs(slopes[-1, :, 0]).max() > 1e-6
    assert jnp.abs(slopes[0, :, -1]).max() == 0


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in POLICIES if name != "snail"),
        pytest.param("snail", marks=pytest.mark.slow),
    ],
)
def test_at_the_parameters_that_acted_nothing_has_changed(name):
    agent = rl.rl2(POLICIES[name], MDPS, episodes=3)
    task = MDPS.sample(jax.random.key(1))
    params = agent.init(jax.random.key(0), task)
    batch = jax.jit(agent.collect)(params, jax.random.key(2), task)
    replay = jax.jit(agent.replay)(params, batch)
    np.testing.assert_allclose(replay.log_ratio, 0, atol=1e-6)
    np.testing.assert_allclose(batch.distribution.kl(replay.distribution), 0, atol=1e-6)
    assert batch.advantages.shape == replay.values.shape == (6,)
    returns = jax.jit(agent.test)(params, jax.random.key(2), task).returns
    np.testing.assert_allclose(returns.sum(), batch.mean_return, rtol=1e-6)
    assert returns.shape == (3,)


def test_what_is_collected_by_hand():
    agent = rl.rl2(POLICIES["gru"], MDPS, episodes=2, discount=0.9, gae_lambda=0.5)
    task = MDPS.sample(jax.random.key(1))
    params = agent.init(jax.random.key(0), task)
    params["head"]["kernel"] = params["head"]["kernel"] * 50  # Values well away from zero.
    batch = agent.collect(params, jax.random.key(2), task)
    trajectory = agent.test(params, jax.random.key(2), task).trajectories
    inputs, action, _ = batch.data
    # Observation, last action, last reward, last done; the trial goes on over two episodes.
    seen = trajectory.seen
    np.testing.assert_array_equal(inputs[:, :3], seen.observation)
    np.testing.assert_array_equal(inputs[1:, 3:5], jax.nn.one_hot(action[:-1], 2))
    np.testing.assert_array_equal(inputs[1:, 5], trajectory.reward[:-1])
    np.testing.assert_array_equal(inputs[:, 6], [0, 0, 1, 0])
    left = discounted_returns(jnp.ones(4), discount=0.9)  # 3.439, 2.71, 1.9, 1
    np.testing.assert_allclose(left, [3.439, 2.71, 1.9, 1], rtol=1e-6)
    values = agent.replay(params, batch).values * left
    ok = jnp.ones(4, bool)
    advantages = gae(trajectory.reward, values, ok, discount=0.9, gae_lambda=0.5)
    np.testing.assert_allclose(batch.advantages, advantages, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.targets, (advantages + values) / left, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, update",
    [
        ("gru", rl.ppo(minibatches=2)),
        pytest.param("snail", rl.a2c(), marks=pytest.mark.slow),
    ],
)
def test_a_memory_learns_which_arm_pays(name, update):
    # One of two arms always pays, the other never: a pull tells which. Chance 1.5 of three pulls;
    # with memory 0.5 + 1 + 1.
    def sample(key):
        return jax.nn.one_hot(jax.random.bernoulli(key).astype(int), 2)

    policies = {"gru": rl.gru(16), "snail": rl.snail(embedding=8, filters=8)}
    bandit = rl.environments.bernoulli_bandits(2)
    agent = rl.rl2(policies[name], bandit, episodes=3, gae_lambda=0.9)
    tx = optax.adam(2e-2)
    step = update(agent, tx, sample, meta_batch_size=64, steps_per_call=60)
    state, info = step(init_state(jax.random.key(0), agent, tx, sample), jax.random.key(1))
    assert int(state.step) == 60 and info.loss.shape == info.grad_norm.shape == (60,)
    assert abs(info.loss[0] + 1.5) < 0.4
    run = make_evaluate(agent, sample, n_episodes=100, score=rl.acting(jnp.sum))
    result = run(state.params, jax.random.key(2))
    assert result.mean > 2.2
    np.testing.assert_allclose(result.curve.sum(), result.mean, rtol=1e-6)
    np.testing.assert_allclose(result.curves.sum(1).std() * 1.96 / 10, result.interval, rtol=1e-5)
    within = jax.jit(run)(state.params, jax.random.key(2))
    for value, inside in zip(*map(jax.tree.leaves, (result, within)), strict=True):
        np.testing.assert_allclose(inside, value, rtol=1e-4)
    _, within = jax.jit(step)(state, jax.random.key(1))
    np.testing.assert_allclose(within.loss, step(state, jax.random.key(1))[1].loss, rtol=1e-3)


def test_wrong_numbers_are_refused():
    for build, words in (
        (lambda: rl.gru(0), "hidden must be >= 1, got 0"),
        (lambda: rl.snail(embedding=0), "embedding must be >= 1, got 0"),
        (lambda: rl.rl2(rl.gru(2), MDPS, episodes=0), "episodes must be >= 1, got 0"),
        (
            lambda: rl.rl2(rl.gru(2), MDPS, episodes=1, discount=1.5),
            r"discount must be in \[0, 1\]",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            build()
