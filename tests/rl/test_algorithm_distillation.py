import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl
from jaxmeta.rl._rollout import Seen, Trajectory, returns_by_episode
from jaxmeta.rl.environment import Environment, Step, Table

KEY = jax.random.key(0)
ROOM = rl.environments.dark_room(3, horizon=4, start=(1, 1))
POLICY = rl.transformer(width=8, layers=1)


def in_numpy(trajectory, env, *, rate, discount, first_value):
    """The table after a history, by Watkins and Dayan's rule, and whether each choice was best."""
    values = np.full((env.table.n_states, env.actions.n), first_value)
    rows = np.asarray(trajectory.seen.observation)
    known = [np.asarray(env.table.observe(jnp.array(n))) for n in range(env.table.n_states)]

    def number(row):
        return next(n for n, one in enumerate(known) if (one == row).all())

    is_best, length = [], len(rows)
    for t in range(length):
        state, action = number(rows[t]), int(trajectory.action[t])
        is_best.append(values[state, action] >= values[state].max() - 1e-6)
        ends = t + 1 == length or bool(trajectory.seen.done[t + 1])
        worth = float(trajectory.reward[t])
        if t + 1 < length:
            reached = number(np.asarray(trajectory.seen.reached[t + 1]))
            worth += 0 if ends else discount * values[reached].max()
            values[state, action] += rate * (worth - values[state, action])
    return values, np.array(is_best)


def test_q_learning_is_that_of_numpy():
    numbers = {"rate": 0.5, "discount": 0.9, "first_value": 1.0}
    source = rl.q_learning(ROOM, episodes=20, exploration=(0.0, 0.0), **numbers)
    for seed, goal in enumerate((0, 2, 8)):
        history = jax.jit(source)(jax.random.key(seed), jnp.array(goal))
        _, is_best = in_numpy(history, ROOM, **numbers)
        # Without random actions each one is a best of the table that numpy has got.
        assert is_best.all()
        returns = returns_by_episode(history, 20)
        assert returns[-5:].mean() > returns[:3].mean()
    random = rl.q_learning(ROOM, episodes=20, exploration=(1.0, 1.0), **numbers)
    history = jax.jit(random)(KEY, jnp.array(4))
    assert not in_numpy(history, ROOM, **numbers)[1].all()
    shares = np.bincount(np.asarray(history.action), minlength=5) / 80
    np.testing.assert_allclose(shares, 0.2, atol=4 * 0.4 / np.sqrt(80))


def test_thousands_learn_at_once():
    source = rl.q_learning(ROOM, episodes=30, rate=1.0)

    def learn(key):
        key_task, key_learner = jax.random.split(key)
        return returns_by_episode(source(key_learner, ROOM.sample(key_task)), 30)

    returns = jax.jit(jax.vmap(learn))(jax.random.split(KEY, 2000))
    # At best 4 steps less the 4 / 3 to the goal, plus 1, and 1 / 9 less where that is the start.
    best = 4 - 4 / 3 + 1 - 1 / 9
    assert returns[:, -1].mean() > 0.9 * best > 2 * returns[:, 0].mean()


def ending():
    """Pays 1 for action 1, which ends an episode; three steps otherwise."""

    def step(key, state, action, task):
        return Step(state + 1, jnp.ones(1) * (state + 1), action.astype(float), action == 1)

    return Environment(
        sample=lambda key: jnp.zeros(()),
        reset=lambda key, task: (jnp.array(0), jnp.zeros(1)),
        step=step,
        actions=rl.environments.bernoulli_bandits(2).actions,
        horizon=3,
        table=Table(4, lambda state: jnp.ones(1) * state),
    )


