"""Rows that are no pictures keep their values and dtype in every kind of episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import datasets, tasks
from jaxmeta.datasets import ClassData

# Row r of class c is (10 c + r, 200), as a sentence of two tokens.
IDS = np.stack([10 * np.repeat(np.arange(4), 3) + np.tile(np.arange(3), 4), np.full(12, 200)], 1)


def tokens(dtype):
    return ClassData(IDS.astype(dtype), np.full(4, 3), tuple("abcd"), as_image=False)


def told(x):
    """Every row is one of those that were written, whole."""
    x = np.asarray(x)
    assert x.shape[-1] == 2 and set(x[:, 1].tolist()) == {200}
    assert set(x[:, 0].tolist()) <= set(IDS[:, 0].tolist())
    return x[:, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, jnp.bfloat16, np.float32])
def test_episodes_and_streams(dtype):
    data = tokens(dtype)
    expected = jnp.asarray(IDS.astype(dtype)).dtype
    episode = jax.jit(tasks.episodes(data, n_way=3, k_shot=1, q_queries=2))(jax.random.key(0))
    assert episode.support.x.dtype == episode.query.x.dtype == expected
    np.testing.assert_array_equal(
        told(episode.query.x) // 10, np.repeat(told(episode.support.x) // 10, 2)
    )
    ragged = jax.jit(tasks.episodes(data, n_way=(2, 4), k_shot=(1, 2), q_queries=1))
    support = ragged(jax.random.key(0)).support
    assert support.x.dtype == expected
    told(support.x[support.is_valid])
    assert (support.x[~support.is_valid] == 0).all()
    stream = jax.jit(tasks.streams(data, n_way=2, per_class=3))(jax.random.key(0))
    assert stream.x.dtype == expected
    assert len(set(told(stream.x))) == 6


def test_without_the_flag_uint8_is_a_picture_and_int32_is_not():
    flag = {"n_way": 2, "k_shot": 1, "q_queries": 1}
    picture = ClassData(IDS.astype(np.uint8), np.full(4, 3), tuple("abcd"))
    x = tasks.episodes(picture, **flag)(jax.random.key(0)).support.x
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x[:, 1], 200 / 255)
    ids = ClassData(IDS.astype(np.int32), np.full(4, 3), tuple("abcd"))
    told(tasks.episodes(ids, **flag)(jax.random.key(0)).support.x)


def test_ids_are_not_bent():
    ids = ClassData(np.zeros((6, 4, 4, 1), np.int32), np.array([3, 3]), ("a", "b"))
    with pytest.raises(ValueError, match="max_shift need images, uint8 or floating, got int32"):
        tasks.streams(ids, n_way=2, per_class=2, max_shift=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_from_disk(dtype, tmp_path):
    pytest.importorskip("grain")
    datasets.write_array_records(tokens(dtype), tmp_path / "records")
    rows = datasets.array_records(tmp_path / "records")
    np.testing.assert_array_equal(np.stack([rows[i] for i in range(12)]), IDS)
    # Their dtype says that these are no pictures, so ids of one byte get two.
    assert rows[0].dtype == {np.uint8: np.uint16}.get(dtype, dtype)
    loaded = tasks.episodes_from_disk(rows, n_way=3, k_shot=1, q_queries=2, seed=0)
    batch = loaded.prepare(jax.tree.map(lambda leaf: leaf[0], next(loaded.batches(0, 2))))
    assert batch.query.x.dtype == jnp.asarray(rows[0]).dtype
    np.testing.assert_array_equal(
        told(batch.query.x) // 10, np.repeat(told(batch.support.x) // 10, 2)
    )


class FarOut:
    """Ids beyond what a device holds."""

    counts, class_names = (2, 2), ("a", "b")

    def __getitem__(self, row):
        return np.array([2**31])


def test_ids_that_do_not_fit_are_refused():
    pytest.importorskip("grain")
    with pytest.raises(ValueError, match=r"fit into 32 bits, but row \d has others"):
        tasks.episodes_from_disk(FarOut(), n_way=2, k_shot=1, q_queries=1, seed=0)
