import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import rl
from jaxmeta.rl._online_decision_transformer import given_windows, trajectory_of
from jaxmeta.rl._squashed import SquashedGaussian, squashed
from jaxmeta.rl.updates import imitation_loss
from jaxmeta.runs import fit
from jaxmeta.training import Validation, evaluate

KEY = jax.random.key(0)
PLANE = rl.environments.unit_actions(rl.environments.navigation(horizon=3), 0.1)
ROOM = rl.environments.dark_room(3, horizon=3)
POLICY = rl.transformer(width=8, layers=1, heads=2)


def numpy_density(mean, log_std, action):
    """Of tanh of a Gaussian, in the plain form of the change of variables."""
    raw, std = np.arctanh(action), np.exp(log_std)
    normal = -0.5 * ((raw - mean) / std) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    return (normal - np.log(1 - action**2)).sum(-1)


def test_the_squashed_density_is_that_of_numpy(x64):
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(2, 20, 3))
    action = np.tanh(2 * rng.normal(size=(20, 3)))
    ours = SquashedGaussian(jnp.array(mean), jnp.array(log_std))
    np.testing.assert_allclose(
        ours.log_prob(jnp.array(action)), numpy_density(mean, log_std, action), rtol=1e-9
    )
    # It is a density: it integrates to 1 over the actions there are.
    grid = np.linspace(-1, 1, 200_001)[1:-1]
    one = SquashedGaussian(jnp.array([0.3]), jnp.array([-0.7]))
    total = np.exp(one.log_prob(jnp.array(grid)[:, None])).sum() * (grid[1] - grid[0])
    np.testing.assert_allclose(total, 1, rtol=1e-6)
    # The entropy from draws is on average minus the mean log-density.
    keys = jax.random.split(KEY, 20_000)
    draws = jax.vmap(one.entropy)(keys)
    density = np.exp(one.log_prob(jnp.array(grid)[:, None]))
    exact = -(density * np.log(density)).sum() * (grid[1] - grid[0])
    assert abs(draws.mean() - exact) < 4 * draws.std() / np.sqrt(20_000)


def test_actions_on_the_bound_and_far_out_stay_finite():
    far = SquashedGaussian(jnp.array([8.0]), jnp.array([0.0]))
    assert jnp.isfinite(far.log_prob(jnp.array([1.0])))
    assert jnp.isfinite(jax.grad(lambda m: far._replace(mean=m).entropy(KEY))(far.mean)).all()
    bent = squashed(jnp.array([0.0, 1e4]))
    np.testing.assert_allclose(bent.log_std, [2.0])
    np.testing.assert_allclose(squashed(jnp.array([0.0, -1e4])).log_std, [-5.0], rtol=1e-6)


@pytest.fixture(scope="module", params=["plane", "room"])
def acted(request):
    """An agent after a trial of two episodes."""
    world = {"plane": PLANE, "room": ROOM}[request.param]
    agent = rl.online_decision_transformer(POLICY, world, target_return=-2.0, episodes=2)
    task = world.sample(jax.random.key(1))
    params = agent.init(KEY, task)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [jnp.array(leaf + 0.3 * rng.normal(size=leaf.shape)) for leaf in leaves]
    params = jax.tree.unflatten(tree, leaves)
    return agent, params, task, jax.jit(agent.collect)(params, jax.random.key(2), task)


def test_what_is_asked_for_falls_by_what_was_paid(acted):
    *_, batch = acted
    windows = batch.data.windows
    reward = np.asarray(windows.reward, float)
    np.testing.assert_allclose(
        windows.asked, 2 * -2.0 - np.cumsum(reward) + reward, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        windows.return_to_go, [reward[t:].sum() for t in range(6)], rtol=1e-5, atol=1e-6
    )
    assert windows.observation[:, -1].tolist() == [0, 0, 0, 1, 0, 0]  # An episode has just ended.


