"""Offline data sets in HDF5 files, in the layouts of D4RL and of Minari.

Fu, Kumar, Nachum, Tucker & Levine, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning",
2020, https://arxiv.org/abs/2004.07219: flat arrays, in which `terminals` and `timeouts` mark the
ends of episodes. Minari (https://minari.farama.org): a group `episode_0`, `episode_1`, ... each.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxmeta.rl._buffer import Trajectory


def read_hdf5(path: str | Path) -> Trajectory:
    """Whole trajectories `[N, T, ...]` for `rl.TrajectoryBuffer.filled`, T that of the longest.

    A zero is appended to each observation, as `rl.online_decision_transformer` reads whether an
    episode has just ended there. What was achieved counts as what was asked for. Steps after the
    last end of an episode, whose end was not recorded, are left out.

    Args:
      path: a file with `observations`, `actions`, `rewards`, `terminals` and maybe `timeouts`, as
        D4RL has it, or with groups `episode_0` and so on, as Minari has it.

    Raises:
      ImportError: the extra `hdf5` is not installed.
      FileNotFoundError: there is no such file.
      ValueError: it has neither layout, its arrays have different lengths, a number is not
        finite, or no episode ends.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("read_hdf5 needs h5py: pip install 'jaxmeta[hdf5]'.") from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file at {path}.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file: {error}") from error
    with file:
        if "observations" in file:
            episodes = _flat(path, file)
        elif "episode_0" in file:
            episodes = _groups(path, file)
        else:
            raise ValueError(
                f"{path} must have observations, actions, rewards and terminals, or groups "
                f"episode_0 and so on, got {sorted(file)}."
            )
    return _padded(episodes)


def _array(path, group, name):
    if name not in group:
        raise ValueError(f"{path} has no {name} in {group.name}, only {sorted(group)}.")
    values = np.asarray(group[name])
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} of {path} must hold numbers, got {values.dtype}.")
    if not np.isfinite(values.astype(np.float64)).all():
        raise ValueError(f"{name} of {path} must be finite.")
    return values


def _flat(path, file):
    observations, actions, rewards, terminals = (
        _array(path, file, name) for name in ("observations", "actions", "rewards", "terminals")
    )
    ends = terminals.astype(bool)
    if "timeouts" in file:
        ends = ends | _array(path, file, "timeouts").astype(bool)
    _same_length(path, observations, actions, rewards, ends)
    last = np.flatnonzero(ends) + 1
    if not len(last):
        raise ValueError(f"{path} has no end of an episode among its {len(ends)} steps.")
    first = [0, *last[:-1]]
    return [
        (observations[a:b], actions[a:b], rewards[a:b]) for a, b in zip(first, last, strict=True)
    ]


def _groups(path, file):
    episodes: list[tuple] = []
    while f"episode_{len(episodes)}" in file:
        group = file[f"episode_{len(episodes)}"]
        observations, actions, rewards = (
            _array(path, group, name) for name in ("observations", "actions", "rewards")
        )
        # With the last observation, after which nothing was done, or without it.
        observations = observations[: len(actions)]
        _same_length(path, observations, actions, rewards)
        episodes.append((observations, actions, rewards))
    return episodes


def _same_length(path, *arrays):
    if len({len(array) for array in arrays}) != 1:
        raise ValueError(f"{path} has arrays of {', '.join(str(len(a)) for a in arrays)} steps.")


def _padded(episodes):
    lengths = [len(rewards) for *_, rewards in episodes]
    longest = max(lengths)

    def stacked(arrays, dtype):
        shape = (len(arrays), longest, *arrays[0].shape[1:])
        rows = np.zeros(shape, dtype)
        for row, array in zip(rows, arrays, strict=True):
            row[: len(array)] = array
        return jnp.asarray(rows)

    observations, actions, rewards = zip(*episodes, strict=True)
    rows = [np.pad(part.reshape(len(part), -1), ((0, 0), (0, 1))) for part in observations]
    to_go = [np.cumsum(row[::-1].astype(np.float64))[::-1] for row in rewards]
    is_discrete = actions[0].dtype.kind in "biu"
    return Trajectory(
        stacked(rows, np.float32),
        stacked(actions, np.int32 if is_discrete else np.float32),
        stacked(rewards, np.float32),
        stacked(to_go, np.float32),
        jnp.asarray(lengths, jnp.int32),
    )
