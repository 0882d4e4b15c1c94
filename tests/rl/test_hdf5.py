import jax
import numpy as np
import pytest

from jaxmeta import rl

h5py = pytest.importorskip("h5py", reason="needs the extra `hdf5`")
RNG = np.random.default_rng(0)
OBSERVATIONS, ACTIONS = RNG.normal(size=(7, 3)), RNG.uniform(-1, 1, size=(7, 2))
REWARDS = np.arange(1.0, 8.0)
TERMINALS = np.array([0, 0, 1, 0, 0, 0, 0], bool)
TIMEOUTS = np.array([0, 0, 0, 0, 1, 0, 0], bool)


def d4rl(path, **changes):
    arrays = {
        "observations": OBSERVATIONS,
        "actions": ACTIONS,
        "rewards": REWARDS,
        "terminals": TERMINALS,
        "timeouts": TIMEOUTS,
    } | changes
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path


def test_a_file_of_d4rl(tmp_path):
    data = rl.read_hdf5(d4rl(tmp_path / "hopper.hdf5"))
    # Episodes of 3 and 2 steps; the two steps after them have no end.
    assert data.length.tolist() == [3, 2]
    np.testing.assert_allclose(data.observation[0, :, :3], OBSERVATIONS[:3], rtol=1e-6)
    np.testing.assert_allclose(data.observation[1, :2, :3], OBSERVATIONS[3:5], rtol=1e-6)
    assert not data.observation[..., 3].any() and not data.observation[1, 2].any()
    np.testing.assert_allclose(data.action[1, :2], ACTIONS[3:5], rtol=1e-6)
    assert data.reward.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert data.asked.tolist() == [[6, 5, 3], [9, 5, 0]]
    buffer = rl.TrajectoryBuffer.filled(data, 4)
    drawn = buffer.sample(jax.random.key(0), n=50, length=2)
    assert set(np.unique(np.asarray(drawn.return_to_go[:, 0]))) == {6, 5, 3, 9}


def test_a_file_of_minari(tmp_path):
    path = tmp_path / "main_data.hdf5"
    with h5py.File(path, "w") as file:
        for number, (first, last) in enumerate([(0, 3), (3, 5)]):
            group = file.create_group(f"episode_{number}")
            group["observations"] = OBSERVATIONS[first : last + 1]  # One more than actions.
            group["actions"] = np.arange(first, last)
            group["rewards"] = REWARDS[first:last]
    data = rl.read_hdf5(path)
    assert data.length.tolist() == [3, 2] and data.action.tolist() == [[0, 1, 2], [3, 4, 0]]
    np.testing.assert_allclose(data.observation[1, :2, :3], OBSERVATIONS[3:5], rtol=1e-6)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"actions": None}, "has no actions in /, only"),
        ({"actions": ACTIONS[:5]}, "has arrays of 7, 5, 7, 7 steps"),
        ({"rewards": np.full(7, np.nan)}, "rewards of .* must be finite"),
        ({"terminals": np.zeros(7), "timeouts": None}, "no end of an episode among its 7 steps"),
        ({"observations": None}, "must have observations, actions, rewards and terminals, or"),
    ],
)
def test_damaged_files_are_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        rl.read_hdf5(d4rl(tmp_path / "file.hdf5", **changes))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file at"):
        rl.read_hdf5(tmp_path / "none.hdf5")
    (tmp_path / "text.hdf5").write_text("nothing")
    with pytest.raises(ValueError, match="is no HDF5 file"):
        rl.read_hdf5(tmp_path / "text.hdf5")
