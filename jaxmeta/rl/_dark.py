"""Dark rooms: grids in which an agent sees where it stands and not what it is there for.

Laskin et al., "In-context Reinforcement Learning with Algorithm Distillation", 2022,
https://arxiv.org/abs/2210.14215, section 4.1; Lee et al., "Supervised Pretraining Can Learn
In-Context Reinforcement Learning", NeurIPS 2023, https://arxiv.org/abs/2306.14892, section 5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment, Step, Table

# Stay, then one cell down or up the first coordinate, then of the second.
MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


def dark_room(
    size: int = 10, *, horizon: int = 100, start: tuple[int, int] = (0, 0)
) -> Environment:
    """A square room with a goal that cannot be seen; every step that ends on it pays 1.

    By default the room of Lee et al.: 10x10, 100 steps from a corner; the best return is 91.99 on
    average. `dark_room(9, horizon=20, start=(4, 4))` is that of Laskin et al.: 9x9, 20 steps from
    the middle, 16.54. A task is the number of the goal's cell, uniform over all cells; the
    observation is the position, a one-hot row for each coordinate; actions are to stay, or one
    cell left, right, down or up; a wall stops.

    Args:
      size: cells along a side.
      horizon: steps of an episode.
      start: cell in which an episode begins.

    Raises:
      ValueError: a number is below 1, or `start` is not in the room.

    Example:
      >>> room = dark_room()
      >>> room.step(jax.random.key(0), jnp.array(11), jnp.array(2), jnp.array(21)).reward.item()
      1.0
    """
    _check(size, horizon, start)

    def sample(key):
        return jax.random.randint(key, (), 0, size**2)

    def reset(key, task):
        del key, task
        state = jnp.array(start[0] * size + start[1])
        return state, _position(size, state)

    def step(key, state, action, task):
        del key
        state = _moved(size, state, action)
        reward = (state == task).astype(jnp.float32)
        return Step(state, _position(size, state), reward, jnp.array(False))

    def optimal(state, task):
        return _towards(size, state, task)

    table = Table(size**2, lambda state: _position(size, state), optimal)
    return Environment(sample, reset, step, Discrete(len(MOVES)), horizon, table)


class KeyAndDoor(NamedTuple):
    """Where they are."""

    key: jax.Array  # number of a cell
    door: jax.Array  # number of a cell


def key_to_door(
    size: int = 9, *, horizon: int = 50, start: tuple[int, int] = (4, 4)
) -> Environment:
    """A dark room with a key, which pays 1 once, and a door, which pays 1 to who has the key.

    The Dark Key-to-Door of Laskin et al., section 4.1: 9x9, 50 steps, neither key nor door can be
    seen, nor whether the key is there still; the door ends the episode. A task is a `KeyAndDoor`,
    each in a cell drawn uniformly; observation and actions are those of `dark_room`. The best
    return is 2. Arguments and errors as for `dark_room`.
    """
    _check(size, horizon, start)
    cells = size**2

    def sample(key):
        return KeyAndDoor(*jax.random.randint(key, (2,), 0, cells))

    def reset(key, task):
        del key, task
        state = jnp.array(start[0] * size + start[1])  # And `cells` more with the key in hand.
        return state, _position(size, state)

    def step(key, state, action, task):
        del key
        cell, had_key = _moved(size, state % cells, action), state >= cells
        has_key = had_key | (cell == task.key)
        # Where both are in one cell, the key comes first and the door with the next step.
        opens = had_key & (cell == task.door)
        reward = (has_key & ~had_key).astype(jnp.float32) + opens
        state = cell + cells * has_key
        return Step(state, _position(size, cell), reward, opens)

    def observe(state):
        return _position(size, state % cells)

    def optimal(state, task):
        goal = jnp.where(state >= cells, task.door, task.key)
        return _towards(size, state % cells, goal)

    table = Table(2 * cells, observe, optimal)
    return Environment(sample, reset, step, Discrete(len(MOVES)), horizon, table)


def _check(size, horizon, start):
    at_least(1, size=size, horizon=horizon)
    if len(start) != 2 or not all(0 <= number < size for number in start):
        raise ValueError(f"start must be two numbers in 0..{size - 1}, got {start}.")


def _position(size, state):
    return jax.nn.one_hot(jnp.stack([state // size, state % size]), size).ravel()


def _moved(size, state, action):
    cell = jnp.stack([state // size, state % size]) + jnp.array(MOVES)[action]
    row, column = jnp.clip(cell, 0, size - 1)
    return row * size + column


def _towards(size, state, goal):
    """The action that comes nearer, along the first coordinate first."""
    row, column = goal // size - state // size, goal % size - state % size
    along_row = jnp.where(row < 0, 1, 2)
    along_column = jnp.where(column < 0, 3, 4)
    return jnp.where(row != 0, along_row, jnp.where(column != 0, along_column, 0))
