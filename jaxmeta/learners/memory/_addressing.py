"""External memories: where a controller's keys are written, and what they bring back.

Santoro et al. 2016, equations 2 to 8 and 20 to 24 (least recently used access), and Graves, Wayne &
Danihelka, "Neural Turing Machines", 2014, https://arxiv.org/abs/1410.5401, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least

# Where an unwritten or wiped slot has no direction: its cosine is nearly zero, and so is the
# derivative's danger (at most 1000, where an exact norm has no bound).
SMALLEST_SQUARE = 1e-6
FIRST_CONTENT = 1e-6


class ExternalMemory(NamedTuple):
    """`slots` vectors of `width` numbers, with several heads."""

    n_numbers: int  # what a step needs from the controller
    n_reads: int  # heads * width
    start: Callable[[Any], Any]  # (dtype) -> state, the memory wiped
    step: Callable[[Any, jax.Array], tuple[Any, jax.Array, "Access"]]
    # (state, numbers) -> (state, read [n_reads], access): writes, then reads
    read: Callable[[Any, jax.Array], jax.Array]  # (state, numbers) -> read, nothing is written


class Access(NamedTuple):
    """Weights over the slots in one step."""

    read: jax.Array  # [heads, slots]
    write: jax.Array  # [heads, slots]


class LruaState(NamedTuple):
    """Memory and what the next step's writing depends on."""

    memory: jax.Array  # [slots, width]
    read: jax.Array  # w^r, [heads, slots]
    usage: jax.Array  # w^u, [slots]


def lrua(
    slots: int = 128,
    width: int = 40,
    *,
    heads: int = 4,
    decay: float = 0.99,
    strength: float = 1.0,
    address_before_write: bool = False,
) -> ExternalMemory:
    """Least recently used access: a key is written to the last read or the least used slots.

    With a key `k` and a gate `alpha` per head from the controller, in this order:

        w^lu_{t-1}(i) = 1 in the `heads` slots with the smallest w^u_{t-1} (ties: the first), else 0
        w^w_t = sigmoid(alpha_t) w^r_{t-1} + (1 - sigmoid(alpha_t)) w^lu_{t-1}
        M_t = M_{t-1}, zero in the one least used slot, + sum over heads of w^w_t k_t
        w^r_t(i) = softmax_i strength cos(k_t, M(i)),     r_t = sum_i w^r_t(i) M_t(i)
        w^u_t = decay w^u_{t-1} + sum over heads of (w^r_t + w^w_t)

    Args:
      slots, width, heads: of the memory; the paper's are 128, 40 and 4.
      decay: of the usage, in `[0, 1]`.
      strength: factor of the cosines. At the paper's 1 the best of 128 slots has a weight of 0.06
        at most.
      address_before_write: which M the keys are compared with: `M_t`, as equation 2 is written and
        as one well-known implementation does, or, True, `M_{t-1}`, as another does: then a key
        cannot find itself. The contents read are those of `M_t` either way.

    The memory starts at 1e-6, `w^r` and `w^u` at the first slot.

    Raises:
      ValueError: a size is below 1, `slots` is below `heads`, `decay` is not in `[0, 1]`, or
        `strength` is not positive.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.learners import memory
      >>> controller = memory.lstm(5)
      >>> learner = jaxmeta.mann(memory=memory.lrua(6, 4, heads=2), controller=controller)
    """
    at_least(1, slots=slots, width=width, heads=heads)
    if slots < heads:
        raise ValueError(f"slots must be at least the {heads} heads, got {slots}.")
    if not strength > 0:
        raise ValueError(f"strength must be > 0, got {strength}.")
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], got {decay}.")

    def start(dtype: Any) -> Any:
        first = jnp.zeros(slots, dtype).at[0].set(1)
        return LruaState(
            jnp.full((slots, width), FIRST_CONTENT, dtype), jnp.tile(first, (heads, 1)), first
        )

    def keys_of(numbers: jax.Array) -> jax.Array:
        return jnp.tanh(numbers[: heads * width].reshape(heads, width))

    def weights(keys: jax.Array, memory: jax.Array) -> jax.Array:
        return jax.nn.softmax(strength * cosines(keys, memory))

    def step(state: Any, numbers: jax.Array) -> tuple[Any, jax.Array, Access]:
        keys, alpha = keys_of(numbers), jax.nn.sigmoid(numbers[heads * width :])[:, None]
        least_used = jax.lax.top_k(-state.usage, heads)[1]
        w_lu = jnp.zeros_like(state.usage).at[least_used].set(1)
        w_w = alpha * state.read + (1 - alpha) * w_lu[None]
        memory = state.memory.at[least_used[0]].set(0) + w_w.T @ keys
        addressed = state.memory if address_before_write else memory
        w_r = weights(keys, addressed)
        usage = decay * state.usage + jnp.sum(w_r + w_w, axis=0)
        return LruaState(memory, w_r, usage), (w_r @ memory).ravel(), Access(w_r, w_w)

    def read(state: Any, numbers: jax.Array) -> jax.Array:
        return (weights(keys_of(numbers), state.memory) @ state.memory).ravel()

    return ExternalMemory(heads * (width + 1), heads * width, start, step, read)


