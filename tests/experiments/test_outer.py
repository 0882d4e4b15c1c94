"""The outer optimiser of a recipe against one step worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.experiments.outer import Outer


def step(outer, weight=2.0, grad=0.5):
    tx = outer.build()
    params = jnp.asarray(weight)
    updates, _ = tx.update(jnp.asarray(grad), tx.init(params), params)
    return float(params + updates)


@pytest.mark.parametrize(
    "outer, expected",
    [
        (Outer(optimiser="sgd", outer_lr=0.1), 2 - 0.1 * 0.5),
        (Outer(optimiser="sgd", outer_lr=0.1, weight_decay=0.01), 2 - 0.1 * (0.5 + 0.01 * 2)),
        # Adam's first step has the length of the rate, and the decay is none of its gradient's.
        (Outer(outer_lr=0.1, weight_decay=0.01), 2 - 0.1 * (1 + 0.01 * 2)),
        (Outer(outer_lr=0.1), 2 - 0.1),
    ],
)
def test_one_step(outer, expected):
    np.testing.assert_allclose(step(outer), expected, rtol=1e-6)


def test_a_negative_decay_is_refused():
    with pytest.raises(ValueError, match=r"weight_decay must be >= 0, got -0\.1"):
        Outer(weight_decay=-0.1).build()
