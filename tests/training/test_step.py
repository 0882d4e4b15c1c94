import re
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import Episode, Examples, training
from jaxmeta.training import evaluate, init_state, make_step

SAMPLE = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)
TX = optax.adam(1e-3)


def learner():
    net = jaxmeta.networks.mlp(1, hidden=(8,), kernel_init=jax.nn.initializers.glorot_normal())
    return jaxmeta.maml(net, inner_steps=2, loss_fn=optax.squared_error)


def train(calls, key=1, **settings):
    state = init_state(jax.random.key(0), learner(), TX, SAMPLE)
    step = make_step(learner(), TX, SAMPLE, **settings)
    infos = []
    for _ in range(calls):
        state, info = step(state, jax.random.key(key))
        infos.append(info)
    return state, jax.tree.map(lambda *leaves: np.concatenate(leaves), *infos)


def test_a_step_is_the_mean_gradient_over_the_tasks_of_its_keys():
    """Written out: sample each task, take its gradient, average, one step of descent."""
    rate, batch = 0.1, 3
    tx = optax.sgd(rate)
    state = init_state(jax.random.key(0), learner(), tx, SAMPLE)
    start = jax.tree.map(np.asarray, state.params)
    key = jax.random.fold_in(jax.random.key(1), 0)
    losses, grads = [], []
    for i in range(batch):
        key_episode, key_learner = jax.random.split(jax.random.fold_in(key, i))
        (loss, _), grad = jax.value_and_grad(learner().loss, has_aux=True)(
            start, key_learner, SAMPLE(key_episode)
        )
        losses.append(loss)
        grads.append(grad)
    mean = jax.tree.map(lambda *leaves: sum(leaves) / batch, *grads)
    expected = jax.tree.map(lambda w, g: w - rate * g, start, mean)

    state, info = make_step(learner(), tx, SAMPLE, meta_batch_size=batch)(state, jax.random.key(1))
    chex.assert_trees_all_close(state.params, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(info.loss, [np.mean(losses)], rtol=1e-5)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(mean))
    np.testing.assert_allclose(info.grad_norm, [squares**0.5], rtol=1e-5)


def test_steps_per_call_changes_nothing():
    one, infos = train(6, meta_batch_size=4)
    three, infos_of_three = train(2, meta_batch_size=4, steps_per_call=3)
    chex.assert_trees_all_close(one, three, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(infos, infos_of_three, rtol=1e-5)
    assert infos.loss.shape == (6,)


@pytest.mark.parametrize(
    "policy",
    [
        {"tasks_at_once": 1},
        {"tasks_at_once": 2},
        {"tasks_at_once": 8},
        {"devices": 2},
        {"devices": 2, "tasks_at_once": 1},
        {"devices": 2, "tasks_at_once": 2},
    ],
    ids=str,
)
def test_every_policy_of_the_task_axis_gives_the_same_numbers(policy):
    together, infos = train(2, meta_batch_size=8)
    otherwise, other_infos = train(2, meta_batch_size=8, **policy)
    # Adam divides by the gradient's size, so rounding is compared after the first steps' rates.
    chex.assert_trees_all_close(otherwise.params, together.params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(other_infos, infos, rtol=1e-5)


def test_episodes_depend_on_key_and_step():
    _, first = train(2, key=1, meta_batch_size=4)
    _, again = train(2, key=1, meta_batch_size=4)
    _, other = train(2, key=2, meta_batch_size=4)
    np.testing.assert_array_equal(first.loss, again.loss)
    assert not np.isclose(first.loss, other.loss).any()
    assert not np.isclose(first.loss[0], first.loss[1])


def test_a_step_continues_where_the_state_says():
    """Step t draws the tasks of t whether it is the first of a new process or not."""
    _, three = train(3, meta_batch_size=4)
    state, _ = train(2, meta_batch_size=4)
    fresh = make_step(learner(), TX, SAMPLE, meta_batch_size=4)
    _, info = fresh(jax.tree.map(jnp.array, state), jax.random.key(1))
    np.testing.assert_array_equal(info.loss, three.loss[2:])


def test_labels_that_are_no_rows_are_refused():
    part, key = Examples(jnp.zeros((3, 2)), jnp.arange(3)), jax.random.key(0)
    state = init_state(key, learner(), TX, SAMPLE)

    def sample(key):
        del key
        return Episode(part, part)

    with pytest.raises(ValueError, match=r"support.y must be .* got shape \(3,\) .* \(3, 2\)"):
        init_state(key, learner(), TX, sample)
    with pytest.raises(ValueError, match=r"support.y must be"):
        make_step(learner(), TX, sample, meta_batch_size=1)(state, key)
    with pytest.raises(ValueError, match=r"support.y must be"):
        evaluate(learner(), state.params, sample, n_episodes=2, key=key)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"meta_batch_size": 0}, "meta_batch_size must be >= 1, got 0"),
        ({"meta_batch_size": 4, "steps_per_call": 0}, "steps_per_call must be >= 1"),
        ({"meta_batch_size": 4, "tasks_at_once": 0}, "tasks_at_once must be >= 1"),
        ({"meta_batch_size": 4, "devices": 0}, "devices must be >= 1"),
        ({"meta_batch_size": 4, "tasks_at_once": 3}, "3 must divide meta_batch_size, got 4"),
        ({"meta_batch_size": 3, "devices": 2}, "2 must divide meta_batch_size, got 3"),
        ({"meta_batch_size": 640, "devices": 64}, "at most the 2 local devices, got 64"),
    ],
)
def test_bad_numbers(settings, message):
    with pytest.raises(ValueError, match=message):
        make_step(learner(), TX, SAMPLE, **settings)


