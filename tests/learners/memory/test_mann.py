import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxmeta
from jaxmeta import losses
from jaxmeta.learners.memory import (
    feed_forward,
    lrua,
    lstm,
    mann,
    nearest_seen,
    no_memory,
    ntm,
    reads_and_writes,
)

STEPS, SIZE, N_WAY = 7, 4, 3
SMALL = {"controller": lstm(6), "memory": lrua(5, 3, heads=2)}
MACHINES = {
    "lstm, lrua": SMALL,
    "lstm, lrua, address before write": SMALL
    | {"memory": lrua(5, 3, heads=2, address_before_write=True)},
    "feed-forward, lrua": SMALL | {"controller": feed_forward(6)},
    "lstm, ntm": SMALL | {"memory": ntm(5, 3, heads=2)},
    "lstm alone": SMALL | {"memory": no_memory()},
}
machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())


def stream(seed=0, dtype=None):
    key_x, key_y = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(key_x, (STEPS, SIZE), dtype)
    y = jax.nn.one_hot(jax.random.randint(key_y, (STEPS,), 0, N_WAY), N_WAY, dtype=x.dtype)
    return jaxmeta.Stream(x, y)


def as_double(params):
    return jax.tree.map(lambda leaf: leaf.astype(float), params)


@machines
def test_a_prediction_does_not_depend_on_its_label_or_what_comes_later(machine):
    learner, sequence, key = mann(**machine), stream(), jax.random.key(1)
    params = jax.jit(learner.init)(key, sequence)
    loss = jax.jit(lambda params, sequence: learner.loss(params, key, sequence))
    _, outputs = loss(params, sequence)
    assert outputs.shape == (STEPS, N_WAY)
    x, y, _ = sequence
    t = 3
    later = jaxmeta.Stream(x.at[t + 1 :].add(1.0), y.at[t:].set(jnp.roll(y, 1, 1)[t:]))
    _, after = loss(params, later)
    np.testing.assert_array_equal(after[: t + 1], outputs[: t + 1])
    assert (np.abs(after[t + 1 :] - outputs[t + 1 :]).max(axis=1) > 0).all()


def test_two_copies_of_an_episode_give_identical_outputs():
    learner, sequence = mann(**SMALL), stream()
    params = jax.jit(learner.init)(jax.random.key(0), sequence)
    copies = jax.tree.map(lambda *leaves: jnp.stack(leaves), sequence, stream(1), sequence)
    keys = jax.random.split(jax.random.key(0), 3)
    _, outputs = jax.jit(jax.vmap(learner.loss, (None, 0, 0)))(params, keys, copies)
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() > 0
    # No memory of what went before: one after the other they are still the same.
    _, in_turn = jax.jit(lambda e: jax.lax.map(lambda e: learner.loss(params, keys[0], e), e))(
        copies
    )
    np.testing.assert_array_equal(in_turn[0], in_turn[2])


@pytest.mark.parametrize("machine", [SMALL, MACHINES["lstm, ntm"]], ids=["lrua", "ntm"])
def test_every_step_of_a_stream_is_scored(x64, machine):
    learner, sequence, key = mann(**machine), stream(dtype=float), jax.random.key(1)
    params = as_double(jax.jit(learner.init)(key, sequence))
    loss = jax.jit(lambda params: learner.loss(params, key, sequence))
    value, outputs = loss(params)
    log_p = np.asarray(outputs) - np.log(np.exp(outputs).sum(1, keepdims=True))
    np.testing.assert_allclose(value, -(log_p * sequence.y).sum(1).mean(), rtol=1e-9)
    check_grads(
        jax.jit(lambda params: loss(params)[0]), (params,), order=1, modes=["rev"], rtol=1e-5
    )


def test_a_stream_in_numpy(x64):
    """The feed-forward machine without a memory is a plain formula of x_t and y_{t-1}."""
    learner = mann(controller=feed_forward(6), memory=no_memory())
    sequence = stream(dtype=float)
    params = as_double(jax.jit(learner.init)(jax.random.key(0), sequence))
    _, outputs = jax.jit(learner.loss)(params, jax.random.key(0), sequence)
    x, y = (np.asarray(part) for part in sequence[:2])
    seen = np.concatenate([x, np.concatenate([np.zeros((1, N_WAY)), y[:-1]])], axis=1)
    controller, output = params["controller"], params["output"]
    h = np.tanh(seen @ controller["inputs"] + controller["bias"])
    np.testing.assert_allclose(outputs, h @ output["kernel"] + output["bias"], rtol=1e-9)


@machines
def test_adapting_and_predicting_goes_on_with_the_sequence(x64, machine):
    # The next step of a stream after one support row (one row: its order is the only one), but
    # that nothing is written.
    learner, key = mann(**machine), jax.random.key(1)
    rows = jaxmeta.Examples(*stream(dtype=float))
    params = as_double(jax.jit(learner.init)(key, stream()))
    one = jax.tree.map(lambda leaf: leaf[:1], rows)
    adapted = jax.jit(learner.adapt)(params, key, one)
    outputs = jax.jit(learner.predict)(params, adapted, rows.x[1:])
    assert outputs.shape == (STEPS - 1, N_WAY)
    np.testing.assert_array_equal(adapted.label, rows.y[0])
    if machine["memory"].n_reads == 0:  # Without writes the two are the same.
        two = jaxmeta.Stream(rows.x[:2], rows.y[:2])
        _, expected = jax.jit(learner.loss)(params, key, two)
        np.testing.assert_allclose(outputs[0], expected[1], rtol=1e-9)


