import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import rl
from jaxmeta.rl import bandits
from jaxmeta.rl._decision_pretrained import best_action_logits
from jaxmeta.training import evaluate, init_state

READER = rl.context_reader(width=8, layers=2, heads=2)
ROOM = rl.environments.dark_room(3, horizon=4)
KEY = jax.random.key(0)


def random(params):
    """The same tree with every entry drawn, biases too."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [jnp.array(leaf + 0.3 * rng.normal(size=leaf.shape)) for leaf in leaves]
    return jax.tree.unflatten(tree, leaves)


@pytest.fixture(scope="module")
def room():
    agent = rl.decision_pretrained(READER, ROOM, context=6, episodes=2)
    task = jnp.array(5)
    params = random(agent.init(KEY, task))
    return agent, params, task


def asked(params, rows, questions, n_seen):
    encoded = READER.encode(params["reader"], rows)
    is_seen = jnp.arange(len(rows)) < jnp.array(n_seen)[:, None]
    return best_action_logits(READER, params, encoded, questions, is_seen)


def test_the_order_of_the_context_does_not_matter(room):
    agent, params, task = room
    rows, questions, _ = agent.collect(params, KEY, task).data
    logits = asked(params, rows, questions, [6] * 7)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(6)
        np.testing.assert_allclose(
            asked(params, rows[order], questions, [6] * 7), logits, rtol=0, atol=1e-5
        )
    # But what stands in it does, and so does the state asked about.
    assert jnp.abs(asked(params, rows.at[0].add(1.0), questions, [6] * 7) - logits).max() > 1e-2
    assert jnp.abs(logits[0] - logits[1:]).max() > 1e-2


def test_every_prefix_is_read_as_if_nothing_came_after(room):
    agent, params, task = room
    batch = agent.collect(params, KEY, task)
    rows, questions, best = batch.data
    replay = agent.replay(params, batch)
    for seen in range(7):
        alone = asked(params, rows[:seen], questions[seen : seen + 1], [seen])
        np.testing.assert_allclose(replay.distribution.logits[seen], alone[0], atol=1e-5)
    log_p = jax.nn.log_softmax(replay.distribution.logits)
    expected = np.asarray(log_p)[np.arange(7), best]
    np.testing.assert_allclose(replay.log_ratio, expected, rtol=1e-6)
    np.testing.assert_allclose(agent.loss(params, KEY, task)[0], -expected.mean(), rtol=1e-6)


def test_the_attention_is_that_of_numpy(room):
    agent, params, task = room
    rows, questions, _ = agent.collect(params, KEY, task).data
    reader = params["reader"]
    encoded = READER.encode(reader, rows)
    is_seen = jnp.arange(6) < jnp.arange(7)[:, None]
    maps = READER.attention(reader, encoded, questions, is_seen)
    assert maps.shape == (2, 2, 7, 7)
    w = jax.tree.map(lambda leaf: np.asarray(leaf, float), reader["questions"]["params"])
    x = np.asarray(questions, float) @ w["embed"]["kernel"] + w["embed"]["bias"]
    centred = x - x.mean(-1, keepdims=True)
    seen = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    seen = seen * w["norm_a_0"]["scale"] + w["norm_a_0"]["bias"]
    query, key = (
        np.einsum("qi,ihd->qhd", seen, w[f"{part}_0"]["kernel"]) + w[f"{part}_0"]["bias"]
        for part in ("query", "key")
    )
    for q, head in itertools.product(range(7), range(2)):
        row_keys = np.asarray(encoded.keys, float)[0, :q, head]
        logits = np.concatenate([[key[q, head] @ query[q, head]], row_keys @ query[q, head]]) / 2
        shares = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(maps[0, head, q, : q + 1], shares, rtol=1e-4)
        assert not maps[0, head, q, q + 1 :].any()


def test_acting_is_the_whole_context_read_anew(room):
    agent, params, task = room
    trajectory = jax.jit(agent.test)(params, jax.random.key(3), task).trajectories
    seen, n = trajectory.seen, 8
    assert trajectory.seen.done.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    rows = jnp.concatenate(
        [
            seen.observation[:-1],
            seen.action[1:],
            seen.reached[1:],
            seen.reward[1:, None],
        ],
        axis=-1,
    )
    for step in range(n):
        rows_kept = rows[max(step - 6, 0) : step]  # The last six.
        logits = asked(params, rows_kept, seen.observation[step : step + 1], [len(rows_kept)])
        np.testing.assert_allclose(trajectory.extra[step], logits[0], rtol=1e-5, atol=1e-5)


def test_what_is_collected(room):
    agent, params, task = room
    batch = agent.collect(params, KEY, task)
    rows, questions, best = batch.data
    before, action, after = rows[:, :6], rows[:, 6:11], rows[:, 11:17]
    for row in range(6):
        state = [n for n in range(9) if (ROOM.table.observe(jnp.array(n)) == before[row]).all()]
        step = ROOM.step(KEY, jnp.array(state[0]), jnp.argmax(action[row]), task)
        np.testing.assert_array_equal(step.observation, after[row])
        assert step.reward == rows[row, -1]
    for question, answer in zip(questions, best, strict=True):
        state = [n for n in range(9) if (ROOM.table.observe(jnp.array(n)) == question).all()]
        assert answer == ROOM.table.optimal(jnp.array(state[0]), task)
    assert batch.advantages is None and batch.is_valid.shape == (7,)


def test_a_teacher_s_context_shows_where_the_goal_is():
    def paid(teacher_share):
        agent = rl.decision_pretrained(READER, ROOM, context=50, teacher_share=teacher_share)
        keys = jax.random.split(KEY, 200)
        return jax.vmap(lambda key: agent.collect(None, key, jnp.array(8)))(keys).mean_return.mean()

    assert paid(1.0) > 1.5 * paid(0.0) > 0


def test_a_context_given_before_a_trial_is_read():
    agent = rl.decision_pretrained(READER, ROOM, context=6, given=6, teacher_share=1.0)
    params, task = random(agent.init(KEY, jnp.array(5))), jnp.array(5)
    key_given, _ = jax.random.split(KEY)
    trajectory = agent.test(params, KEY, task).trajectories
    del key_given
    empty = rl.decision_pretrained(READER, ROOM, context=6).test(params, KEY, task).trajectories
    np.testing.assert_array_equal(trajectory.seen.observation[0], empty.seen.observation[0])
    assert jnp.abs(trajectory.extra[0] - empty.extra[0]).max() > 1e-3


@pytest.mark.slow
def test_it_learns_the_posterior_and_acts_by_thompson_sampling(optimised):
    bandit, pulls = rl.environments.bernoulli_bandits(2), 3
    reader = rl.context_reader(width=16, layers=2)
    agent = rl.decision_pretrained(reader, bandit, context=pulls, episodes=pulls)
    tx = optax.adam(optax.linear_schedule(3e-3, 0, 3000))
    step = rl.imitation()(agent, tx, bandit.sample, meta_batch_size=256, steps_per_call=3000)
    state, _ = step(init_state(KEY, agent, tx, bandit.sample), jax.random.key(1))
    worst = 0
    for n in range(pulls + 1):
        for arms in itertools.product(range(2), repeat=n):
            for rewards in itertools.product(range(2), repeat=n):
                rows = np.zeros((pulls, 5), np.float32)
                rows[:, 0] = rows[:, 3] = 1
                rows[np.arange(n), 1 + np.array(arms, int)] = 1
                rows[:n, 4] = rewards
                encoded = reader.encode(state.params["reader"], rows)
                is_seen = (jnp.arange(pulls) < n)[None]
                logits = best_action_logits(
                    reader, state.params, encoded, jnp.ones((1, 1)), is_seen
                )[0]
                won = np.bincount(arms, weights=rewards, minlength=2)
                exact = bandits.best_arm_posterior(won, np.bincount(arms, minlength=2) - won)
                worst = max(worst, abs(jax.nn.softmax(logits) - exact).sum() / 2)
    assert worst < 0.02
    result = evaluate(
        agent,
        state.params,
        bandit.sample,
        n_episodes=4000,
        key=jax.random.key(2),
        score=rl.acting(jnp.sum),
    )

    def thompson(key):
        key_task, key_play = jax.random.split(key)
        arms = bandit.sample(key_task)
        return arms[bandits.play(bandits.thompson, key_play, arms, pulls)].sum()

    expected = jax.vmap(thompson)(jax.random.split(KEY, 40_000))
    assert abs(result.mean - expected.mean()) < 2 * result.interval


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: rl.context_reader(layers=0), "layers must be >= 1, got 0"),
        (lambda: rl.context_reader(width=5, heads=2), "width must be a multiple of heads = 2"),
        (
            lambda: rl.decision_pretrained(READER, rl.environments.navigation(), context=3),
            "needs an environment with a teacher",
        ),
        (
            lambda: rl.decision_pretrained(READER, rl.environments.tabular_mdps(), context=3),
            "needs an environment with a teacher",
        ),
        (lambda: rl.decision_pretrained(READER, ROOM, context=0), "context must be >= 1, got 0"),
        (
            lambda: rl.decision_pretrained(READER, ROOM, context=3, given=4),
            r"given must be in 0..context = 3, got 4",
        ),
        (
            lambda: rl.decision_pretrained(READER, ROOM, context=3, teacher_share=2.0),
            r"teacher_share must be in \[0, 1\], got 2.0",
        ),
    ],
)
def test_wrong_numbers_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_each_update_refuses_the_other_kind_of_agent():
    given = rl.decision_pretrained(READER, ROOM, context=2)
    acting = rl.rl2(rl.gru(2), ROOM, episodes=1)
    tx = optax.sgd(0.1)
    for agent, update, words in (
        (given, rl.ppo(minibatches=1), "ppo is for agents that learn from what their actions"),
        (given, rl.a2c(), "a2c is for agents that learn from what their actions"),
        (given, rl.trpo(), "trpo is for agents that learn from what their actions"),
        (acting, rl.imitation(), "imitation is for agents that learn from given data"),
    ):
        step = update(agent, tx, ROOM.sample, meta_batch_size=1)
        state = jax.eval_shape(lambda agent=agent: init_state(KEY, agent, tx, ROOM.sample))
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(step, state, KEY)
