import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import networks, rl
from jaxmeta.rl.agent import Agent, Batch, Replayed
from jaxmeta.rl.distributions import Categorical
from jaxmeta.runs import fit
from jaxmeta.training import MetaState, Validation, init_state, make_step

BANDIT = rl.environments.bernoulli_bandits(2)
ADVANTAGES = jnp.array([2.0, -1.0, 0.5])


def fixed_agent():
    """Three steps of two actions under one logit; values are one parameter."""

    def init(key, task):
        return {"logit": jnp.array(0.4), "value": jnp.array(1.0)}

    def distribution(params):
        logits = jnp.stack([params["logit"], jnp.zeros(())])
        return Categorical(jnp.broadcast_to(logits, (3, 2)))

    actions = jnp.array([0, 1, 0])

    def collect(params, key, task):
        now = distribution(params)
        ok = jnp.array([True, True, False])
        targets = jnp.array([3.0, 2.0, 99.0])
        return Batch(now.log_prob(actions), now, ADVANTAGES, ok, targets, jnp.array(7.0))

    def replay(params, batch):
        now = distribution(params)
        values = jnp.full(3, params["value"])
        return Replayed(now, now.log_prob(actions) - batch.data, values)

    return Agent(init, collect, replay, None)


def one_step(update, tx=optax.sgd(1.0), batch=2):
    agent = fixed_agent()
    step = update(agent, tx, BANDIT.sample, meta_batch_size=batch)
    state = init_state(jax.random.key(0), agent, tx, BANDIT.sample)
    return step(state, jax.random.key(1))


def test_a2c_by_hand(x64):
    state, info = one_step(rl.a2c(value_weight=0.5, entropy_weight=0.3))
    p = 1 / (1 + np.exp(-0.4))
    # d log p / d logit = 1 - p, d log(1 - p) / d logit = -p; mean over the two valid steps.
    policy = (2.0 * (1 - p) + (-1.0) * -p) / 2
    entropy = -0.4 * p * (1 - p)  # dH / dlogit = -logit p (1 - p)
    np.testing.assert_allclose(state.params["logit"], 0.4 + policy + 0.3 * entropy, rtol=1e-10)
    # d/dv of 0.5 mean((v - 3)^2, (v - 2)^2) = mean(v - 3, v - 2) = -1.5.
    np.testing.assert_allclose(state.params["value"], 1.0 + 1.5, rtol=1e-10)
    np.testing.assert_allclose(info.grad_norm, [np.hypot(policy + 0.3 * entropy, 1.5)], rtol=1e-10)
    np.testing.assert_allclose(info.loss, [-7.0])
    assert int(state.step) == 1


def test_the_plain_step_of_an_agent_is_the_policy_gradient(x64):
    """A learner and an agent are the same to it: parameters to begin with, and a loss."""

    def plain(agent, tx, sample, **settings):
        return make_step(agent, tx, sample, **settings)

    state, _ = one_step(plain)
    p = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(state.params["logit"], 0.4 + (2.0 * (1 - p) + p) / 2, rtol=1e-10)
    np.testing.assert_allclose(state.params["value"], 1.0)  # It has no part in the loss.
    # In the same tasks, which have the same keys.
    agent, tx, states = AGENTS["rl2"][0], optax.sgd(0.1), []
    for update in (plain, rl.a2c(value_weight=0.0)):
        step = update(agent, tx, BANDIT.sample, meta_batch_size=5, steps_per_call=2)
        state = init_state(jax.random.key(0), agent, tx, BANDIT.sample)
        states.append(step(state, jax.random.key(1))[0].params)
    start = init_state(jax.random.key(0), agent, tx, BANDIT.sample).params
    for one, two in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda new, old: jnp.abs(new - old).max(), states[0], start)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_ppo_by_hand(x64):
    # One epoch of one minibatch is a gradient step on normalised advantages, 1 and -1 here.
    tx, settings = optax.sgd(2.0), {"minibatches": 1, "entropy_weight": 0.0}
    step = one_step(rl.ppo(epochs=1, **settings), tx)[0]
    p = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(step.params["logit"], 0.4 + 2 * ((1 - p) + p) / 2, rtol=1e-7)
    # In the second epoch both ratios have left [0.8, 1.2] for good: no more gain, no gradient.
    again = one_step(rl.ppo(epochs=2, **settings), tx)[0]
    np.testing.assert_allclose(again.params["logit"], step.params["logit"], rtol=1e-12)
    # Two minibatches of one task each take two steps.
    value = one_step(rl.ppo(epochs=1, minibatches=2), optax.sgd(0.1))[0].params["value"]
    np.testing.assert_allclose(value, 2.5 - 1.5 * 0.9**2, rtol=1e-10)


