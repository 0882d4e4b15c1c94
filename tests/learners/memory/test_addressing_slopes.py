"""Values and derivatives at the edge of the floats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.learners.memory import ntm
from jaxmeta.learners.memory._addressing import cosines


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("sharpening", [0.0, 200.0])
def test_sharp_addresses_of_a_turing_machine_are_finite(dtype, sharpening):
    slots, width, heads = 5, 2, 1
    memory = ntm(slots, width, heads=heads)
    # After width numbers of the key come strength, gate, three shifts and the sharpening.
    places = [width + 5, 2 * (width + 6) - 1]
    numbers = jnp.zeros(memory.n_numbers, dtype).at[jnp.array(places)].set(sharpening)

    def read(numbers):
        _, read, access = memory.step(memory.start(dtype), numbers)
        return jnp.sum(read), access

    (_, access), slope = jax.value_and_grad(read, has_aux=True)(numbers)
    assert np.isfinite(slope.astype(float)).all()
    np.testing.assert_allclose(access.write.astype(float).sum(), 1, rtol=1e-3)
    if sharpening:
        # Shifted by -1, 0 or 1 with 1/3 each, three slots share the start's weight evenly.
        np.testing.assert_allclose(
            access.write[0].astype(float), [1 / 3, 1 / 3, 0, 0, 1 / 3], atol=0.2
        )


def test_cosines_of_a_zero_slot_have_finite_slopes_in_float16():
    # In float16 the derivative of the inverse norm there, 1e-6^(-3/2) / 2, is infinite.
    keys, memory = jnp.array([[0.5, 1.0]], "float16"), jnp.zeros((2, 2), "float16")
    slope = jax.grad(lambda memory: jnp.sum(cosines(keys, memory)))(memory)
    expected = 1e3 * np.array([0.5, 1]) / np.sqrt(1.25)  # keys / |k| / sqrt(1e-6)
    np.testing.assert_allclose(slope.astype(float), [expected] * 2, rtol=0.01)