class NtmState(NamedTuple):
    """Memory and the weights that the next step's shifts start from."""

    memory: jax.Array  # [slots, width]
    read: jax.Array  # [heads, slots]
    write: jax.Array  # [1, slots]


def ntm(slots: int = 128, width: int = 40, *, heads: int = 4) -> ExternalMemory:
    """The addressing of neural Turing machines, by content and by location: a baseline.

    Every head interpolates between content and its last place, shifts by -1, 0 or 1 and sharpens.
    One head writes, by erasing and adding, before `heads` others read.

    Raises:
      ValueError: a size is below 1.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.learners import memory
      >>> controller = memory.lstm(5)
      >>> learner = jaxmeta.mann(memory=memory.ntm(6, 4, heads=2), controller=controller)
    """
    at_least(1, slots=slots, width=width, heads=heads)
    per_head = width + 6  # Key, strength, gate, three shifts, sharpening.

    def start(dtype: Any) -> Any:
        first = jnp.zeros((1, slots), dtype).at[0, 0].set(1)
        memory = jnp.full((slots, width), FIRST_CONTENT, dtype)
        return NtmState(memory, jnp.tile(first, (heads, 1)), first)

    def address(memory: jax.Array, before: Any, numbers: jax.Array) -> jax.Array:
        """Weights `[heads, slots]` from numbers `[heads, per_head]`."""
        keys = jnp.tanh(numbers[:, :width])
        strength, gate, sharpening = (numbers[:, width + i, None] for i in (0, 1, 5))
        content = jax.nn.softmax(jax.nn.softplus(strength) * cosines(keys, memory))
        gate = jax.nn.sigmoid(gate)
        weights = gate * content + (1 - gate) * before
        shifts = jax.nn.softmax(numbers[:, width + 2 : width + 5])
        rolled = jnp.stack([jnp.roll(weights, by, axis=1) for by in (-1, 0, 1)], axis=1)
        weights = jnp.sum(shifts[..., None] * rolled, axis=1)
        # The derivative of a power of zero is not finite; float16 has no number as small as 1e-12.
        weights = weights + max(1e-12, float(jnp.finfo(weights.dtype).tiny))
        # The largest of them is one: a high power of small weights would be zero, and so their sum.
        weights = weights / jax.lax.stop_gradient(jnp.max(weights, axis=1, keepdims=True))
        weights = weights ** (1 + jax.nn.softplus(sharpening))
        return weights / jnp.sum(weights, axis=1, keepdims=True)

    def split(numbers: jax.Array) -> tuple:
        heads_numbers = numbers[: (heads + 1) * per_head].reshape(heads + 1, per_head)
        erase, add = numbers[(heads + 1) * per_head :].reshape(2, width)
        return heads_numbers[:1], heads_numbers[1:], jax.nn.sigmoid(erase), jnp.tanh(add)

    def step(state: Any, numbers: jax.Array) -> tuple[Any, jax.Array, Access]:
        writing, reading, erase, add = split(numbers)
        write = address(state.memory, state.write, writing)
        memory = state.memory * (1 - jnp.outer(write[0], erase)) + jnp.outer(write[0], add)
        weights = address(memory, state.read, reading)
        return NtmState(memory, weights, write), (weights @ memory).ravel(), Access(weights, write)

    def read(state: Any, numbers: jax.Array) -> jax.Array:
        _, reading, _, _ = split(numbers)
        return (address(state.memory, state.read, reading) @ state.memory).ravel()

    return ExternalMemory((heads + 1) * per_head + 2 * width, heads * width, start, step, read)


def no_memory() -> ExternalMemory:
    """None at all, which leaves the plain controller: a baseline.

    Example:
      >>> import jaxmeta
      >>> from jaxmeta.learners import memory
      >>> controller = memory.lstm(5)
      >>> learner = jaxmeta.mann(memory=memory.no_memory(), controller=controller)
    """

    def nothing(numbers: jax.Array) -> jax.Array:
        return jnp.zeros(0, numbers.dtype)

    def start(dtype: Any) -> Any:
        del dtype
        return ()

    def step(state: Any, numbers: jax.Array) -> tuple[Any, jax.Array, Access]:
        none = jnp.zeros((0, 0), numbers.dtype)
        return state, nothing(numbers), Access(none, none)

    return ExternalMemory(0, 0, start, step, lambda state, numbers: nothing(numbers))


def cosines(keys: jax.Array, memory: jax.Array) -> jax.Array:
    """Cosine similarity of each key `[heads, width]` with each slot: `[heads, slots]`."""

    def inverse_norms(rows: jax.Array) -> jax.Array:
        # In float16 the derivative at a zero row, 5e8, would be infinite.
        wide = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
        return jax.lax.rsqrt(jnp.sum(jnp.square(wide), axis=1) + SMALLEST_SQUARE)

    products = (keys @ memory.T) * inverse_norms(keys)[:, None] * inverse_norms(memory)[None]
    return products.astype(jnp.result_type(keys, memory))
