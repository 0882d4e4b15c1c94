"""Online decision transformers.

Zheng, Zhang & Grover, "Online Decision Transformer", ICML 2022, https://arxiv.org/abs/2202.05607,
equations 3 to 6 and algorithms 1 and 2.
Differs from the paper: a trial may be several episodes in one task that is not shown, with one
return to go over all of them, so that the policy can adapt from one episode to the next; there are
categorical policies too; the entropy is averaged over valid steps only; no dropout.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.losses import masked_mean
from jaxmeta.rl._buffer import Trajectory, Windows, return_to_go
from jaxmeta.rl._rollout import returns_by_episode, rollout
from jaxmeta.rl._squashed import squashed
from jaxmeta.rl.agent import Agent, Batch, Replayed, Test
from jaxmeta.rl.distributions import Discrete
from jaxmeta.rl.environment import Environment
from jaxmeta.rl.recurrent import MemoryPolicy

FIRST_TEMPERATURE = 0.1  # of the paper's code


class Given(NamedTuple):
    """What such an agent learns from: steps in a row, of its own roll-out or of a buffer."""

    windows: Windows  # [K, ...]
    key: jax.Array  # of the draw that the entropy is estimated from


def online_decision_transformer(
    policy: MemoryPolicy,
    environment: Environment,
    *,
    target_return: float,
    episodes: int = 1,
    exploration: float = 2.0,
    at_test: MemoryPolicy | None = None,
    hindsight: bool = True,
    target_entropy: float | None = None,
    constrained: bool = True,
    greedy: bool = True,
) -> Agent:
    """Learns to act so as to get the return it is asked for, by maximum likelihood.

    A step is three tokens: return to go, state and action. The action is predicted from the state,
    as a Gaussian squashed by tanh, or a categorical distribution. It is trained by
    `rl.online_rounds(...)` on windows of a `rl.TrajectoryBuffer`; the objective is the mean
    log-likelihood plus a temperature times the entropy, where the temperature, a parameter too, is
    the dual variable that keeps the entropy at `target_entropy` or above.

    Where the task is not shown, ask for a return that can be had in most tasks: one that only lucky
    tasks give, such as a goal beside the start, is a sign of those tasks, and it acts as in them.

    Args:
      policy: `rl.transformer(context=3 * K)`: K steps of context are three times as many tokens.
      environment: tasks; continuous actions are in [-1, 1] (`rl.environments.unit_actions`).
      target_return: of a whole trial, that is asked for at test; also the unit of returns to go.
      episodes: of a trial.
      exploration: the target in training is this times as high.
      at_test: the policy at test: the same parameters, in another context; None: as in training.
      hindsight: learn from the return to go that was achieved; False: from the one asked for.
      target_entropy: in nats; None: minus the number of action dimensions, or of n discrete
        actions a tenth of log n.
      constrained: keep the entropy up; False: likelihood alone.
      greedy: at test take the mode; False: draw, as in training.

    Returns an `Agent`; `Test.returns` are those of each episode of a trial.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> room, key = rl.environments.dark_room(size=3, horizon=4), jax.random.key(0)
      >>> task = room.sample(key)
      >>> policy = rl.transformer(width=8, layers=1, heads=1)
      >>> agent = rl.online_decision_transformer(policy, room, target_return=3.0)
      >>> params = jax.eval_shape(agent.init, key, task)
      >>> jax.eval_shape(agent.test, params, key, task).returns.shape  # of each episode
      (1,)
    """
    at_least(1, episodes=episodes)
    for name, number in (("target_return", target_return), ("exploration", exploration)):
        if not math.isfinite(number) or number == 0:
            raise ValueError(f"{name} must be finite and not 0, got {number}.")
    actions, length = environment.actions, episodes * environment.horizon
    is_discrete = isinstance(actions, Discrete)
    n_outputs = actions.n_outputs if is_discrete else 2 * actions.n_outputs
    if target_entropy is None:
        target_entropy = 0.1 * math.log(n_outputs) if is_discrete else -n_outputs / 2
    width = len(actions.nothing())

    def token(kind, *, to_go=None, observation=None, action=None, size):
        """One of the three kinds as a row of one width, zeros where it has nothing to say."""
        parts = (
            jax.nn.one_hot(kind, 3),
            jnp.zeros(1) if to_go is None else to_go[None] / abs(target_return),
            jnp.zeros(size) if observation is None else observation,
            jnp.zeros(width) if action is None else action,
        )
        return jnp.concatenate(parts)

    def tokens(windows):
        """`[3 K, I]`."""
        size = windows.observation.shape[-1]
        to_go = windows.return_to_go if hindsight else windows.asked

        def of_step(to_go, observation, action):
            return jnp.stack(
                [
                    token(0, to_go=to_go, size=size),
                    token(1, observation=observation, size=size),
                    token(2, action=actions.encode(action), size=size),
                ]
            )

        rows = jax.vmap(of_step)(to_go, windows.observation, windows.action)
        return rows.reshape(-1, rows.shape[-1])

    def distribution(params, features):
        outputs = features @ params["head"]["kernel"] + params["head"]["bias"]
        return actions.distribution({}, outputs) if is_discrete else squashed(outputs)

    def look(seen):
        """What a state token says: also whether an episode has just ended."""
        return jnp.append(seen.observation, seen.done)

    def init(key, task):
        key_policy, key_reset, key_head = jax.random.split(key, 3)
        _, observation = environment.reset(key_reset, task)
        row = token(0, size=len(observation) + 1)
        params = policy.init(key_policy, row[None])
        features = policy.apply(params, row[None])
        kernel = 0.01 * jax.random.normal(key_head, (features.shape[-1], n_outputs))
        return {
            "policy": params,
            "head": {"kernel": kernel, "bias": jnp.zeros(n_outputs)},
            "log_temperature": jnp.full((), math.log(FIRST_TEMPERATURE), float),
        }

    def trial(params, key, task, asked, acting, draws):
        def act(memory, key, seen):
            memory, to_go = memory
            to_go = to_go - seen.reward
            size = len(seen.observation) + 1
            memory, _ = acting.step(params["policy"], memory, token(0, to_go=to_go, size=size))
            row = token(1, observation=look(seen), size=size)
            memory, features = acting.step(params["policy"], memory, row)
            now = distribution(params, features)
            action = now.sample(key) if draws else _mode(now)
            row = token(2, action=actions.encode(action), size=size)
            memory, _ = acting.step(params["policy"], memory, row)
            return (memory, to_go), action, (look(seen), to_go, now)

        start = (acting.start(params["policy"], 3 * length), jnp.asarray(asked, float))
        return rollout(environment, act, key, task, start, episodes=episodes)

    def collect(params, key, task):
        key_trial, key_entropy = jax.random.split(key)
        target = exploration * target_return
        trajectory = trial(params, key_trial, task, target, policy, draws=True)
        observation, asked, _ = trajectory.extra
        windows = Windows(
            observation,
            trajectory.action,
            trajectory.reward,
            asked,
            return_to_go(trajectory.reward),
            trajectory.is_valid,
        )
        return given_windows(windows, key_entropy)

    def replay(params, batch):
        windows, key = batch.data
        features = policy.apply(params["policy"], tokens(windows))[1::3]
        now = distribution(params, features)
        credit = jnp.zeros(())
        if constrained:
            entropies = now.entropy() if is_discrete else now.entropy(key)
            entropy = masked_mean(entropies, windows.is_valid)
            temperature = jnp.exp(params["log_temperature"])
            fixed = jax.lax.stop_gradient
            # Descent on the dual, temperature * (entropy - target), adds nothing to the value.
            dual = temperature * (fixed(entropy) - target_entropy)
            credit = fixed(temperature) * entropy - (dual - fixed(dual))
        return Replayed(now, now.log_prob(windows.action), None, credit)

    def test(params, key, task):
        acting = policy if at_test is None else at_test
        trajectory = trial(params, key, task, target_return, acting, draws=not greedy)
        return Test(returns_by_episode(trajectory, episodes), trajectory)

    return Agent(init, collect, replay, test)


def _mode(distribution: Any) -> jax.Array:
    if hasattr(distribution, "logits"):
        return jnp.argmax(distribution.logits, axis=-1)
    return distribution.mode()


def given_windows(windows: Windows, key: jax.Array) -> Batch:
    """Windows as a batch of given data."""
    total = jnp.sum(windows.reward, axis=-1)
    return Batch(Given(windows, key), None, None, windows.is_valid, None, total)


def trajectory_of(windows: Windows) -> Trajectory:
    """A whole trial as a buffer keeps it."""
    length = jnp.sum(windows.is_valid, axis=-1).astype(jnp.int32)
    return Trajectory(windows.observation, windows.action, windows.reward, windows.asked, length)
