"""Outer updates of agents: A2C, PPO, TRPO, imitation, each a `make_step` for `jaxmeta.fit`.

Every one of them acts in a batch of tasks and then changes the parameters, in one compiled
program, and serves every agent.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.losses import masked_mean, wide
from jaxmeta.rl._acting_step import act, apply_gradients, check, compiled, sharing
from jaxmeta.rl._trust_region import trust_region_step
from jaxmeta.rl.advantages import normalised
from jaxmeta.rl.agent import Agent, Batch
from jaxmeta.training.step import MetaState, StepInfo, global_norm

MakeStep = Callable[..., Callable]


def a2c(*, value_weight: float = 0.5, entropy_weight: float = 0.0) -> MakeStep:
    """One step of the outer optimiser along the policy gradient.

    Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016,
    https://arxiv.org/abs/1602.01783; here the actors are in step. For agents without values, such
    as `maml_rl`, this is their plain meta-gradient in any optax optimiser.

    Args:
      value_weight: of the values' squared error.
      entropy_weight: of the entropy of the policy.

    Returns a function like `jaxmeta.make_step`, of an agent.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.rl.environments import bernoulli_bandits
      >>> bandits, tx = bernoulli_bandits(2), optax.adam(1e-2)
      >>> agent = jaxmeta.rl.rl2(jaxmeta.rl.gru(4), bandits, episodes=3)
      >>> state = jaxmeta.init_state(jax.random.key(0), agent, tx, bandits.sample)
      >>> step = a2c()(agent, tx, bandits.sample, meta_batch_size=2)
      >>> state, info = step(state, jax.random.key(1))
      >>> int(state.step)
      1
    """

    def make_update(agent, tx, shared):
        del shared
        gain = _plain

        def update(state, batch, key):
            del key
            _refuse_given_data("a2c", batch)
            grads = jax.grad(_loss(agent, batch, gain, value_weight, entropy_weight))(state.params)
            new = apply_gradients(tx, grads, state.params, state.opt_state)
            return *new, _minus_return(batch, global_norm(grads))

        return update

    return _make_step(make_update)


def imitation() -> MakeStep:
    """One step of the outer optimiser towards given actions, by maximum likelihood.

    For agents that learn from given data, such as `rl.decision_pretrained`: the loss is minus the
    mean log-likelihood of the actions of their batches, less the agent's own `credit`.

    Returns a function like `jaxmeta.make_step`, of an agent; its info's loss is that loss.

    Example:
      >>> import jax, jaxmeta, optax
      >>> from jaxmeta import rl
      >>> bandits = rl.environments.bernoulli_bandits(3)
      >>> agent = rl.decision_pretrained(rl.context_reader(width=8, layers=1), bandits, context=4)
      >>> tx, key = optax.adam(1e-3), jax.random.key(0)
      >>> state = jaxmeta.init_state(key, agent, tx, bandits.sample)
      >>> step = rl.imitation()(agent, tx, bandits.sample, meta_batch_size=2, steps_per_call=3)
      >>> _, info = jax.eval_shape(step, state, key)
      >>> info.loss.shape
      (3,)
    """

    def make_update(agent, tx, shared):
        del shared

        def update(state, batch, key):
            del key
            loss, grads = jax.value_and_grad(imitation_loss(agent, batch))(state.params)
            new = apply_gradients(tx, grads, state.params, state.opt_state)
            return *new, (loss, global_norm(grads))

        return update

    return _make_step(make_update)


def imitation_loss(agent: Agent, batch: Batch) -> Callable[[Any], jax.Array]:
    """Mean over tasks of minus the log-likelihood of given actions, less the agent's credit.

    Raises:
      ValueError: the batch is of what the agent's own actions led to.
    """
    if batch.advantages is not None:
        raise ValueError(
            "imitation is for agents that learn from given data, such as rl.decision_pretrained: "
            "take ppo, a2c or trpo for one that learns from what its actions led to."
        )
    return _loss(agent, batch, lambda log_likelihood, advantages: log_likelihood, 0.0, 0.0)


def _refuse_given_data(name, batch):
    if batch.advantages is None:
        raise ValueError(
            f"{name} is for agents that learn from what their actions led to: take rl.imitation() "
            "for one that learns from given data."
        )


def _minus_return(batch, grad_norm):
    return -jnp.mean(wide(batch.mean_return)), grad_norm


def ppo(
    *,
    epochs: int = 4,
    minibatches: int = 4,
    clip: float = 0.2,
    value_weight: float = 0.5,
    entropy_weight: float = 0.01,
) -> MakeStep:
    """Some epochs of steps on the clipped surrogate over minibatches of tasks.

    Schulman, Wolski, Dhariwal, Radford & Klimov, "Proximal Policy Optimization Algorithms", 2017,
    https://arxiv.org/abs/1707.06347, equations 7 and 9. Advantages are normalised over the batch.

    Args:
      epochs: passes over the batch.
      minibatches: of each pass; must divide the meta-batch.
      clip: largest change of a probability's ratio that still pays.
      value_weight: of the values' squared error.
      entropy_weight: of the entropy of the policy.

    Returns a function like `jaxmeta.make_step`, of an agent.

    Raises:
      ValueError: a count is below 1, or `clip` is not above 0.

    Example:
      >>> make_step = ppo(epochs=2, minibatches=1)  # in place of `jaxmeta.make_step`, as `a2c`
    """
    at_least(1, epochs=epochs, minibatches=minibatches)
    if not clip > 0:
        raise ValueError(f"clip must be > 0, got {clip}.")

    def gain(log_ratio, advantages):
        ratio = jnp.exp(log_ratio)
        return jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * advantages)

    def make_update(agent, tx, shared):
        def one(carry, batch):
            params, opt_state = carry
            grads = jax.grad(_loss(agent, batch, gain, value_weight, entropy_weight))(params)
            return apply_gradients(tx, grads, params, opt_state), global_norm(grads)

        def update(state, batch, key):
            _refuse_given_data("ppo", batch)
            tasks = len(batch.mean_return)
            advantages = normalised(batch.advantages, batch.is_valid)
            batch = batch._replace(advantages=advantages)

            def epoch(carry, key):
                order = jax.random.permutation(key, tasks).reshape(minibatches, -1)
                parts = jax.tree.map(lambda leaf: leaf[order], batch)
                return jax.lax.scan(one, carry, shared(parts, axis=1))

            carry = (state.params, state.opt_state)
            carry, norms = jax.lax.scan(epoch, carry, jax.random.split(key, epochs))
            return *carry, _minus_return(batch, jnp.mean(norms))

        return update

    return _make_step(make_update, minibatches)


def trpo(
    *,
    max_kl: float = 0.01,
    damping: float = 1e-5,
    cg_iterations: int = 10,
    backtracks: int = 15,
    backtrack_ratio: float = 0.5,
) -> MakeStep:
    """A trust region step, `rl.trust_region_step`; the outer optimiser is not used.

    For agents without values: nothing here would learn them.

    Returns a function like `jaxmeta.make_step`, of an agent.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> make_step = trpo(max_kl=0.02)  # in place of `jaxmeta.make_step`, as `a2c`
    """
    for name, value in (("max_kl", max_kl), ("cg_iterations", cg_iterations)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}.")
    if backtracks < 1 or not 0 < backtrack_ratio < 1:
        raise ValueError(
            "backtracks must be >= 1 and backtrack_ratio in (0, 1), got "
            f"{backtracks} and {backtrack_ratio}."
        )

    def make_update(agent, tx, shared):
        del tx, shared

        def update(state, batch, key):
            del key
            _refuse_given_data("trpo", batch)
            if batch.targets is not None:
                raise ValueError("trpo is for agents without values: take ppo or a2c.")

            def outputs(params):
                return _replays(agent, params, batch).distribution

            def kl(distribution):
                divergence = batch.distribution.kl(distribution)
                return jnp.mean(jax.vmap(masked_mean)(divergence, batch.is_valid))

            params, info = trust_region_step(
                state.params,
                _loss(agent, batch, _plain, 0.0, 0.0),
                outputs,
                kl,
                max_kl=max_kl,
                damping=damping,
                cg_iterations=cg_iterations,
                backtracks=backtracks,
                backtrack_ratio=backtrack_ratio,
            )
            return params, state.opt_state, _minus_return(batch, info.grad_norm)

        return update

    return _make_step(make_update)


def _plain(log_ratio, advantages):
    return jnp.exp(log_ratio) * advantages


def _replays(agent, params, batch):
    return jax.vmap(agent.replay, in_axes=(None, 0))(params, batch)


def _loss(agent, batch, gain, value_weight, entropy_weight):
    """Mean over tasks of the mean over steps."""

    def mean(values):
        return jnp.mean(jax.vmap(masked_mean)(values, batch.is_valid))

    def loss(params):
        replay = _replays(agent, params, batch)
        total = -mean(gain(replay.log_ratio, batch.advantages)) - jnp.mean(replay.credit)
        if replay.values is not None:
            total += value_weight * mean((replay.values - batch.targets) ** 2)
        if entropy_weight:
            total -= entropy_weight * mean(replay.distribution.entropy())
        return total

    return loss


def _make_step(make_update, minibatches=1):
    def make_step(
        agent: Agent,
        tx: optax.GradientTransformation,
        sample: Callable,
        *,
        meta_batch_size: int,
        steps_per_call: int = 1,
        tasks_at_once: int | None = None,
        devices: int = 1,
    ) -> Callable:
        """The compiled step `(state, key) -> (state, info)`.

        Info's loss is minus the mean return, or of given data the loss itself. Task i of step t has
        the key `fold_in(fold_in(key, t), i)`, as in `jaxmeta.make_step`, and a step whose loss or
        gradient is not finite changes nothing.
        """
        check(
            tx=tx,
            sample=sample,
            meta_batch_size=meta_batch_size,
            steps_per_call=steps_per_call,
            devices=devices,
            tasks_at_once=tasks_at_once,
            minibatches=minibatches,
        )
        shared = sharing(devices)
        update = make_update(agent, tx, shared)

        def meta_step(state, key):
            key_step = jax.random.fold_in(key, state.step)
            batch = act(agent, state.params, sample, key_step, meta_batch_size, shared)
            key_update = jax.random.fold_in(key_step, meta_batch_size)
            params, opt_state, (loss, norm) = update(state, batch, key_update)
            is_finite = jnp.isfinite(loss) & jnp.isfinite(norm)
            info = StepInfo(loss, norm, ~is_finite)
            new = MetaState(params, opt_state, state.step + 1)
            return jax.tree.map(lambda n, old: jnp.where(is_finite, n, old), new, state), info

        return compiled(meta_step, steps_per_call=steps_per_call, devices=devices)

    return make_step
