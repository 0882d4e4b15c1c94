import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl
from jaxmeta.rl import Trajectory, TrajectoryBuffer

KEY = jax.random.key(0)
LENGTHS = np.array([2, 5, 3])


def trajectories(seed=0, lengths=LENGTHS, steps=5):
    """Numbers that say where they come from: observation 100 * trajectory + step."""
    n = len(lengths)
    rng = np.random.default_rng(seed)
    number = 100 * (seed * 10 + np.arange(n))[:, None] + np.arange(steps)
    reward = rng.normal(size=(n, steps))
    return Trajectory(
        jnp.array(number, jnp.float32)[..., None],
        jnp.array(number % 7),
        jnp.array(reward, jnp.float32),
        jnp.array(rng.normal(size=(n, steps)), jnp.float32),
        jnp.array(lengths, jnp.int32),
    )


def returns(given):
    is_valid = np.arange(5) < np.asarray(given.length)[:, None]
    return (np.asarray(given.reward, float) * is_valid).sum(1)


def test_windows_and_their_returns_to_go_are_those_of_numpy():
    given = trajectories()
    buffer = TrajectoryBuffer.filled(given, 4)
    drawn = buffer.sample(KEY, n=500, length=3)
    for w in range(500):
        first = int(drawn.observation[w, 0, 0])
        which, begin = first // 100, first % 100
        assert begin < LENGTHS[which]
        reward = np.asarray(given.reward[which], float)[: LENGTHS[which]]
        for k in range(3):
            t = begin + k
            assert drawn.is_valid[w, k] == (t < LENGTHS[which])
            if t < LENGTHS[which]:
                assert drawn.observation[w, k, 0] == 100 * which + t
                assert drawn.action[w, k] == (100 * which + t) % 7
                assert drawn.asked[w, k] == given.asked[which, t]
                np.testing.assert_allclose(drawn.reward[w, k], reward[t], rtol=1e-6)
                # In hindsight: what was achieved from here to the end, beyond the window too.
                np.testing.assert_allclose(
                    drawn.return_to_go[w, k], reward[t:].sum(), rtol=1e-5, atol=1e-6
                )
            else:
                assert drawn.reward[w, k] == 0


def test_every_step_is_as_likely_to_begin_a_window():
    buffer = TrajectoryBuffer.filled(trajectories(), 7)
    drawn = buffer.sample(KEY, n=20_000, length=1)
    first, counts = np.unique(np.asarray(drawn.observation[:, 0, 0]), return_counts=True)
    steps = [100 * n + t for n, length in enumerate(LENGTHS) for t in range(length)]
    assert first.tolist() == steps
    np.testing.assert_allclose(counts / 20_000, 0.1, atol=4 * 0.3 / np.sqrt(20_000))


def test_the_best_are_kept_and_then_first_in_first_out():
    given = trajectories(lengths=np.array([5, 5, 5, 5]))
    best_first = np.argsort(-returns(given))
    buffer = TrajectoryBuffer.filled(given, 3)

    def content(buffer):
        return {int(number) // 100 for number in buffer.trajectories.observation[:, 0, 0]}

    assert content(buffer) == set(best_first[:3])
    new = trajectories(seed=1, lengths=np.array([5, 4]))
    once = jax.jit(TrajectoryBuffer.insert)(buffer, new)
    assert content(once) == {best_first[0], 10, 11}  # The two worst of the best have gone.
    twice = once.insert(trajectories(seed=2, lengths=np.array([5, 4])))
    assert content(twice) == {11, 20, 21} and int(twice.size) == 3
    # Where there is room, nothing goes.
    roomy = TrajectoryBuffer.filled(given, 6).insert(new)
    assert int(roomy.size) == 6 and content(roomy) == {0, 1, 2, 3, 10, 11}
    assert content(roomy.insert(new)) >= set(best_first[:2])


def test_what_is_not_filled_is_never_drawn():
    buffer = TrajectoryBuffer.filled(trajectories(), 10)
    drawn = buffer.sample(KEY, n=300, length=2)
    assert drawn.is_valid[:, 0].all()
    assert set(np.unique(np.asarray(drawn.observation[:, 0, 0]) // 100)) == {0, 1, 2}


def test_a_million_transitions_stay_in_their_bytes():
    n, steps = 1000, 1000
    one = Trajectory(
        jnp.zeros((1, steps, 17)),
        jnp.zeros((1, steps, 6)),
        jnp.ones((1, steps)),
        jnp.zeros((1, steps)),
        jnp.array([steps], jnp.int32),
    )
    buffer = TrajectoryBuffer.filled(one, n)
    # float32: 17 + 6 numbers, reward and what was asked; lengths; two counters.
    assert buffer.nbytes == 4 * (n * steps * (17 + 6 + 2) + n + 2)
    insert = jax.jit(TrajectoryBuffer.insert, donate_argnums=0)
    needed = insert.lower(buffer, one).compile().memory_analysis()
    assert needed.alias_size_in_bytes >= buffer.nbytes - 8  # In place,
    assert needed.temp_size_in_bytes < 1e6  # and with no second one beside it.
    before = buffer.nbytes
    for _ in range(3):
        buffer = insert(buffer, one)
    assert buffer.nbytes == before and int(buffer.size) == 4


def test_impossible_buffers_are_refused():
    given = trajectories()
    with pytest.raises(ValueError, match="must be >= 1, got 0 and 3"):
        TrajectoryBuffer.filled(given, 0)
    with pytest.raises(ValueError, match="must be >= 1, got 2 and 0"):
        TrajectoryBuffer.filled(jax.tree.map(lambda leaf: leaf[:0], given), 2)
    with pytest.raises(ValueError, match="at most capacity = 2 of them, got 3"):
        rl.TrajectoryBuffer.filled(given, 2).insert(given)
