import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.learners.gradient import GradientParams
from jaxmeta.training.checkpoint import Checkpoints

TREE = GradientParams({"w": jnp.arange(3.0), "n": jnp.int32(4)}, (jnp.float32(0.1),))


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    jaxmeta.save(tmp_path / "params", TREE)
    back = jaxmeta.restore(tmp_path / "params", jax.tree.map(jnp.zeros_like, TREE))
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for ours, theirs in zip(jax.tree.leaves(TREE), jax.tree.leaves(back), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_is_overwritten(tmp_path):
    jaxmeta.save(tmp_path / "params", TREE)
    with pytest.raises(ValueError, match="already exists"):
        jaxmeta.save(tmp_path / "params", jax.tree.map(jnp.zeros_like, TREE))
    np.testing.assert_array_equal(jaxmeta.restore(tmp_path / "params", TREE).net["w"], [0, 1, 2])


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere"):
        jaxmeta.restore(tmp_path / "nowhere", TREE)


def test_another_shape_or_structure(tmp_path):
    jaxmeta.save(tmp_path / "params", {"w": jnp.zeros(3)})
    with pytest.raises(ValueError):
        jaxmeta.restore(tmp_path / "params", {"w": jnp.zeros(4)})
    with pytest.raises(ValueError):
        jaxmeta.restore(tmp_path / "params", {"v": jnp.zeros(3)})


def test_a_half_written_checkpoint_is_never_picked_up(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_last(10, TREE)
    checkpoints.save_last(20, jax.tree.map(lambda leaf: leaf + 1, TREE))
    checkpoints.close()
    folder = tmp_path / "checkpoints" / "last"
    # What a kill leaves behind: the folder without the rename that ends the writing.
    (folder / "20").rename(folder / "20.orbax-checkpoint-tmp")
    reopened = Checkpoints(tmp_path)
    assert reopened.last_step() == 10
    np.testing.assert_array_equal(reopened.restore_last(TREE).net["w"], [0, 1, 2])
    assert reopened.best_step() is None
    reopened.close()