@pytest.mark.parametrize("dtype, rtol", [("bfloat16", 5e-3), ("float16", 1e-3)])
@pytest.mark.parametrize("tasks_at_once", [None, 1])
def test_a_large_meta_batch_of_16_bit_parameters_adds_up(dtype, rtol, tasks_at_once):
    # The gradient of task i is its x, 100 in all: a sum in 16 bits stalls or overflows.
    learner = jaxmeta.Learner(
        lambda key, episode: {"w": jnp.zeros(3, dtype)},
        lambda params, key, support: params,
        lambda params, adapted, x: x,
        lambda params, key, episode: (
            100 * jnp.sum(params["w"]) + jnp.asarray(100, dtype),
            episode.query.x,
        ),
    )
    part = jaxmeta.Examples(jnp.ones((2, 1), dtype), jnp.eye(2, dtype=dtype))
    tx = optax.sgd(0.01)
    state = init_state(jax.random.key(0), learner, tx, lambda key: jaxmeta.Episode(part, part))
    step = make_step(
        learner,
        tx,
        lambda key: jaxmeta.Episode(part, part),
        meta_batch_size=1000,
        tasks_at_once=tasks_at_once,
    )
    state, info = step(state, jax.random.key(1))
    assert info.loss.dtype == info.grad_norm.dtype == jnp.float32
    np.testing.assert_allclose(info.loss, [100], rtol=1e-6)
    np.testing.assert_allclose(info.grad_norm, [100 * 3**0.5], rtol=rtol)
    np.testing.assert_allclose(np.float32(state.params["w"]), -np.ones(3), rtol=rtol)
    assert state.params["w"].dtype == dtype


def test_training_asks_of_no_learner_or_task_which_kind_it_is():
    """What differs between learners and agents they say themselves, by `Trainable`."""
    for path in Path(training.__file__).parent.glob("*.py"):
        asked = re.findall(
            r"isinstance\([^)]*\b(?:Episode|Stream|Learner|Agent)\b", path.read_text()
        )
        assert not asked, (path, asked)


def test_a_learner_that_is_none_is_told_what_is_missing():
    almost = SimpleNamespace(init=learner().init, loss=learner().loss)
    with pytest.raises(TypeError, match=r"got SimpleNamespace: .* jaxmeta.Learner\(init, adapt,"):
        init_state(jax.random.key(0), almost, TX, SAMPLE)
