import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.rl._rollout import returns_by_episode, rollout
from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment, Step


def corridor(horizon):
    """Counts up by the action; pays the count; ends at 3."""

    def step(key, state, action, task):
        state = state + action
        return Step(state, state[None], state * task, state >= 3)

    return Environment(
        sample=lambda key: jnp.ones(()),
        reset=lambda key, task: (jnp.zeros(()), jnp.zeros(1)),
        step=step,
        actions=Discrete(2),
        horizon=horizon,
    )


def act_by(pattern):
    def act(memory, key, seen):
        return memory + 1, jnp.array(pattern)[memory], seen.observation[0]

    return act


def test_an_episode_that_ends_early_is_not_valid_after():
    path = rollout(corridor(5), act_by([1, 1, 1, 1, 1]), jax.random.key(0), 2.0, 0)
    assert path.is_valid.tolist() == [True, True, True, False, False]
    assert path.reward.tolist() == [2, 4, 6, 0, 0]
    assert path.extra.tolist()[:3] == [0, 1, 2]
    assert returns_by_episode(path, 1).tolist() == [12]


def test_a_trial_goes_on_with_what_was_seen_last():
    actions = [1, 0, 1, 1, 1, 1, 1, 1]
    path = rollout(corridor(4), act_by(actions), jax.random.key(0), 1.0, 0, episodes=2)
    # First episode: 1 0 1 1 ends at 3 (and by its horizon); second: 1 1 1 ends at 3.
    assert path.episode.tolist() == [0, 0, 0, 0, 1, 1, 1, 2]
    assert path.is_valid.tolist() == [True] * 7 + [False]
    assert path.reward.tolist() == [1, 1, 2, 3, 1, 2, 3, 0]
    assert path.seen.observation[:, 0].tolist()[:7] == [0, 1, 1, 2, 0, 1, 2]
    assert path.seen.reached[:, 0].tolist()[:7] == [0, 1, 1, 2, 3, 1, 2]
    assert path.seen.done.tolist() == [0, 0, 0, 0, 1, 0, 0, 1]
    assert path.seen.reward.tolist()[:7] == [0, 1, 1, 2, 3, 1, 2]
    assert path.seen.action[0].tolist() == [0, 0]  # Nothing before the first action.
    assert path.seen.action[4].tolist() == [0, 1]  # Kept over the end of an episode.
    assert returns_by_episode(path, 2).tolist() == [7, 6]


def test_the_horizon_ends_an_episode():
    path = rollout(corridor(2), act_by([1] * 6), jax.random.key(0), 1.0, 0, episodes=3)
    assert path.episode.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(returns_by_episode(path, 3), [3, 3, 3])
