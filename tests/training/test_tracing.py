"""Functions that `make_step` and `make_evaluate` give: ordinary ones, wherever they are called."""

import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.training import evaluate, init_state, make_evaluate, make_step
from jaxmeta.training.tracing import jit_passing_constants

SAMPLE = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)
TX = optax.adam(1e-3)
KEY = jax.random.key(1)


def learner():
    net = jaxmeta.networks.mlp(1, hidden=(8,), kernel_init=jax.nn.initializers.glorot_normal())
    return jaxmeta.maml(net, inner_steps=1, loss_fn=optax.squared_error)


def counted(function, **settings):
    """The function compiled, and the list that grows with each trace of it."""
    traces = []

    def counting(*args):
        traces.append(1)
        return function(*args)

    return jit_passing_constants(counting, **settings), traces


def test_another_shape_is_another_program():
    mean, traces = counted(jnp.mean)
    assert float(mean(jnp.ones(4))) == 1.0
    assert float(mean(jnp.ones(8))) == 1.0
    assert float(mean(jnp.ones(8) * 3)) == 3.0
    assert len(traces) == 2


def test_another_tree_is_another_program():
    call, traces = counted(lambda tree: {name: leaf + 1 for name, leaf in tree.items()})
    assert set(call({"a": jnp.zeros(2)})) == {"a"}
    assert set(call({"b": jnp.zeros(2)})) == {"b"}
    assert set(call({"a": jnp.ones(2)})) == {"a"}
    assert len(traces) == 2


def test_another_type_is_another_program():
    double, traces = counted(lambda x: x * 2)
    for value, dtype in (
        (jnp.ones(2, jnp.int32), jnp.int32),
        (jnp.ones(2, jnp.float32), jnp.float32),
        (jnp.ones(2, jnp.bfloat16), jnp.bfloat16),
        (1.5, jnp.float32),
    ):
        assert double(value).dtype == dtype
    assert double(1.5).weak_type and not double(jnp.float32(1.5)).weak_type
    assert len(traces) == 5


def test_another_setting_is_another_program():
    length, traces = counted(lambda x: x + jnp.asarray(1.0, float))
    assert length(np.float32(1)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert length(np.float32(1)).dtype == jnp.float64
    assert length(np.float32(2)).dtype == jnp.float32
    assert len(traces) == 2


def test_what_it_closes_over_is_no_part_of_the_program():
    data = jnp.arange(1000.0)

    def row(i):
        return data[i]

    before = jax.config.jax_captured_constants_warn_bytes
    jax.config.update("jax_captured_constants_warn_bytes", 1000)
    try:
        with pytest.warns(UserWarning, match="constants"):
            jax.jit(row).lower(3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert float(jit_passing_constants(row)(3)) == 3.0
    finally:
        jax.config.update("jax_captured_constants_warn_bytes", before)


def test_first_called_in_a_trace_it_still_works_alone():
    data = jnp.arange(4.0)
    total, traces = counted(lambda x: jnp.sum(data * x))
    x = jnp.full(4, 2.0)
    assert float(jax.jit(total)(x)) == 12.0
    assert float(total(x)) == 12.0
    np.testing.assert_array_equal(jax.vmap(total)(jnp.stack([x, 2 * x])), [12.0, 24.0])
    np.testing.assert_array_equal(jax.grad(total)(x), data)
    _, scanned = jax.lax.scan(lambda carry, x: (carry, total(x)), 0, jnp.stack([x, 2 * x]))
    np.testing.assert_array_equal(scanned, [12.0, 24.0])
    assert float(total(3 * x)) == 36.0
    assert len(traces) == 1


def test_called_with_plain_numbers_inside_a_trace_it_keeps_no_tracer():
    data = jnp.arange(4.0)
    total, _ = counted(lambda x: jnp.sum(data * x))
    assert float(jax.jit(lambda y: y + total(np.full(4, 2.0)))(1.0)) == 13.0
    assert float(total(np.full(4, 2.0))) == 12.0


def test_made_inside_a_trace_it_may_close_over_its_values():
    def outer(y):
        scale = jit_passing_constants(lambda x: x * y)
        return scale(np.float32(3)) + scale(y)

    assert float(jax.jit(outer)(2.0)) == 10.0


def test_only_a_call_by_itself_donates():
    step, _ = counted(lambda state: state + 1, donate_argnums=0)
    kept = jnp.zeros(3)
    jax.jit(step)(kept)
    jax.vmap(step)(kept)
    assert not kept.is_deleted()
    step(kept)
    assert kept.is_deleted()


def test_a_step_is_an_ordinary_function():
    step = make_step(learner(), TX, SAMPLE, meta_batch_size=2)
    state = init_state(jax.random.key(0), learner(), TX, SAMPLE)
    inside, info = jax.jit(step)(state, KEY)
    scanned, _ = jax.lax.scan(lambda state, _: step(state, KEY), state, length=2)
    keys = jax.random.split(KEY, 2)
    many, _ = jax.vmap(step, (None, 0))(state, keys)
    alone, info_alone = step(state, KEY)
    chex.assert_trees_all_close(inside, alone, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(info, info_alone, rtol=1e-5)
    twice, _ = step(alone, KEY)
    chex.assert_trees_all_close(scanned, twice, rtol=1e-5, atol=1e-6)
    chex.assert_tree_shape_prefix(many, (2,))


def test_a_step_takes_parameters_of_other_shapes():
    def linear(params, key, episode):
        del key
        outputs = jnp.mean(params["w"]) * episode.query.x
        return jnp.mean(jnp.square(outputs - episode.query.y)), outputs

    pair = jaxmeta.Learner(lambda key, episode: {}, None, None, linear)
    tx = optax.sgd(0.1)
    step = make_step(pair, tx, SAMPLE, meta_batch_size=2)
    for width in (4, 8, 4):
        params = {"w": jnp.ones(width)}
        state = jaxmeta.training.MetaState(params, tx.init(params), jnp.zeros((), jnp.int32))
        assert step(state, KEY)[0].params["w"].shape == (width,)


def test_an_evaluation_is_an_ordinary_function():
    meta_learner = learner()
    params = init_state(jax.random.key(0), meta_learner, TX, SAMPLE).params
    metric = jaxmeta.losses.squared_error
    run = make_evaluate(meta_learner, SAMPLE, n_episodes=3, metric=metric)
    inside = jax.jit(run)(params, KEY)
    both = jax.vmap(run, (None, 0))(params, jax.random.split(KEY))
    alone = run(params, KEY)
    again = evaluate(meta_learner, params, SAMPLE, n_episodes=3, key=KEY, metric=metric)
    for result in (inside, again):
        np.testing.assert_allclose(result.mean, alone.mean, rtol=1e-5)
        np.testing.assert_allclose(result.interval, alone.interval, rtol=1e-4)
        np.testing.assert_allclose(result.per_episode, alone.per_episode, rtol=1e-5)
    assert isinstance(alone.mean, float) and both.per_episode.shape == (2, 3)
    gradient = jax.grad(lambda params: run(params, KEY).mean)(params)
    assert float(optax.tree.norm(gradient)) > 0


def test_a_prediction_that_is_not_finite_stays_so_in_a_trace():
    meta_learner = learner()
    params = init_state(jax.random.key(0), meta_learner, TX, SAMPLE).params
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, params)
    run = make_evaluate(meta_learner, SAMPLE, n_episodes=2, metric=jaxmeta.losses.squared_error)
    assert np.isnan(jax.jit(run)(broken, KEY).mean)
    with pytest.raises(FloatingPointError, match="episode 0"):
        run(broken, KEY)
