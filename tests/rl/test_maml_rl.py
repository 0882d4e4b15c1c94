import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jaxmeta import networks, rl
from jaxmeta.training import init_state, make_evaluate

WORLD = rl.environments.navigation(horizon=5)
NET = networks.mlp(2, hidden=(4,), activation=jnp.tanh, kernel_init=jax.nn.initializers.normal(0.5))


def collected(agent, key=2):
    task = WORLD.sample(jax.random.key(1))
    params = jax.jit(agent.init)(jax.random.key(0), task)
    params = jax.tree.map(lambda w: w.astype(float), params)
    return params, jax.jit(agent.collect)(params, jax.random.key(key), task), task


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_replay_adapts_again_as_when_acting(x64, steps):
    agent = rl.maml_rl(NET, WORLD, inner_steps=steps, episodes=3)
    params, batch, _ = collected(agent)
    replay = jax.jit(agent.replay)(params, batch)
    np.testing.assert_allclose(replay.log_ratio, 0, atol=1e-10)
    np.testing.assert_allclose(batch.distribution.kl(replay.distribution), 0, atol=1e-10)
    assert batch.advantages.shape == (3, 5) and len(batch.data.support) == steps
    np.testing.assert_allclose(np.mean(batch.advantages), 0, atol=1e-10)
    np.testing.assert_allclose(np.std(batch.advantages), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "inner_loss", [rl.surrogate, rl.dice, rl.low_variance_curvature], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("credit", [False, True])
def test_the_meta_gradient_is_the_derivative_of_the_objective(x64, inner_loss, credit):
    agent = rl.maml_rl(
        NET, WORLD, episodes=2, inner_loss=inner_loss, credit_sampling=credit, inner_lr=0.5
    )
    params, batch, _ = collected(agent)

    def objective(params):
        replay = agent.replay(params, batch)
        return jnp.mean(jnp.exp(replay.log_ratio) * batch.advantages) + replay.credit

    check_grads(jax.jit(objective), (params,), order=1, modes=["rev"], rtol=1e-5, atol=1e-7)


def test_an_inner_step_by_hand(x64):
    # Two parameters: a constant mean and a log standard deviation, in one dimension per coordinate.
    class Constant:
        def init(self, key, x):
            return jnp.array([0.2, -0.1])

        def apply(self, w, x):
            return jnp.broadcast_to(w, (len(x), 2))

    agent = rl.maml_rl(Constant(), WORLD, episodes=2, inner_lr=0.3)
    params, batch, _ = collected(agent)
    support = batch.data.support[0]
    z = support.action - params["net"]  # Standard deviation 1.
    a = np.asarray(support.advantages)[..., None]
    ok = np.asarray(support.is_valid)[..., None]
    mean = params["net"] + 0.3 * np.sum(ok * z * a, axis=(0, 1)) / ok.sum()
    log_std = 0.3 * np.sum(ok * (z**2 - 1) * a, axis=(0, 1)) / ok.sum()
    np.testing.assert_allclose(batch.distribution.mean[0, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(batch.distribution.log_std[0, 0], log_std, rtol=1e-9)


def test_returns_after_each_step_are_those_of_the_paths():
    agent = rl.maml_rl(NET, WORLD, episodes=3, test_inner_lrs=(0.1, 0.05))
    task = WORLD.sample(jax.random.key(1))
    params = agent.init(jax.random.key(0), task)
    result = jax.jit(agent.test)(params, jax.random.key(3), task)
    assert result.trajectories.reward.shape == (3, 3, 5)
    np.testing.assert_allclose(
        result.returns, result.trajectories.reward.sum(-1).mean(-1), rtol=1e-6
    )
    # The point is where the clipped actions have brought it.
    path = jax.tree.map(lambda leaf: np.asarray(leaf[1, 0]), result.trajectories)
    moved = np.cumsum(np.clip(path.action, -0.1, 0.1), axis=0)
    np.testing.assert_allclose(path.seen.observation[1:], moved[:-1], atol=1e-6)


@pytest.mark.parametrize(
    "update, tx",
    [(rl.trpo(max_kl=0.05), optax.identity()), (rl.a2c(), optax.adam(0.05))],
    ids=["trpo", "gradient"],
)
def test_it_learns_where_to_look(update, tx):
    # One of the first two arms pays, the third never: a policy to start from that tries the first
    # two alike, and an update from which the paying one follows.
    def sample(key):
        return jax.nn.one_hot(jax.random.bernoulli(key).astype(int), 3)

    bandit = rl.environments.bernoulli_bandits(3)
    net = networks.linear(3, use_bias=False, init_scale=0.1)
    agent = rl.maml_rl(net, bandit, episodes=8, inner_lr=0.5, test_inner_lrs=(0.5,))
    state = init_state(jax.random.key(0), agent, tx, sample)
    score = make_evaluate(agent, sample, n_episodes=200, score=rl.acting(lambda r: r[1]))
    before = score(state.params, jax.random.key(2))
    step = update(agent, tx, sample, meta_batch_size=16, steps_per_call=40)
    state, info = step(state, jax.random.key(1))
    after = score(state.params, jax.random.key(2))
    assert abs(before.curve[0] - 1 / 3) < 0.05 and before.curve[0] < before.curve[1]
    assert abs(after.curve[0] - 1 / 2) < 0.06 and after.mean > before.mean + 0.1
    assert after.curve[1] > after.curve[0] + 0.05 and np.isfinite(info.grad_norm).all()


def test_wrong_numbers_are_refused():
    for settings, words in (
        ({"inner_steps": -1}, "inner_steps must be >= 0, got -1"),
        ({"episodes": 0}, "episodes must be >= 1, got 0"),
        ({"gae_lambda": 2.0}, r"gae_lambda must be in \[0, 1\], got 2.0"),
    ):
        with pytest.raises(ValueError, match=words):
            rl.maml_rl(NET, WORLD, **settings)
