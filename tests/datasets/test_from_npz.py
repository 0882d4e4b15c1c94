import numpy as np
import pytest

from jaxmeta.datasets import from_npz

X = np.arange(10 * 2 * 2 * 1, dtype=np.uint8).reshape(10, 2, 2, 1)
Y = np.array([3, 3, 1, 1, 0, 0, 4, 4, 9, 9])
SPLIT = {"train_x": X[:6], "train_y": Y[:6], "val_x": X[6:8], "val_y": Y[6:8]} | {
    "test_x": X[8:],
    "test_y": Y[8:],
}


def written(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"


def test_splits_that_are_given(tmp_path):
    splits = from_npz(written(tmp_path, **SPLIT))
    assert [split.class_names for split in splits] == [("0", "1", "3"), ("4",), ("9",)]
    np.testing.assert_array_equal(splits.meta_train.images, X[[4, 5, 2, 3, 0, 1]])
    np.testing.assert_array_equal(splits.meta_test.images, X[8:])


def test_classes_that_are_drawn(tmp_path):
    path = written(tmp_path, x=X, y=Y.astype(str))
    splits = from_npz(path)
    assert sorted(name for split in splits for name in split.class_names) == list("01349")
    assert [split.n_classes for split in splits] == [3, 1, 1]
    for split in splits:
        for number, name in enumerate(split.class_names):
            np.testing.assert_array_equal(split.images[2 * number :][:2], X[Y == int(name)])
    assert len({from_npz(path, seed=seed).meta_test.class_names for seed in range(9)}) > 1


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": X}, "must hold the arrays x and y, or train_x, .*; it holds x"),
        ({"x": X, "y": Y[:9]}, r"x of .* must be \[rows, \*X\] with the 9 rows of y, got \[10, 2"),
        ({"x": X, "y": Y[:, None]}, r"y of .* one integer or string .* got int64 \[10, 1\]"),
        ({"x": X, "y": Y / 2}, "y of .* must be one integer or string for each row, got float64"),
        ({"x": X, "y": np.array([{}] * 10, object)}, "no .npz file of plain arrays: Object arrays"),
        ({"x": X[:2], "y": Y[:2]}, "three splits need 3 classes or more, got 1"),
        (SPLIT | {"test_y": Y[6:8]}, "splits must be disjoint, but class '4' stands in two"),
    ],
)
def test_what_does_not_fit(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        from_npz(written(tmp_path, **arrays))


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ValueError, match=r"mine\.npz is no \.npz file"):
        from_npz(tmp_path / "mine.npz")
    np.save(tmp_path / "mine.npy", X)
    with pytest.raises(ValueError, match=r"mine\.npy is no \.npz file"):
        from_npz(tmp_path / "mine.npy")
    with pytest.raises(ValueError, match="split_sizes is of a file with x and y"):
        from_npz(written(tmp_path, **SPLIT), split_sizes=(1, 1, 1))
