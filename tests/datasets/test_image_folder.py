import os

import jax
import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets, tasks
from jaxmeta.datasets import _decoded, image_folder


def write(path, level, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6), level, np.uint8)).save(path, kind)


@pytest.fixture
def folder(tmp_path):
    """Image r of class c is all 10 c + r."""
    for c in range(10):
        for r in range(3):
            write(tmp_path / "data" / f"c{c}" / f"{r}.png", 10 * c + r)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def levels(split):
    return {
        name: part[:, 0, 0, 0].tolist()
        for name, part in zip(
            split.class_names, np.split(split.images, np.cumsum(split.counts)[:-1]), strict=True
        )
    }


def test_classes_are_drawn_with_all_their_pictures(folder):
    splits = image_folder(folder, image_size=4)
    assert [split.n_classes for split in splits] == [6, 2, 2]
    assert splits.meta_train.images.shape == (18, 4, 4, 3)
    found = {name: told for split in splits for name, told in levels(split).items()}
    assert found == {f"c{c}": [10 * c, 10 * c + 1, 10 * c + 2] for c in range(10)}
    # The draw is that of NumPy's generator over the sorted names.
    order = [f"c{c}" for c in np.random.default_rng(0).permutation(10)]
    assert [*splits.meta_train.class_names, *splits.meta_val.class_names] == order[:8]
    again = image_folder(folder, image_size=4, split_sizes=(3, 1, 1), seed=5)
    order = [f"c{c}" for c in np.random.default_rng(5).permutation(10)]
    assert [split.class_names for split in again] == [
        tuple(order[:3]),
        (order[3],),
        (order[4],),
    ]
    episode = tasks.episodes(splits.meta_train, n_way=3, k_shot=1, q_queries=2)(jax.random.key(0))
    assert episode.query.x.shape == (6, 4, 4, 3)


def test_the_drawn_classes_can_be_streamed(folder):
    lists = datasets.draw_classes(datasets.image_files(folder, image_size=4).class_names)
    splits = image_folder(folder, image_size=4)
    for split, names in zip(splits, lists, strict=True):
        rows = datasets.image_files(folder, image_size=4, classes=names)
        assert rows.class_names == split.class_names == tuple(names)
        np.testing.assert_array_equal(
            np.stack([rows[i] for i in range(sum(rows.counts))]), split.images
        )


def test_splits_that_are_given(tmp_path):
    for split, name, level in (
        ("train", "b", 1),
        ("train", "a", 2),
        ("valid", "c", 3),
        ("test", "d/deep", 4),
        (".git", "e", 5),
    ):
        write(tmp_path / "data" / split / name / "1.png", level)
    splits = image_folder(tmp_path / "data", image_size=6, grey=True)
    assert [levels(split) for split in splits] == [
        {"a": [2], "b": [1]},
        {"c": [3]},
        {"d/deep": [4]},
    ]
    assert splits.meta_val.images.shape == (1, 6, 6, 1)
    with pytest.raises(ValueError, match="split_sizes must be None where"):
        image_folder(tmp_path / "data", split_sizes=(1, 1, 1))
    with pytest.raises(ValueError, match="holds splits, not classes: give one of its folders"):
        datasets.image_files(tmp_path / "data", image_size=6)
    write(tmp_path / "data" / "other" / "e" / "1.png", 0)
    with pytest.raises(ValueError, match="no other folders, or classes alone, but has other"):
        image_folder(tmp_path / "data")
    os.rename(tmp_path / "data" / "other", tmp_path / "data" / "val")
    with pytest.raises(ValueError, match=r"val and .*valid are both meta_val: keep one"):
        image_folder(tmp_path / "data")


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="image_size must be >= 1, got 0"):
        image_folder(folder, image_size=0)
    for sizes in ((9, 1, 1), (5, 0, 1), (5, 5)):
        with pytest.raises(ValueError, match="three numbers >= 1 that add up to at most the 10"):
            image_folder(folder, split_sizes=sizes)
    write(tmp_path / "one" / "train" / "a" / "1.png", 0)
    write(tmp_path / "one" / "test" / "a" / "1.png", 0)
    with pytest.raises(ValueError, match="lacks that of meta_val"):
        image_folder(tmp_path / "one")
    write(tmp_path / "one" / "val" / "b" / "1.png", 0)
    with pytest.raises(ValueError, match="disjoint, but class 'a' stands in two"):
        image_folder(tmp_path / "one")
    write(tmp_path / "two" / "a" / "1.png", 0)
    write(tmp_path / "two" / "b" / "1.png", 0)
    with pytest.raises(ValueError, match="three splits need 3 classes or more, got 2"):
        image_folder(tmp_path / "two")
    whole = (folder / "c3" / "1.png").read_bytes()
    (folder / "c3" / "1.png").write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"c3/1\.png is not a readable image"):
        image_folder(folder)


def test_pictures_are_decoded_once_while_their_contents_stay(folder, cache, monkeypatch):
    decodings = []
    picture = _decoded.picture

    def counted(*arguments, **settings):
        decodings.append(settings["name"])
        return picture(*arguments, **settings)

    monkeypatch.setattr(_decoded, "picture", counted)
    first = image_folder(folder, image_size=4)
    assert len(decodings) == 30 and len(list(cache.iterdir())) == 1
    # Neither another place nor another date makes a difference.
    os.rename(folder, folder.parent / "moved")
    os.utime(folder.parent / "moved" / "c0" / "0.png", (1, 1))
    again = image_folder(folder.parent / "moved", image_size=4)
    assert len(decodings) == 30
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    # The same size and date, but another content.
    path = folder.parent / "moved" / "c0" / "0.png"
    stamp = path.stat()
    write(path, 200)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    changed = image_folder(folder.parent / "moved", image_size=4)
    assert len(decodings) == 60
    assert {name: told for split in changed for name, told in levels(split).items()}["c0"][0] == 200
    image_folder(folder.parent / "moved", image_size=5)
    image_folder(folder.parent / "moved", image_size=4, grey=True)
    assert len(decodings) == 120 and len(list(cache.iterdir())) == 4
