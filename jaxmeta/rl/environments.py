"""Tasks to act in: the field's own small environments, and those of other libraries."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl._dark import KeyAndDoor as KeyAndDoor
from jaxmeta.rl._dark import dark_room as dark_room
from jaxmeta.rl._dark import key_to_door as key_to_door
from jaxmeta.rl._xland import from_xminigrid as from_xminigrid
from jaxmeta.rl.distributions import Continuous, Discrete
from jaxmeta.rl.environment import Environment, Step, Table, Task


def bernoulli_bandits(n_arms: int) -> Environment:
    """Arms that pay 1 with probabilities drawn from U[0, 1], else 0; one pull is an episode.

    The bandits of Duan et al. 2016, section 3.1, and of Wang et al. 2016 with independent arms. A
    task is the probabilities `[n_arms]`.

    Raises:
      ValueError: fewer than 2 arms.

    Example:
      >>> bandits = bernoulli_bandits(5)
      >>> arms = bandits.sample(jax.random.key(0))
      >>> bandits.step(jax.random.key(1), (), jnp.array(2), arms.at[2].set(1.0)).reward.tolist()
      1.0
    """

    def pay(key, arm):
        return jax.random.bernoulli(key, arm).astype(jnp.float32)

    return _bandits(n_arms, jax.random.uniform, pay)


def gaussian_bandits(n_arms: int, *, std: float = 1.0) -> Environment:
    """Arms that pay N(mean, std^2), the means drawn from N(0, 1); one pull is an episode.

    A task is the means `[n_arms]`.

    Raises:
      ValueError: fewer than 2 arms, or `std` below 0.

    Example:
      >>> bandits = gaussian_bandits(5, std=0.0)
      >>> arms = bandits.sample(jax.random.key(0))
      >>> bool(bandits.step(jax.random.key(1), (), jnp.array(2), arms).reward == arms[2])
      True
    """
    at_least(0, std=std)

    def pay(key, arm):
        return arm + std * jax.random.normal(key)

    return _bandits(n_arms, jax.random.normal, pay)


def _bandits(n_arms, draw, pay):
    if n_arms < 2:
        raise ValueError(f"n_arms must be >= 2, got {n_arms}.")
    nothing = jnp.ones  # There is nothing to see.

    def sample(key):
        return draw(key, (n_arms,))

    def reset(key, task):
        del key, task
        return jnp.array(0), nothing(1)

    def step(key, state, action, task):
        return Step(state, nothing(1), pay(key, task[action]), jnp.array(True))

    def optimal(state, task):
        del state
        return jnp.argmax(task)

    table = Table(1, lambda state: nothing(1), optimal)
    return Environment(sample, reset, step, Discrete(n_arms), horizon=1, table=table)


class TabularTask(NamedTuple):
    """An MDP in tables."""

    transition: jax.Array  # [states, actions, states], log-probabilities
    reward: jax.Array  # [states, actions], mean


def tabular_mdps(n_states: int = 10, n_actions: int = 5, *, horizon: int = 10) -> Environment:
    """Random MDPs of Duan et al. 2016, section 3.2.

    Transitions are drawn from a flat Dirichlet distribution, mean rewards from N(1, 1); a reward is
    N(mean, 1). An episode begins in state 0. The observation is the state, one-hot.

    Raises:
      ValueError: a number is below 1.

    Example:
      >>> mdps = tabular_mdps(n_states=4, n_actions=2)
      >>> task = mdps.sample(jax.random.key(0))
      >>> task.transition.shape, task.reward.shape
      ((4, 2, 4), (4, 2))
    """
    at_least(1, n_states=n_states, n_actions=n_actions, horizon=horizon)

    def sample(key):
        key_transition, key_reward = jax.random.split(key)
        shape = (n_states, n_actions)
        transition = jax.random.loggamma(key_transition, jnp.ones((*shape, n_states)))
        reward = 1 + jax.random.normal(key_reward, shape)
        return TabularTask(jax.nn.log_softmax(transition), reward)

    def reset(key, task):
        del key, task
        return jnp.array(0), jax.nn.one_hot(0, n_states)

    def step(key, state, action, task):
        key_state, key_reward = jax.random.split(key)
        reward = task.reward[state, action] + jax.random.normal(key_reward)
        state = jax.random.categorical(key_state, task.transition[state, action])
        return Step(state, jax.nn.one_hot(state, n_states), reward, jnp.array(False))

    table = Table(n_states, lambda state: jax.nn.one_hot(state, n_states))
    return Environment(sample, reset, step, Discrete(n_actions), horizon, table)


def minus_distance(offset: jax.Array) -> jax.Array:
    """Reward of the environment released with MAML: minus the distance to the goal.

    Example:
      >>> float(minus_distance(jnp.array([3.0, 4.0])))
      -5.0
    """
    return -jnp.linalg.norm(offset)


def minus_squared_distance(offset: jax.Array) -> jax.Array:
    """Reward in the words of the MAML paper: minus the squared distance to the goal.

    Example:
      >>> float(minus_squared_distance(jnp.array([3.0, 4.0])))
      -25.0
    """
    return -jnp.sum(offset**2)


def navigation(
    *, reward: Callable[[jax.Array], jax.Array] = minus_distance, horizon: int = 100
) -> Environment:
    """A point in the plane moves to a goal that it does not see; Finn et al. 2017, section 5.3.

    A task is the goal `[2]`, uniform in [-0.5, 0.5]^2. An episode begins in the origin; each step
    adds the action, clipped to 0.1 in each coordinate; the observation is the position. It ends
    within 0.01 of the goal in each coordinate, as in the released environment.

    Args:
      reward: of the offset `[2]` from the goal after the move.
      horizon: steps of an episode.

    Raises:
      ValueError: `horizon` is below 1.

    Example:
      >>> plane = navigation()
      >>> goal = jnp.array([0.3, 0.0])
      >>> state, _ = plane.reset(jax.random.key(0), goal)
      >>> after = plane.step(jax.random.key(1), state, jnp.array([5.0, 0.0]), goal)
      >>> round(float(after.reward), 3)  # A move of 0.1 at most leaves a distance of 0.2.
      -0.2
    """
    at_least(1, horizon=horizon)

    def sample(key):
        return jax.random.uniform(key, (2,), minval=-0.5, maxval=0.5)

    def reset(key, task):
        del key, task
        return jnp.zeros(2), jnp.zeros(2)

    def step(key, state, action, task):
        del key
        state = state + jnp.clip(action, -0.1, 0.1)
        offset = state - task
        return Step(state, state, reward(offset), jnp.all(jnp.abs(offset) < 0.01))

    return Environment(sample, reset, step, Continuous(2), horizon)


def unit_actions(environment: Environment, bound: float) -> Environment:
    """The same environment with actions in [-1, 1], which stand for [-bound, bound].

    What the code released with MAML does to its environments (recollected): a first policy of
    standard deviation 1 then asks for about as much as it may have, not for ten times as much.

    Args:
      environment: with continuous actions.
      bound: largest action, in each coordinate.

    Raises:
      ValueError: its actions are discrete, or `bound` is not above 0.

    Example:
      >>> plane = unit_actions(navigation(), bound=0.1)
      >>> goal = jnp.array([0.3, 0.0])
      >>> state, _ = plane.reset(jax.random.key(0), goal)
      >>> after = plane.step(jax.random.key(1), state, jnp.array([0.5, 0.0]), goal)
      >>> after.observation.round(3).tolist()
      [0.05000000074505806, 0.0]
    """
    if not isinstance(environment.actions, Continuous):
        raise ValueError(f"actions must be continuous, got {environment.actions}.")
    if not bound > 0:
        raise ValueError(f"bound must be > 0, got {bound}.")

    def step(key, state, action, task):
        return environment.step(key, state, bound * jnp.clip(action, -1.0, 1.0), task)

    return environment._replace(step=step)


def from_gymnax(environment: Any, sample: Callable[[jax.Array], Task], horizon: int) -> Environment:
    """An environment of gymnax; a task is its `EnvParams`, which `sample` draws.

    Example: poles of unknown length.

        cart, params = gymnax.make("CartPole-v1")
        poles = from_gymnax(
            cart, lambda key: params.replace(length=jax.random.uniform(key, (), float, 0.2, 1)), 200
        )

    Args:
      environment: with gymnax's `reset_env`, `step_env` and `action_space`.
      sample: `key -> EnvParams`.
      horizon: steps of an episode.

    Raises:
      ValueError: `horizon` is below 1.
      TypeError: its action space is neither discrete nor a box of rank one.
    """
    at_least(1, horizon=horizon)
    space = environment.action_space(environment.default_params)
    if hasattr(space, "n"):
        actions: Discrete | Continuous = Discrete(int(space.n))
    elif len(space.shape) == 1:
        actions = Continuous(space.shape[0])
    else:
        raise TypeError(f"the action space must be discrete or a vector's, got {space}.")

    def reset(key, task):
        observation, state = environment.reset_env(key, task)
        return state, observation.ravel()

    def step(key, state, action, task):
        if isinstance(actions, Continuous):
            action = jnp.clip(action, space.low, space.high)
        # Not `step`, which resets by itself and hides the last observation.
        observation, state, reward, done, *_ = environment.step_env(key, state, action, task)
        return Step(state, observation.ravel(), jnp.asarray(reward, jnp.float32), done)

    return Environment(sample, reset, step, actions, horizon)
