"""Decision-pretrained transformers.

Lee, Xie, Pacchiano, Chandak, Finn, Nachum & Brunskill, "Supervised Pretraining Can Learn In-Context
Reinforcement Learning", NeurIPS 2023, https://arxiv.org/abs/2306.14892, algorithm 1 and section 4;
that acting by sampling is Thompson sampling is their theorem 1.
Differs from the paper: the context is read as a set (`rl.context_reader`), not by GPT-2 from left
to right; each prefix of a context has a query state of its own; in acting, a step is in the context
at once, not with the end of its episode.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.rl._context import ContextReader, Encoded
from jaxmeta.rl._rollout import returns_by_episode, rollout
from jaxmeta.rl.agent import Agent, Batch, Replayed, Test
from jaxmeta.rl.environment import Environment


class _Data(NamedTuple):
    rows: jax.Array  # [C, I], (state, action, next state, reward)
    questions: jax.Array  # [C + 1, O], the query state of each prefix
    action: jax.Array  # [C + 1], optimal there


class _Memory(NamedTuple):
    encoded: Encoded  # of up to C rows; where it is full the newest takes the place of the oldest
    steps: jax.Array  # int32, rows so far, forgotten ones too
    observation: jax.Array  # [O] before the last action


def decision_pretrained(
    reader: ContextReader,
    environment: Environment,
    *,
    context: int,
    episodes: int = 1,
    teacher_share: float = 0.0,
    greedy: bool = False,
    given: int = 0,
) -> Agent:
    """Learns to name the best action in a state from a context of transitions, in any order.

    It is trained on given data by `rl.imitation()`, not on its own roll-outs: `collect` lets a
    behaviour act in the task, and asks the environment's teacher, `environment.table.optimal`, for
    the best action in a state drawn for each prefix of that context. Its cross-entropy is least
    where the net gives the posterior of the best action; acting by sampling is then Thompson
    sampling, as long as the behaviour knows no more than the context shows (`teacher_share=0`).

    A behaviour prefers some actions, drawn for each context, and goes on in a state drawn anew
    with a probability drawn for each context.

    Args:
      reader: `rl.context_reader()`.
      environment: tasks, with a table and a teacher.
      context: transitions in a context, C; in acting the last C are kept.
      episodes: of a trial of `test`.
      teacher_share: of the contexts, those in which the teacher acts in a share of the steps, drawn
        for each context.
      greedy: take the likeliest action; by default one is drawn.
      given: transitions, at most `context`, that the behaviour puts in the context before a trial;
        the teacher takes part where `teacher_share` is 1.

    Returns an `Agent`; `Test.returns` are those of each episode of a trial.

    Raises:
      ValueError: the environment has no teacher, or a number is out of its range.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import rl
      >>> bandits, key = rl.environments.bernoulli_bandits(3), jax.random.key(0)
      >>> task = bandits.sample(key)
      >>> reader = rl.context_reader(width=8, layers=1)
      >>> agent = rl.decision_pretrained(reader, bandits, context=6, episodes=6)
      >>> params = jax.eval_shape(agent.init, key, task)
      >>> jax.eval_shape(agent.test, params, key, task).returns.shape  # of each episode
      (6,)
    """
    table = environment.table
    if table is None or table.optimal is None:
        raise ValueError(
            "decision_pretrained needs an environment with a teacher, environment.table.optimal, "
            f"got table {table}."
        )
    at_least(1, context=context, episodes=episodes)
    if not 0 <= given <= context:
        raise ValueError(f"given must be in 0..context = {context}, got {given}.")
    if not 0 <= teacher_share <= 1:
        raise ValueError(f"teacher_share must be in [0, 1], got {teacher_share}.")
    actions: Any = environment.actions  # Discrete, as those of every table are.
    teacher = table.optimal

    def row(observation, action, reached, reward):
        return jnp.concatenate([observation, action, reached, reward[None]])

    def anywhere(key):
        return jax.random.randint(key, (), 0, table.n_states)

    def behave(key, task, length):
        """Transitions `[length, I]` of a behaviour in a task."""
        key_scale, key_logits, key_restart, key_teacher, key_start, key_steps = jax.random.split(
            key, 6
        )
        # Anything from even chances for all actions to one of them alone.
        scale = 4 * jax.random.uniform(key_scale)
        logits = scale * jax.random.normal(key_logits, (actions.n,))
        restart = jax.random.uniform(key_restart)
        is_taught, share = jax.random.uniform(key_teacher, (2,))
        share = jnp.where(is_taught < teacher_share, share, 0.0)

        def one_step(state, key):
            key_whose, key_action, key_step, key_new, key_state = jax.random.split(key, 5)
            is_teacher = jax.random.bernoulli(key_whose, share)
            action = jax.random.categorical(key_action, logits)
            action = jnp.where(is_teacher, teacher(state, task), action)
            after = environment.step(key_step, state, action, task)
            begins = after.done | jax.random.bernoulli(key_new, restart)
            made = row(
                table.observe(state), actions.encode(action), after.observation, after.reward
            )
            return jnp.where(begins, anywhere(key_state), after.state), made

        return jax.lax.scan(one_step, anywhere(key_start), jax.random.split(key_steps, length))[1]

    def init(key, task):
        key_reader, key_rows, key_head = jax.random.split(key, 3)
        rows = jax.tree.map(jnp.zeros_like, behave(key_rows, task, 1))
        questions = table.observe(jnp.array(0))[None]
        params = reader.init(key_reader, rows, questions)
        features = reader.read(params, reader.encode(params, rows), questions, jnp.ones((1, 1)) > 0)
        # Small weights: at first all actions are nearly as likely.
        kernel = 0.01 * jax.random.normal(key_head, (features.shape[-1], actions.n_outputs))
        head = {"kernel": kernel, "bias": jnp.zeros(actions.n_outputs)}
        return {"reader": params, "head": head}

    def answer(params, encoded, questions, is_seen):
        """Distributions of the best action."""
        logits = best_action_logits(reader, params, encoded, questions, is_seen)
        return actions.distribution({}, logits)

    def collect(params, key, task):
        del params  # What it learns from does not depend on what it does.
        key_rows, key_questions = jax.random.split(key)
        rows = behave(key_rows, task, context)
        states = jax.vmap(anywhere)(jax.random.split(key_questions, context + 1))
        best = jax.vmap(lambda state: teacher(state, task))(states)
        return Batch(
            _Data(rows, jax.vmap(table.observe)(states), best),
            None,
            None,
            jnp.ones(context + 1, bool),
            None,
            jnp.sum(rows[:, -1]),
        )

    def replay(params, batch):
        rows, questions, best = batch.data
        is_seen = jnp.arange(context) < jnp.arange(context + 1)[:, None]
        now = answer(params, reader.encode(params["reader"], rows), questions, is_seen)
        return Replayed(now, now.log_prob(best), None)

    def test(params, key, task):
        key_given, key_trial = jax.random.split(key)
        rows = behave(key_given, task, context)
        encoded = reader.encode(params["reader"], rows)

        def act(memory, key, seen):
            encoded, steps, before = memory
            # What the last action led to; before the first there is none, and it is not looked at.
            last = row(before, seen.action, seen.reached, seen.reward)[None]
            place = (steps - 1) % context
            encoded = jax.tree.map(
                lambda kept, new: jnp.where(
                    steps > given, jax.lax.dynamic_update_slice_in_dim(kept, new, place, 1), kept
                ),
                encoded,
                reader.encode(params["reader"], last),
            )
            is_seen = (jnp.arange(context) < steps)[None]
            now = answer(params, encoded, seen.observation[None], is_seen)
            action = jnp.argmax(now.logits[0]) if greedy else now.sample(key)[0]
            return _Memory(encoded, steps + 1, seen.observation), action, now.logits[0]

        nothing = jnp.zeros_like(table.observe(jnp.array(0)))
        start = _Memory(encoded, jnp.int32(given), nothing)
        trajectory = rollout(environment, act, key_trial, task, start, episodes=episodes)
        return Test(returns_by_episode(trajectory, episodes), trajectory)

    return Agent(init, collect, replay, test)


def best_action_logits(
    reader: ContextReader,
    params: Any,
    encoded: Encoded,
    questions: jax.Array,
    is_seen: jax.Array,
) -> jax.Array:
    """What such an agent answers, `[Q, n]`, to questions `[Q, O]` of the rows seen `[Q, C]`."""
    features = reader.read(params["reader"], encoded, questions, is_seen)
    return features @ params["head"]["kernel"] + params["head"]["bias"]
