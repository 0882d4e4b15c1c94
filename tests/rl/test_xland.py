import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.rl import environments
from jaxmeta.rl._rollout import rollout

xminigrid = pytest.importorskip(
    "xminigrid", reason="needs the extra `xminigrid`", exc_type=ImportError
)


def tasks():
    """Hold a ball, or a square, of a colour drawn; it lies somewhere in the room."""
    from xminigrid.core.constants import TILES_REGISTRY, Colors, Tiles
    from xminigrid.core.goals import AgentHoldGoal
    from xminigrid.core.rules import EmptyRule
    from xminigrid.types import RuleSet

    def sample(key):
        tile = jnp.where(jax.random.bernoulli(key), Tiles.BALL, Tiles.SQUARE)
        colour = TILES_REGISTRY[tile, Colors.RED]
        goal = AgentHoldGoal(tile=colour).encode()
        return RuleSet(goal=goal, rules=EmptyRule().encode()[None], init_tiles=colour[None])

    world, params = xminigrid.make("XLand-MiniGrid-R1-9x9")
    return environments.from_xminigrid(world, params.replace(max_steps=400), sample)


def test_xland_minigrid_acts_like_the_others():
    world = tasks()
    assert world.horizon == 400 and world.actions.n == 6
    key = jax.random.key(0)
    task = world.sample(key)
    _, observation = world.reset(key, task)
    # A view of 5x5 or 7x7 cells, each a tile and a colour, one-hot.
    assert observation.sum() == 2 * len(observation) / (13 + 12)

    def act(memory, key, seen):
        return memory, jax.random.randint(key, (), 0, world.actions.n), ()

    trajectory = jax.jit(lambda key: rollout(world, act, key, task))(key)
    paid = np.flatnonzero(trajectory.reward)
    # At random the ball is soon held: paid 1 less a share of the time it took, and over.
    assert len(paid) == 1
    np.testing.assert_allclose(trajectory.reward[paid[0]], 1 - 0.9 * (paid[0] + 1) / 400, rtol=1e-5)
    assert trajectory.is_valid.sum() == paid[0] + 1


def test_a_world_without_an_end_is_refused():
    world, params = xminigrid.make("XLand-MiniGrid-R1-9x9")
    with pytest.raises(ValueError, match="max_steps must be >= 1, got None"):
        environments.from_xminigrid(world, params.replace(max_steps=None), None)