@pytest.mark.parametrize("world", [PLANE, ROOM], ids=["plane", "room"])
def test_acting_with_the_cache_is_the_whole_forward_pass(world):
    agent = rl.online_decision_transformer(
        POLICY, world, target_return=-4.0, episodes=2, greedy=False
    )
    task = world.sample(jax.random.key(1))
    params = agent.init(KEY, task)
    params = jax.tree.map(lambda leaf: leaf + 0.3, params)
    trajectory = jax.jit(agent.test)(params, KEY, task).trajectories
    *_, now = trajectory.extra
    # Conditioned on what was asked for, as it acted, not on hindsight.
    whole = agent.replay(params, given_windows(_windows(trajectory), KEY)).distribution
    for ours, theirs in zip(now, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def _windows(trajectory):
    observation, asked, _ = trajectory.extra
    return rl.Windows(
        observation, trajectory.action, trajectory.reward, asked, asked, trajectory.is_valid
    )


def test_the_loss_and_the_dual_s_gradient_are_those_of_numpy(acted):
    agent, params, _, batch = acted
    batch = batch._replace(is_valid=jnp.arange(6) < 4)
    windows = batch.data.windows._replace(is_valid=batch.is_valid)
    batch = batch._replace(data=batch.data._replace(windows=windows))
    one = jax.tree.map(lambda leaf: leaf[None], batch)
    loss, grads = jax.value_and_grad(imitation_loss(agent, one))(params)
    replay = agent.replay(params, batch)
    log_p = np.asarray(replay.log_ratio, float)[:4]
    now = replay.distribution
    if hasattr(now, "logits"):
        p = np.asarray(jax.nn.softmax(now.logits), float)[:4]
        entropy, target = -(p * np.log(p)).sum(1).mean(), 0.1 * np.log(5)
    else:
        noise = np.asarray(jax.random.normal(batch.data.key, now.mean.shape), float)
        mean, log_std = (np.asarray(part, float) for part in now)
        action = np.tanh(mean + np.exp(log_std) * noise)
        entropy = -numpy_density(mean, log_std, action)[:4].mean()
        target = -2.0
    temperature = np.exp(float(params["log_temperature"]))
    np.testing.assert_allclose(loss, -(log_p.mean() + temperature * entropy), rtol=2e-4)
    # d/d log t of t (H - target); the policy does not move the dual, nor the dual the policy.
    np.testing.assert_allclose(
        grads["log_temperature"], temperature * (entropy - target), rtol=2e-4, atol=1e-6
    )
    free = rl.online_decision_transformer(
        POLICY,
        ROOM if hasattr(now, "logits") else PLANE,
        target_return=-2.0,
        episodes=2,
        constrained=False,
    )
    plain = imitation_loss(free, one)
    np.testing.assert_allclose(plain(params), -log_p.mean(), rtol=1e-5)
    assert jax.grad(plain)(params)["log_temperature"] == 0


def test_without_hindsight_it_learns_from_what_was_asked_for(acted):
    agent, params, _, batch = acted
    world = ROOM if batch.data.windows.action.ndim == 1 else PLANE
    blind = rl.online_decision_transformer(
        POLICY, world, target_return=-2.0, episodes=2, hindsight=False
    )
    windows = batch.data.windows
    swapped = windows._replace(return_to_go=windows.asked)
    key = batch.data.key
    expected = agent.replay(params, given_windows(swapped, key)).log_ratio
    np.testing.assert_allclose(
        blind.replay(params, given_windows(windows, key)).log_ratio, expected, rtol=1e-6
    )
    assert jnp.abs(agent.replay(params, batch).log_ratio - expected).max() > 1e-4


def rounds(agent, **changes):
    def offline(key):
        def one(key):
            key_task, key_act = jax.random.split(key)
            task = ROOM.sample(key_task)
            params = agent.init(key_act, task)
            return trajectory_of(agent.collect(params, key_act, task).data.windows)

        return jax.vmap(one)(jax.random.split(key, 6))

    numbers = dict(capacity=5, offline_rounds=2, updates=3, windows=4, context=2) | changes
    return rl.online_rounds(offline, **numbers)


def small_agent():
    return rl.online_decision_transformer(POLICY, ROOM, target_return=2.0, episodes=2)


def test_offline_rounds_leave_the_buffer_and_online_ones_fill_it():
    agent, tx = small_agent(), optax.adam(1e-2)
    training = rounds(agent)
    state = training.init_state(KEY, agent, tx, ROOM.sample)
    first = jax.tree.map(np.asarray, state.buffer)
    step = training.make_step(agent, tx, ROOM.sample, meta_batch_size=2)
    for number in range(4):
        state, info = step(state, jax.random.key(1))
        assert np.isfinite(info.loss).all()
        is_same = jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), state.buffer, first))
        assert is_same == (number < 2)
    assert int(state.step) == 4 and int(state.buffer.size) == 5
    assert int(state.buffer.oldest) == 4  # Two rounds of two trials, from place 0 on.


