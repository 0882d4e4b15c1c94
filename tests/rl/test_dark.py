import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.rl import environments

KEY = jax.random.key(0)
ROOMS = [
    # size, horizon, start, and the best mean return worked out by hand: d steps to the goal, the
    # last of which is paid, leave H - d + 1 paid ones, and H where the goal is the start.
    # Corner of 10x10: d is 4.5 + 4.5 on average, 100 - 9 + 1 - 1 / 100.
    (10, 100, (0, 0), 91.99),
    # Middle of 9x9: d is 2 * (2 * (1 + 2 + 3 + 4) / 9) = 40 / 9, 20 - 40 / 9 + 1 - 1 / 81.
    (9, 20, (4, 4), 20 - 40 / 9 + 1 - 1 / 81),
]


def value_iteration(room, goal, horizon):
    """Best returns from each cell, in numpy, by the room's own steps: `[n_states]`."""
    n = room.table.n_states
    states, actions = jnp.arange(n), jnp.arange(room.actions.n)
    after = jax.vmap(lambda s: jax.vmap(lambda a: room.step(KEY, s, a, jnp.array(goal)))(actions))(
        states
    )
    following, rewards = np.asarray(after.state), np.asarray(after.reward, float)
    best = np.zeros(n)
    for _ in range(horizon):
        best = (rewards + best[following]).max(1)
    return best


@pytest.mark.parametrize("size, horizon, start, expected", ROOMS)
def test_the_best_return_of_a_dark_room(size, horizon, start, expected):
    cells = itertools.product(range(size), repeat=2)
    distances = np.array([abs(x - start[0]) + abs(y - start[1]) for x, y in cells])
    by_hand = np.where(distances > 0, horizon - distances + 1, horizon).mean()
    np.testing.assert_allclose(by_hand, expected, rtol=1e-12)
    room = environments.dark_room(size, horizon=horizon, start=start)
    goals = jnp.arange(size**2)

    def play(goal):
        def one_step(state, _):
            step = room.step(KEY, state, room.table.optimal(state, goal), goal)
            return step.state, step.reward

        return jax.lax.scan(one_step, room.reset(KEY, goal)[0], length=horizon)[1].sum()

    np.testing.assert_allclose(jax.vmap(play)(goals).mean(), expected, rtol=1e-6)
    begin = start[0] * size + start[1]
    for goal in (0, begin, size**2 - 2):  # No way through the grid is better than that.
        best = value_iteration(room, goal, horizon)
        np.testing.assert_allclose(play(jnp.array(goal)), best[begin])


def test_moves_walls_and_what_is_seen():
    room = environments.dark_room(3, horizon=5)
    #  0 1 2
    #  3 4 5   the first coordinate goes down the page
    #  6 7 8
    moved = [[room.step(KEY, s, a, 0).state.item() for a in range(5)] for s in (0, 4, 8)]
    assert moved == [[0, 0, 3, 0, 1], [4, 1, 7, 3, 5], [8, 5, 8, 7, 8]]
    step = room.step(KEY, jnp.array(4), jnp.array(4), jnp.array(5))
    assert step.observation.tolist() == [0, 1, 0, 0, 0, 1] and step.reward == 1 and not step.done
    assert room.step(KEY, jnp.array(5), jnp.array(0), jnp.array(5)).reward == 1  # Staying pays.
    assert room.step(KEY, jnp.array(5), jnp.array(1), jnp.array(5)).reward == 0
    state, observation = room.reset(KEY, jnp.array(5))
    assert state == 0 and observation.tolist() == room.table.observe(state).tolist()
    goals = jax.vmap(room.sample)(jax.random.split(KEY, 2000))
    shares = np.bincount(np.asarray(goals), minlength=9) / 2000
    np.testing.assert_allclose(shares, 1 / 9, atol=4 * np.sqrt(1 / 9 / 2000))


def test_a_key_then_a_door():
    world = environments.key_to_door(3, start=(0, 0))
    task = environments.KeyAndDoor(jnp.array(2), jnp.array(1))
    state, _ = world.reset(KEY, task)
    seen = []
    for action in (4, 4, 0, 3):  # Past the door without the key, to the key, wait, to the door.
        step = world.step(KEY, state, jnp.array(action), task)
        seen.append((step.state.item(), step.reward.item(), step.done.item()))
        state = step.state
    assert seen == [(1, 0, False), (11, 1, False), (11, 0, False), (10, 1, True)]
    # With and without the key one sees the same.
    observe = world.table.observe
    assert observe(jnp.array(1)).tolist() == observe(jnp.array(10)).tolist()


def test_the_best_return_from_key_to_door_is_two():
    world = environments.key_to_door()
    tasks = jax.vmap(world.sample)(jax.random.split(KEY, 300))

    def play(task):
        def one_step(carry, _):
            state, is_over = carry
            step = world.step(KEY, state, world.table.optimal(state, task), task)
            return (step.state, is_over | step.done), jnp.where(is_over, 0, step.reward)

        start = (world.reset(KEY, task)[0], jnp.array(False))
        (_, is_over), rewards = jax.lax.scan(one_step, start, length=world.horizon)
        return rewards.sum(), is_over

    returns, is_over = jax.vmap(play)(tasks)
    assert returns.min() == returns.max() == 2 and is_over.all()


@pytest.mark.parametrize("room", [environments.dark_room, environments.key_to_door])
@pytest.mark.parametrize(
    "size, horizon, start, words",
    [
        (0, 5, (0, 0), "size must be >= 1, got 0"),
        (3, 0, (0, 0), "horizon must be >= 1, got 0"),
        (3, 5, (0, 3), r"start must be two numbers in 0..2, got \(0, 3\)"),
    ],
)
def test_impossible_rooms_are_refused(room, size, horizon, start, words):
    with pytest.raises(ValueError, match=words):
        room(size, horizon=horizon, start=start)
