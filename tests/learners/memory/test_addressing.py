"""One step of each memory against one worked out by hand, or in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.learners.memory import lrua, ntm
from jaxmeta.learners.memory._addressing import LruaState, NtmState


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("address_before_write", [False, True])
def test_one_lrua_step_by_hand(x64, address_before_write):
    # Three slots of two numbers, one head. Usage 0.5, 0.2, 0.9: slot 1 is the least used; its old
    # content (7, 7) is wiped. Gate sigmoid(log 3) = 3/4: w^w = 3/4 w^r + 1/4 w^lu
    #   = 3/4 (0.4, 0.0, 0.6) + 1/4 (0, 1, 0) = (0.3, 0.25, 0.45).
    # Key tanh(artanh(0.6), artanh(0.8)) = (0.6, 0.8), of norm one, so
    # M = [(2, 0) + 0.3 k, 0 + 0.25 k, (0, 1) + 0.45 k]
    #   = [(2.18, 0.24), (0.15, 0.2), (0.27, 1.36)].
    memory = lrua(3, 2, heads=1, decay=0.9, strength=2.0, address_before_write=address_before_write)
    state = LruaState(
        jnp.array([[2.0, 0.0], [7.0, 7.0], [0.0, 1.0]]),
        jnp.array([[0.4, 0.0, 0.6]]),
        jnp.array([0.5, 0.2, 0.9]),
    )
    numbers = jnp.array([np.arctanh(0.6), np.arctanh(0.8), np.log(3.0)])
    new, read, access = jax.jit(memory.step)(state, numbers)

    np.testing.assert_allclose(access.write, [[0.3, 0.25, 0.45]], rtol=1e-12)
    written = np.array([[2.18, 0.24], [0.15, 0.2], [0.27, 1.36]])
    np.testing.assert_allclose(new.memory, written, rtol=1e-12)
    # Cosines with the key (0.6, 0.8); the smallest square of a norm, 1e-6, is added to both.
    if address_before_write:
        dots, squares = np.array([1.2, 9.8, 0.8]), np.array([4.0, 98.0, 1.0])
    else:
        dots, squares = np.array([1.5, 0.25, 1.25]), np.array([4.81, 0.0625, 1.9225])
    w_r = softmax(2.0 * dots / np.sqrt(squares + 1e-6) / np.sqrt(1 + 1e-6))
    np.testing.assert_allclose(access.read[0], w_r, rtol=1e-12)
    np.testing.assert_allclose(read, w_r @ written, rtol=1e-12)
    usage = [0.45 + w_r[0] + 0.3, 0.18 + w_r[1] + 0.25, 0.81 + w_r[2] + 0.45]
    np.testing.assert_allclose(new.usage, usage, rtol=1e-12)
    np.testing.assert_allclose(new.read, access.read)


def test_two_heads_write_to_the_two_least_used_slots_and_one_is_wiped(x64):
    memory = lrua(4, 1, heads=2, decay=1.0)
    state = LruaState(jnp.ones((4, 1)), jnp.eye(4)[:2], jnp.array([3.0, 1.0, 2.0, 0.5]))
    closed = -jnp.full(2, 1e3)  # Gates at zero: nothing goes where was read last.
    new, _, access = jax.jit(memory.step)(state, jnp.concatenate([jnp.array([20.0, 20.0]), closed]))
    np.testing.assert_array_equal(access.write, [[0, 1, 0, 1], [0, 1, 0, 1]])
    np.testing.assert_allclose(new.memory[:, 0], [1, 1 + 2, 1, 0 + 2], rtol=1e-12)


def test_a_read_alone_writes_nothing_and_finds_what_was_written(x64):
    memory = lrua(5, 3, heads=1)
    state = memory.start(jnp.float64)
    np.testing.assert_array_equal(state.memory, np.full((5, 3), 1e-6))
    np.testing.assert_array_equal(state.usage, [1, 0, 0, 0, 0])
    key = jnp.array([2.0, -2.0, 0.5, -30.0])
    state, _, _ = jax.jit(memory.step)(state, key)
    read = jax.jit(memory.read)(state, key)
    weights = softmax(np.array([0.0, 1.0, 0.0, 0.0, 0.0]))  # Slot 1 holds the key itself.
    np.testing.assert_allclose(read, weights[1] * np.tanh(key[:3]), rtol=1e-3)


def test_one_ntm_step_in_numpy(x64):
    slots, width = 5, 2
    memory = ntm(slots, width, heads=1)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=memory.n_numbers)
    before = rng.normal(size=(slots, width))
    places = softmax(rng.normal(size=(2, slots)))
    state = NtmState(jnp.asarray(before), jnp.asarray(places[:1]), jnp.asarray(places[1:]))
    new, read, access = jax.jit(memory.step)(state, jnp.asarray(numbers))

    def softplus(x):
        return np.log1p(np.exp(x))

    def address(m, place, part):
        key, (beta, gate), shift, gamma = np.tanh(part[:2]), part[2:4], softmax(part[4:7]), part[7]
        norms = np.sqrt((m**2).sum(1) + 1e-6) * np.sqrt((key**2).sum() + 1e-6)
        content = softmax(softplus(beta) * (m @ key) / norms)
        gate = 1 / (1 + np.exp(-gate))
        mixed = gate * content + (1 - gate) * place
        shifted = [
            sum(shift[j] * mixed[(i - by) % slots] for j, by in enumerate((-1, 0, 1)))
            for i in range(slots)
        ]
        sharp = np.array(shifted) ** (1 + softplus(gamma))
        return sharp / sharp.sum()

    write = address(before, places[1], numbers[:8])
    erase, add = 1 / (1 + np.exp(-numbers[16:18])), np.tanh(numbers[18:])
    after = before * (1 - np.outer(write, erase)) + np.outer(write, add)
    reading = address(after, places[0], numbers[8:16])
    np.testing.assert_allclose(access.write[0], write, rtol=1e-9)
    np.testing.assert_allclose(new.memory, after, rtol=1e-9)
    np.testing.assert_allclose(access.read[0], reading, rtol=1e-9)
    np.testing.assert_allclose(read, reading @ after, rtol=1e-9)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"slots must be at least the 4 heads, got 3\."):
        lrua(3, 2)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\], got 1\.5\."):
        lrua(decay=1.5)
    with pytest.raises(ValueError, match=r"strength must be > 0, got 0\."):
        lrua(strength=0)
    with pytest.raises(ValueError, match=r"width must be >= 1, got 0\."):
        ntm(width=0)


def test_gradients_are_finite_in_a_wiped_memory():
    memory = lrua(4, 3, heads=2)

    def step(state, numbers):
        state, read, _ = memory.step(state, numbers)
        return state, read

    def total(numbers):
        return jax.lax.scan(step, memory.start(jnp.float32), numbers)[1].sum()

    grads = jax.jit(jax.grad(total))(0.1 * jnp.ones((6, memory.n_numbers)))
    assert np.isfinite(grads).all() and np.abs(grads).max() < 1e3