def test_a_round_that_is_not_finite_changes_nothing():
    agent, tx = small_agent(), optax.adam(1e-2)
    training = rounds(agent, offline_rounds=0)
    state = training.init_state(KEY, agent, tx, ROOM.sample)
    bias = state.params["head"]["bias"].at[0].set(jnp.nan)
    state.params["head"]["bias"] = bias
    before = jax.tree.map(np.asarray, state)
    step = training.make_step(agent, tx, ROOM.sample, meta_batch_size=2)
    after, info = step(state, jax.random.key(1))
    assert not np.isfinite(info.loss).any()
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_a_run_with_a_buffer_resumes_bit_for_bit(tmp_path):
    agent, tx = small_agent(), optax.adam(1e-2)
    training = rounds(agent, offline_rounds=1)

    def run(folder, steps, **kwargs):
        return fit(
            agent,
            tx,
            ROOM.sample,
            key=jax.random.key(3),
            steps=steps,
            meta_batch_size=2,
            run_dir=tmp_path / folder,
            validation=Validation(
                ROOM.sample,
                every=2,
                n_episodes=4,
                score=rl.acting(jnp.sum),
            ),
            make_step=training.make_step,
            init_state=training.init_state,
            show_progress=False,
            **kwargs,
        )

    whole = run("whole", 6)
    run("cut", 2)
    cut = run("cut", 6, resume=True)
    jax.tree.map(np.testing.assert_array_equal, cut.state, whole.state)
    assert int(cut.state.step) == 6 and int(cut.state.buffer.size) == 5
    assert (tmp_path / "cut/metrics.jsonl").read_text() == (
        tmp_path / "whole/metrics.jsonl"
    ).read_text()


@pytest.mark.parametrize(
    "build, words",
    [
        (
            lambda: rl.online_decision_transformer(POLICY, ROOM, target_return=0.0),
            "target_return must be finite and not 0, got 0.0",
        ),
        (
            lambda: rl.online_decision_transformer(POLICY, ROOM, target_return=1.0, episodes=0),
            "episodes must be >= 1, got 0",
        ),
        (lambda: rounds(small_agent(), updates=0), "updates must be >= 1, got 0"),
        (lambda: rounds(small_agent(), offline_rounds=-1), "offline_rounds must be >= 0, got -1"),
        (
            lambda: rounds(small_agent()).make_step(
                small_agent(), optax.sgd(1.0), ROOM.sample, meta_batch_size=6
            ),
            "meta_batch_size must be at most capacity = 5, got 6",
        ),
    ],
)
def test_wrong_numbers_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.slow
def test_offline_it_beats_its_data_and_online_it_comes_near_the_optimum(optimised):
    # One goal, two steps away: at best 4 - 2 + 1 = 3 an episode.
    room = rl.environments.dark_room(3, horizon=4, start=(1, 1))
    room = room._replace(sample=lambda key: jnp.array(8))
    policy = rl.transformer(width=16, layers=2, heads=2, context=24)
    agent = rl.online_decision_transformer(
        policy, room, target_return=6.0, episodes=2, exploration=1.0, greedy=False
    )
    behaviour = rl.teacher_with_noise(room, episodes=2, most_skill=0.5)
    offline = rl.offline_trials(room, behaviour, n=300)
    training = rl.online_rounds(
        offline, capacity=300, offline_rounds=8, updates=30, windows=32, context=8
    )
    tx = optax.adam(3e-3)
    state = training.init_state(KEY, agent, tx, room.sample)
    given = offline(jax.random.key(5)).reward.sum(1)
    step = training.make_step(agent, tx, room.sample, meta_batch_size=60, steps_per_call=8)
    returns = []
    for _ in range(4):  # Offline, then online.
        state, _ = step(state, jax.random.key(1))
        result = evaluate(
            agent,
            state.params,
            room.sample,
            n_episodes=400,
            key=jax.random.key(6),
            score=rl.acting(),
        )
        returns.append(result.curves.sum(1).mean())
    # Noisy teachers get 1.5 of 6 on average. The buffer fills with what the agent does itself.
    assert returns[0] > 1.5 * given.mean() > 0
    assert returns[-1] > 5.5 and returns[-1] > returns[0] + 1
    assert state.buffer.trajectories.reward.sum(1).mean() > 5