def test_padding_in_a_sequence_changes_nothing(x64):
    learner, sequence, key = mann(**SMALL), stream(dtype=float), jax.random.key(1)
    params = as_double(jax.jit(learner.init)(key, sequence))
    places = np.array([0, 2, 3, 4, 6, 7, 8])
    x = jnp.full((9, SIZE), 5.0).at[places].set(sequence.x)
    y = jnp.ones((9, N_WAY)).at[places].set(sequence.y)
    is_valid = jnp.zeros(9, bool).at[places].set(True)
    padded = jaxmeta.Stream(x, y, is_valid)
    loss, outputs = jax.jit(learner.loss)(params, key, sequence)
    padded_loss, padded_outputs = jax.jit(learner.loss)(params, key, padded)
    np.testing.assert_allclose(padded_loss, loss, rtol=1e-12)
    np.testing.assert_allclose(padded_outputs[places], outputs, rtol=1e-12)


def test_reads_and_writes_along_a_stream():
    sequence = stream()
    params = jax.jit(mann(**SMALL).init)(jax.random.key(0), sequence)
    trace = jax.jit(reads_and_writes(**SMALL))(params, sequence)
    assert trace.access.read.shape == trace.access.write.shape == (STEPS, 2, 5)
    np.testing.assert_allclose(trace.access.read.sum(-1), 1, rtol=1e-5)
    _, outputs = jax.jit(mann(**SMALL).loss)(params, jax.random.key(0), sequence)
    np.testing.assert_allclose(trace.outputs, outputs, rtol=1e-6)


def test_batch_normalisation_is_refused_on_a_stream():
    embed = jaxmeta.networks.mlp(4, hidden=(4,), normalise=True)
    learner, sequence = mann(embed, **SMALL), stream()
    params = jax.jit(learner.init)(jax.random.key(0), sequence)
    with pytest.raises(ValueError, match="must not normalise by its batch on a stream"):
        learner.loss(params, jax.random.key(0), sequence)


def test_nearest_seen_looks_at_what_came_before():
    x = jnp.array([[0.0], [1.0], [0.1], [5.0], [0.9]])
    y = jax.nn.one_hot(jnp.array([0, 1, 0, 2, 1]), 3)
    sequence = jaxmeta.Stream(x, y)
    _, outputs = nearest_seen().loss({}, jax.random.key(0), sequence)
    np.testing.assert_array_equal(outputs, [[0, 0, 0], y[0], y[0], y[1], y[1]])


def test_letters():
    y = jnp.concatenate([jnp.eye(5)[jnp.array([1, 0])], jnp.eye(5)[jnp.array([4, 2])]], axis=1)
    logits = 3.0 * y
    wrong = logits.at[1, 5:].set(0.0).at[1, 6].set(9.0)
    np.testing.assert_array_equal(losses.letters_are_right(logits, y), [True, True])
    np.testing.assert_array_equal(losses.letters_are_right(wrong, y), [True, False])
    expected = 2 * (np.log(np.exp(3.0) + 4) - 3)
    np.testing.assert_allclose(losses.letters_cross_entropy(logits, y), [expected] * 2, rtol=1e-6)


@pytest.mark.parametrize("learner", [mann(**SMALL), nearest_seen()], ids=["mann", "nearest_seen"])
def test_a_stream_is_named_and_an_episode_without_support_is_refused(learner):
    """Until there was a `Stream`, such an episode was one."""
    x, y, _ = stream()
    none, rows, key = jaxmeta.Examples(x[:0], y[:0]), jaxmeta.Examples(x, y), jax.random.key(0)
    params = learner.init(key, stream())
    for one, two in zip(
        *map(jax.tree.leaves, (params, learner.init(key, jaxmeta.Episode(none, rows)))), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match=r"must have support rows, got 0: .* is a jaxmeta.Stream"):
        learner.loss(params, key, jaxmeta.Episode(none, rows))
    with pytest.raises(ValueError, match=r"stream.y must be \[M, N\]"):
        learner.loss(params, key, jaxmeta.Stream(x, y.argmax(1)))


def test_learners_of_episodes_refuse_a_stream():
    learner, key = jaxmeta.prototypical(jaxmeta.networks.mlp(2)), jax.random.key(0)
    for call in (
        lambda: learner.init(key, stream()),
        lambda: learner.loss({}, key, stream()),
        lambda: jaxmeta.evaluate(mann(), {}, lambda key: stream(), n_episodes=1, key=key),
    ):
        with pytest.raises(TypeError, match=r"must give an Episode here, got a Stream: .*online"):
            call()
    rows = jaxmeta.Examples(*stream())
    settings = {"n_episodes": 1, "key": key, "score": jaxmeta.online()}
    with pytest.raises(TypeError, match=r"must give a Stream here, got Episode: .*few_shot"):
        jaxmeta.evaluate(mann(), {}, lambda key: jaxmeta.Episode(rows, rows), **settings)