def given_history(key, task):
    """Six episodes, of 3, 1, 2, 3, 1, 2 steps, in an array with room for 18."""
    del key, task
    lengths = [3, 1, 2, 3, 1, 2]
    episode = np.repeat(np.arange(6), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    n, room = len(episode), 18

    def padded(values, fill=0):
        return jnp.array([*values, *[fill] * (room - n)])

    reward = np.arange(n) / 10
    seen = Seen(padded(step).astype(float)[:, None], None, None, None, None)
    action = padded(np.arange(n) % 2)
    is_valid = jnp.arange(room) < n
    return Trajectory(seen, action, padded(reward), is_valid, padded(episode, 6), ())


def test_a_history_thinned_out_by_hand():
    agent = rl.algorithm_distillation(
        POLICY, ending(), source=given_history, source_episodes=6, episodes=2
    )
    found = set()
    for seed in range(12):
        batch = agent.collect(None, jax.random.key(seed), None)
        n = int(batch.is_valid.sum())
        kept = np.asarray(batch.data.episode[:n])
        found.add(int(kept[0]))
        first = int(kept[0])
        lengths = [3, 1, 2, 3, 1, 2]
        assert kept.tolist() == [first] * lengths[first] + [first + 3] * lengths[first + 3]
        starts = np.cumsum([0, *lengths])
        numbers = [starts[e] + t for e in (first, first + 3) for t in range(lengths[e])]
        np.testing.assert_array_equal(batch.data.action[:n], np.array(numbers) % 2)
        observation, before, paid, done = np.split(np.asarray(batch.data.inputs[:n]), [1, 3, 4], 1)
        steps = [t for e in (first, first + 3) for t in range(lengths[e])]
        np.testing.assert_array_equal(observation[:, 0], steps)
        np.testing.assert_array_equal(before[0], [0, 0])
        np.testing.assert_array_equal(before[1:].argmax(1), np.array(numbers[:-1]) % 2)
        np.testing.assert_allclose(paid[:, 0], [0, *np.array(numbers[:-1]) / 10], rtol=1e-6)
        is_new = [0.0] * n
        is_new[lengths[first]] = 1.0
        assert done[:, 0].tolist() == is_new
        assert batch.advantages is None and batch.is_valid.shape == (6,)
    assert found == {0, 1, 2}


def test_it_acts_as_it_learns():
    source = rl.q_learning(ROOM, episodes=4)
    agent = rl.algorithm_distillation(POLICY, ROOM, source=source, source_episodes=4, episodes=2)
    task = jnp.array(2)
    params = jax.tree.map(lambda leaf: leaf + 0.3, agent.init(KEY, task))
    trajectory = jax.jit(agent.test)(params, KEY, task).trajectories
    inputs, now = trajectory.extra
    batch = agent.collect(params, KEY, task)
    batch = batch._replace(data=batch.data._replace(inputs=inputs, action=trajectory.action))
    replay = agent.replay(params, batch)
    np.testing.assert_allclose(replay.distribution.logits, now.logits, rtol=1e-5, atol=1e-5)
    assert inputs[:, -1].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    log_p = jax.nn.log_softmax(replay.distribution.logits)[np.arange(8), trajectory.action]
    np.testing.assert_allclose(replay.log_ratio, log_p, rtol=1e-6)


@pytest.mark.parametrize(
    "build, words",
    [
        (
            lambda: rl.q_learning(rl.environments.navigation(), episodes=3),
            "needs an environment with a table and discrete actions",
        ),
        (lambda: rl.q_learning(ROOM, episodes=0), "episodes must be >= 1, got 0"),
        (
            lambda: rl.q_learning(ROOM, episodes=3, exploration=(0.1, 2.0)),
            r"exploration must be in \[0, 1\], got 2.0",
        ),
        (lambda: rl.q_learning(ROOM, episodes=3, rate=-1), r"rate must be in \[0, 1\], got -1"),
        (
            lambda: rl.algorithm_distillation(
                POLICY, ROOM, source=given_history, source_episodes=5, episodes=2
            ),
            "source_episodes must be a multiple of episodes = 2, got 5",
        ),
    ],
)
def test_wrong_numbers_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
