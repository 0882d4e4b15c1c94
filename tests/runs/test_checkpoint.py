import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.learners.gradient import GradientParams
from jaxmeta.runs import checkpoints as module
from jaxmeta.runs.checkpoints import Checkpoints

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


def state_after(step):
    return jax.tree.map(lambda leaf: leaf + step, TREE)


def save_in_turn(checkpoints, *steps):
    for step in steps:
        checkpoints.save_last(step, state_after(step), best={"b": jnp.ones(2)}, record={"at": step})
        checkpoints.wait()
    checkpoints.close()


def test_a_half_written_checkpoint_is_never_picked_up(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save_in_turn(checkpoints, 10, 20)
    folder = tmp_path / "checkpoints" / "last"
    # What a kill leaves behind: the folder without the rename that ends the writing.
    (folder / "20").rename(folder / "20.orbax-checkpoint-tmp")
    reopened = Checkpoints(tmp_path)
    assert reopened.last_step() == 10
    np.testing.assert_array_equal(reopened.restore_last(TREE).net["w"], [10, 11, 12])
    assert reopened.best_step() is None
    reopened.close()


def test_a_checkpoint_brings_state_best_and_record_back_and_the_last_two_stay(tmp_path):
    save_in_turn(Checkpoints(tmp_path), 10, 20, 30)
    assert {path.name for path in (tmp_path / "checkpoints" / "last").iterdir()} == {"20", "30"}
    found = Checkpoints(tmp_path).resume(TREE, {"b": jnp.zeros(2)})
    assert found.step == 30 and found.record == {"at": 30}
    np.testing.assert_array_equal(found.state.net["w"], [30, 31, 32])
    np.testing.assert_array_equal(found.best["b"], [1, 1])


def other_arrays(folder):
    """Whole in itself, but not what was saved: only the digest can tell."""
    shutil.rmtree(folder / "30" / "default")
    shutil.copytree(folder / "20" / "default", folder / "30" / "default")


def other_record(folder):
    path = folder / "30" / "run" / "metadata"
    path.write_text(path.read_text().replace('"at": 30', '"at": 31'))


def zeros(folder):
    for path in (folder / "30" / "default").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))


def no_files(folder):
    for path in (folder / "30").rglob("*"):
        if path.is_file():
            path.unlink()


def no_record(folder):
    shutil.rmtree(folder / "30" / "run")


@pytest.mark.parametrize("damage", [other_arrays, other_record, zeros, no_files, no_record])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    save_in_turn(Checkpoints(tmp_path), 20, 30)
    folder = tmp_path / "checkpoints" / "last"
    damage(folder)
    checkpoints = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match=r"step 30 in .* is damaged .* from the one before"):
        found = checkpoints.resume(TREE, {"b": jnp.zeros(2)})
    assert found.step == 20 and found.record == {"at": 20}
    np.testing.assert_array_equal(found.state.net["w"], [20, 21, 22])
    # Nothing is thrown away, and the run writes step 30 anew.
    assert (tmp_path / "checkpoints" / "damaged" / "last-30-0").is_dir()
    save_in_turn(checkpoints, 30)
    assert Checkpoints(tmp_path).resume(TREE).record == {"at": 30}


def test_a_state_of_another_shape_is_refused_and_left_alone(tmp_path):
    save_in_turn(Checkpoints(tmp_path), 20, 30)
    other = TREE._replace(net={"w": jnp.zeros(4), "n": jnp.int32(4)})
    with pytest.raises(ValueError, match=r"30 holds arrays of another structure .*'w'"):
        Checkpoints(tmp_path).resume(other)
    assert Checkpoints(tmp_path).resume(TREE).step == 30


def test_damaged_best_parameters_are_taken_from_the_last_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(20, {"b": jnp.ones(2)})
    save_in_turn(checkpoints, 20)
    shutil.rmtree(tmp_path / "checkpoints" / "best" / "20" / "default")
    checkpoints = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="the best parameters in .* are damaged"):
        best = checkpoints.restore_best({"b": jnp.zeros(2)})
    np.testing.assert_array_equal(best["b"], [1, 1])
    checkpoints.keep_best(20, best)  # As a resumed run does.
    checkpoints.close()
    np.testing.assert_array_equal(Checkpoints(tmp_path).restore_best(best)["b"], [1, 1])


def test_saving_waits_for_the_copy_alone(tmp_path, monkeypatch):
    """A disk that takes for ever; the step may then write over its state."""
    release, writing = threading.Event(), threading.Event()
    write = module._Writer._write

    def slow(self, *arguments):
        writing.set()
        release.wait(30)
        write(self, *arguments)

    monkeypatch.setattr(module._Writer, "_write", slow)
    checkpoints = Checkpoints(tmp_path)
    donate = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    state = state_after(0)
    for step in (10, 20, 30):
        checkpoints.save_last(step, state)
        state = donate(state)
        writing.wait(30)
    assert checkpoints.last_step() is None
    release.set()
    checkpoints.close()
    # 20 was out of date before its turn came.
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "last").iterdir()) == [
        "10",
        "30",
    ]
    np.testing.assert_array_equal(Checkpoints(tmp_path).restore_last(TREE).net["w"], [2, 3, 4])


def test_a_checkpoint_that_cannot_be_written_is_said_and_the_older_stay(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    save_in_turn(checkpoints, 10)
    checkpoints = Checkpoints(tmp_path)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "flush", full)
    checkpoints.save_last(20, state_after(20))
    with pytest.raises(OSError, match=r"step 20 could not be written .*No space left on device"):
        checkpoints.wait()
    checkpoints.close()
    assert Checkpoints(tmp_path).resume(TREE) is not None
