import numpy as np
import pytest

from jaxmeta.datasets import glyphs
from jaxmeta.datasets._glyphs import SCRIPTS, _characters, _class_images, _distinct


@pytest.fixture(scope="module")
def splits():
    return glyphs()


def test_sizes(splits):
    assert splits.meta_train.n_classes > 700
    assert splits.meta_val.n_classes > 40
    assert splits.meta_test.n_classes > 300
    for split in splits:
        assert split.images.shape == (20 * split.n_classes, 28, 28, 1)
        assert split.images.dtype == np.uint8
        assert (split.counts == 20).all()


def test_every_image_has_ink_within_the_frame(splits):
    for split in splits:
        assert (split.images.max((1, 2, 3)) > 128).all()
        ink = split.images.mean((1, 2, 3)) / 255
        assert ink.min() > 0.002 and ink.max() < 0.5


def test_splits_are_disjoint_by_script_and_by_look(splits):
    scripts = [{name.split()[0] for name in split.class_names} for split in splits]
    assert scripts == [set(SCRIPTS[split]) for split in ("meta_train", "meta_val", "meta_test")]
    # The capital A of three scripts is one class, and it is not in training.
    assert "LATIN CAPITAL LETTER A" not in splits.meta_train.class_names
    assert "CYRILLIC CAPITAL LETTER A" not in splits.meta_train.class_names
    assert "GREEK CAPITAL LETTER ALPHA" in splits.meta_test.class_names
    assert "LATIN CAPITAL LETTER G" in splits.meta_train.class_names


def test_rendering_is_the_same_each_time(splits):
    fonts = _characters()["\N{GREEK SMALL LETTER LAMDA}"]
    again = _class_images("\N{GREEK SMALL LETTER LAMDA}", _distinct("λ", fonts))
    position = splits.meta_test.class_names.index("GREEK SMALL LETTER LAMDA")
    np.testing.assert_array_equal(splits.meta_test.images[20 * position :][:20], again)


def test_images_of_a_class_differ(splits):
    first = splits.meta_train.images[:20].reshape(20, -1)
    assert len(np.unique(first, axis=0)) == 20


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch):
    few = {
        "images": np.zeros((3, 20, 28, 28, 1), np.uint8),
        "class_names": np.array(["a", "b", "c"]),
        "splits": np.array(["meta_train", "meta_val", "meta_test"]),
    }
    monkeypatch.setattr("jaxmeta.datasets._glyphs._render_all", lambda: few)
    glyphs(cache_dir=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged .* it is made again"):
        assert glyphs(cache_dir=tmp_path).meta_val.class_names == ("b",)
    assert glyphs(cache_dir=tmp_path).meta_test.n_classes == 1