def test_trpo_stays_in_its_region_and_refuses_values(x64):
    with pytest.raises(ValueError, match="trpo is for agents without values"):
        one_step(rl.trpo())
    agent = fixed_agent()
    valueless = agent._replace(
        collect=lambda *a: agent.collect(*a)._replace(targets=None),
        replay=lambda *a: agent.replay(*a)._replace(values=None),
    )
    tx = optax.identity()
    step = rl.trpo(max_kl=0.02)(valueless, tx, BANDIT.sample, meta_batch_size=2)
    state, _ = step(init_state(jax.random.key(0), agent, tx, BANDIT.sample), jax.random.key(1))
    before, after = (Categorical(jnp.array([x, 0.0])) for x in (0.4, state.params["logit"]))
    assert 0.25 * 0.02 * 0.5 < before.kl(after) <= 0.02  # Full length, or half of it.
    assert state.params["logit"] > 0.4 and state.params["value"] == 1.0


AGENTS = {
    "rl2": (
        rl.rl2(rl.gru(4), BANDIT, episodes=3),
        rl.ppo(epochs=2, minibatches=2),
        optax.adam(0.01),
    ),
    "maml": (
        rl.maml_rl(networks.linear(2, init_scale=0.1), BANDIT, episodes=4),
        rl.trpo(),
        optax.identity(),
    ),
}


@pytest.mark.parametrize("name", AGENTS)
def test_two_devices_do_what_one_does(x64, name):
    agent, update, tx = AGENTS[name]
    states = []
    for devices in (1, 2):
        step = update(agent, tx, BANDIT.sample, meta_batch_size=8, devices=devices)
        params = init_state(jax.random.key(0), agent, tx, BANDIT.sample).params
        params = jax.tree.map(lambda w: w.astype(float), params)
        states.append(step(MetaState(params, tx.init(params), jnp.array(0)), jax.random.key(1))[0])
    assert len(jax.tree.leaves(states[1].params)[0].sharding.device_set) == 2
    for one, two in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)


def test_a_run_stopped_and_resumed_ends_the_same(tmp_path):
    agent, update, tx = AGENTS["rl2"]
    settings = {
        "key": jax.random.key(3),
        "meta_batch_size": 4,
        "steps_per_call": 2,
        "checkpoint_every": 2,
        "make_step": update,
        "show_progress": False,
        "validation": Validation(BANDIT.sample, 2, 6, score=rl.acting(jnp.sum)),
    }
    whole = fit(agent, tx, BANDIT.sample, steps=4, run_dir=tmp_path / "whole", **settings)
    fit(agent, tx, BANDIT.sample, steps=2, run_dir=tmp_path / "parts", **settings)
    parts = fit(
        agent, tx, BANDIT.sample, steps=4, run_dir=tmp_path / "parts", resume=True, **settings
    )
    for one, two in zip(*map(jax.tree.leaves, (whole.state, parts.state)), strict=True):
        np.testing.assert_array_equal(one, two)
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "parts")]
    assert lines[0] == lines[1] and '"val"' in lines[0]


def test_wrong_numbers_are_refused():
    agent, update, tx = AGENTS["rl2"]
    for settings, words in (
        ({"meta_batch_size": 3}, "minibatches 2 must divide meta_batch_size, got 3"),
        ({"meta_batch_size": 4, "tasks_at_once": 1}, "tasks_at_once must be None for agents"),
        ({"meta_batch_size": 4, "steps_per_call": 0}, "steps_per_call must be >= 1, got 0"),
        ({"meta_batch_size": 200, "devices": 100}, "devices must be at most the"),
    ):
        with pytest.raises(ValueError, match=words):
            update(agent, tx, BANDIT.sample, **settings)
    for build, words in (
        (lambda: rl.ppo(epochs=0), "epochs must be >= 1, got 0"),
        (lambda: rl.ppo(clip=0.0), "clip must be > 0, got 0.0"),
        (lambda: rl.trpo(max_kl=0.0), "max_kl must be > 0, got 0.0"),
        (lambda: rl.trpo(backtracks=0), "backtracks must be >= 1"),
    ):
        with pytest.raises(ValueError, match=words):
            build()


def test_the_loss_of_one_task_is_that_of_a_step(x64):
    agent = fixed_agent()
    params = agent.init(jax.random.key(0), None)
    grads, mean_return = jax.grad(agent.loss, has_aux=True)(params, jax.random.key(1), None)
    state, _ = one_step(rl.a2c(value_weight=0.0))
    np.testing.assert_allclose(grads["logit"], params["logit"] - state.params["logit"], rtol=1e-12)
    assert mean_return == 7.0


def test_a_step_that_is_not_finite_stops_and_names_its_task(tmp_path):
    broken = BANDIT._replace(step=lambda *a: BANDIT.step(*a)._replace(reward=jnp.array(jnp.nan)))
    agent = rl.rl2(rl.gru(3), broken, episodes=2)
    with pytest.raises(FloatingPointError, match="step 0 is not finite, first in task 0"):
        fit(
            agent,
            optax.sgd(0.1),
            broken.sample,
            key=jax.random.key(0),
            steps=2,
            meta_batch_size=2,
            run_dir=tmp_path,
            show_progress=False,
            make_step=rl.a2c(),
        )
