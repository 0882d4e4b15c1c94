"""Offline training, then rounds of acting and learning from a buffer of trajectories.

Zheng, Zhang & Grover, "Online Decision Transformer", ICML 2022, https://arxiv.org/abs/2202.05607,
algorithm 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import training
from jaxmeta.checks import at_least
from jaxmeta.rl._acting_step import act, apply_gradients, check, compiled, sharing
from jaxmeta.rl._buffer import Trajectory, TrajectoryBuffer
from jaxmeta.rl._online_decision_transformer import given_windows, trajectory_of
from jaxmeta.rl.agent import Agent
from jaxmeta.rl.updates import imitation_loss
from jaxmeta.training.step import StepInfo, global_norm


class OnlineState(NamedTuple):
    """What the next round needs: a `MetaState` with the buffer beside it."""

    params: Any
    opt_state: Any
    step: jax.Array  # int32, rounds done
    buffer: TrajectoryBuffer


class OnlineRounds(NamedTuple):
    """Both functions that `jaxmeta.fit` takes for a state with a buffer."""

    init_state: Callable
    """`(key, agent, tx, sample) -> OnlineState`, its buffer filled with the offline data."""
    make_step: Callable
    """Like `jaxmeta.make_step`, of an agent; a meta-step is a round."""


def online_rounds(
    offline: Callable[[jax.Array], Trajectory],
    *,
    capacity: int,
    offline_rounds: int,
    updates: int,
    windows: int,
    context: int,
) -> OnlineRounds:
    """Rounds for `rl.online_decision_transformer`: first offline, then each with new trajectories.

    A round is a meta-step of `fit`: from round `offline_rounds` on the agent acts one trial in each
    of the meta-batch's tasks, which go into the buffer; then some gradient steps on windows of it.

    Args:
      offline: `key -> Trajectory [N, T, ...]`, given trajectories; the best are kept.
      capacity: trajectories that the buffer has room for.
      offline_rounds: rounds before the first trial.
      updates: gradient steps of a round.
      windows: windows of each gradient step.
      context: steps of a window, the paper's K.

    Raises:
      ValueError: a number is below 1, `offline_rounds` below 0; or, when the step is built, the
        meta-batch is larger than the buffer.
    """
    at_least(1, capacity=capacity, updates=updates, windows=windows, context=context)
    at_least(0, offline_rounds=offline_rounds)

    def init_state(key, agent, tx, sample):
        key_state, key_offline = jax.random.split(key)
        state = training.init_state(key_state, agent, tx, sample)
        buffer = TrajectoryBuffer.filled(jax.jit(offline)(key_offline), capacity)
        return OnlineState(*state, buffer)

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
        """The compiled round `(state, key) -> (state, info)`; info has means over its updates.

        A round whose loss or gradient is not finite changes nothing.
        """
        check(
            tx=tx,
            sample=sample,
            meta_batch_size=meta_batch_size,
            steps_per_call=steps_per_call,
            devices=devices,
            tasks_at_once=tasks_at_once,
        )
        if meta_batch_size > capacity:
            raise ValueError(
                f"meta_batch_size must be at most capacity = {capacity}, got {meta_batch_size}."
            )
        if windows % devices:
            raise ValueError(f"devices {devices} must divide windows, got {windows}.")
        shared = sharing(devices)

        def one_round(state, key):
            key_round = jax.random.fold_in(key, state.step)
            is_online = state.step >= offline_rounds
            before = state.buffer.next(meta_batch_size)

            def trials(params):
                batch = act(agent, params, sample, key_round, meta_batch_size, shared)
                rows = trajectory_of(batch.data.windows)
                return jax.tree.map(lambda new, old: new.astype(old.dtype), rows, before)

            rows = jax.lax.cond(is_online, trials, lambda params: before, state.params)
            n_new = jnp.where(is_online, meta_batch_size, 0)
            written = state.buffer.overwrite(rows)
            buffer = written.advance(n_new)

            def gradient_step(carry, key):
                params, opt_state = carry
                key_windows, key_agent = jax.random.split(key)
                drawn = buffer.sample(key_windows, n=windows, length=context)
                batch = jax.vmap(given_windows)(drawn, jax.random.split(key_agent, windows))
                loss, grads = jax.value_and_grad(imitation_loss(agent, shared(batch)))(params)
                after = apply_gradients(tx, grads, params, opt_state)
                return after, (loss, global_norm(grads))

            keys = jax.random.split(jax.random.fold_in(key_round, meta_batch_size), updates)
            before_updates = (state.params, state.opt_state)
            after, (losses, norms) = jax.lax.scan(gradient_step, before_updates, keys)
            loss, norm = jnp.mean(losses), jnp.mean(norms)
            is_finite = jnp.isfinite(loss) & jnp.isfinite(norm)
            info = StepInfo(loss, norm, ~is_finite)

            def kept(new, old):
                return jax.tree.map(lambda n, old: jnp.where(is_finite, n, old), new, old)

            # The places of this round alone: the whole buffer would be copied otherwise.
            buffer = written.overwrite(kept(rows, before)).advance(jnp.where(is_finite, n_new, 0))
            params, opt_state, step = kept((*after, state.step + 1), (*before_updates, state.step))
            return OnlineState(params, opt_state, step, buffer), info

        return compiled(one_round, steps_per_call=steps_per_call, devices=devices)

    return OnlineRounds(init_state, make_step)
