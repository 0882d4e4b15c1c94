"""Reptile's minibatches are of valid rows alone."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.learners.gradient._reptile import _minibatches


def test_every_epoch_has_each_valid_row_once():
    is_valid = jnp.array([True, False, True, True, False])
    seen = set()
    for seed in range(8):
        rows = _minibatches(jax.random.key(seed), is_valid, 2, 3)
        assert rows.shape == (3, 2)
        first, second = np.asarray(rows).reshape(2, 3).tolist()
        assert sorted(first) == sorted(second) == [0, 2, 3]
        seen.add(tuple(first))
    assert len(seen) > 2  # The order is drawn anew.


def test_with_all_rows_valid_every_row_comes_once():
    rows = _minibatches(jax.random.key(0), jnp.ones(4, bool), 2, 2)
    assert sorted(np.asarray(rows).ravel().tolist()) == [0, 1, 2, 3]
