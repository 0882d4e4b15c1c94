"""Builders of tensorflow-datasets, with data that its own writers prepare here."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.datasets import _tfds_rows

tfds = pytest.importorskip("tensorflow_datasets", reason="needs the extra `tfds`")
pytest.importorskip("array_record")
pytestmark = pytest.mark.filterwarnings("ignore")  # Of tensorflow-datasets, about itself.

SETTINGS = tfds.download.DownloadConfig(try_download_gcs=False)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepare(name, folder, examples_of_split):
    """Runs the builder of that name over examples of ours in place of its downloads."""
    builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    generators = {split: iter(rows) for split, rows in examples_of_split.items()}
    builder._split_generators = lambda dl_manager: generators
    builder.download_and_prepare(download_config=SETTINGS)


def file(image, kind="PNG", **settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    content.seek(0)
    return content


def told(splits):
    return {
        name: sorted(part[:, 0, 0, 0].tolist())
        for split in splits
        for name, part in zip(
            split.class_names, np.split(split.images, np.cumsum(split.counts)[:-1]), strict=True
        )
    }


def test_quickdraw_bitmaps_in_the_published_split(tmp_path):
    """`quickdraw_bitmap`: 345 classes of grey drawings, of which it has one split."""
    names = tfds.builder("quickdraw_bitmap", data_dir=tmp_path).info.features["label"].names
    level = {name: c % 250 for c, name in enumerate(names)}

    def drawings():  # As files: tensorflow-datasets encodes arrays by tensorflow.
        for c, name in enumerate(names):
            for r in range(2):
                content = file(Image.fromarray(np.full((28, 28), level[name] + r, np.uint8)))
                yield f"{c}-{r}", {"image": content, "label": c}

    prepare("quickdraw_bitmap", tmp_path, {"train": drawings()})
    lists = datasets.class_lists("quickdraw")
    splits = datasets.from_tfds(
        "quickdraw_bitmap", image_size=28, grey=True, classes=lists, data_dir=tmp_path
    )
    assert [split.class_names for split in splits] == [tuple(names) for names in lists]
    assert splits.meta_test.images.shape == (104, 28, 28, 1)
    assert told(splits) == {name: [level[name], level[name] + 1] for name in names}


def test_flowers_pooled_and_drawn(tmp_path):
    """`oxford_flowers102`: photographs in three splits of the same classes, some of them turned."""
    names = tfds.builder("oxford_flowers102", data_dir=tmp_path).info.features["label"].names
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees

    def photographs(split):
        for c in range(len(names)):
            pixels = np.zeros((16, 16, 3), np.uint8)
            pixels[8:] = c  # Upright, the upper half shows the class.
            content = file(Image.fromarray(pixels), "JPEG", quality=100, exif=turned)
            yield f"{split}{c}", {"image": content, "label": c, "file_name": f"{split}{c}"}

    prepare(
        "oxford_flowers102",
        tmp_path,
        {split: photographs(split) for split in ("train", "test", "validation")},
    )
    splits = datasets.from_tfds(
        "oxford_flowers102", image_size=2, split_sizes=(60, 20, 20), seed=4, data_dir=tmp_path
    )
    assert [split.n_classes for split in splits] == [60, 20, 20]
    assert all((split.counts == 3).all() for split in splits)
    order = [sorted(names)[place] for place in np.random.default_rng(4).permutation(102)]
    assert [*splits.meta_train.class_names, *splits.meta_val.class_names] == order[:80]
    for name, levels in told(splits).items():
        # Lanczos of four rows to one overshoots by a tenth at the edge of the halves.
        np.testing.assert_allclose(levels, names.index(name), rtol=0.1, atol=4)
    one = datasets.from_tfds("oxford_flowers102", image_size=2, split="test", data_dir=tmp_path)
    assert [split.n_classes for split in one] == [62, 20, 20]
    assert (one.meta_train.counts == 1).all()
    rows = datasets.tfds_images(
        "oxford_flowers102", split="train+test", image_size=2, data_dir=tmp_path
    )
    assert rows.counts == (2,) * 102
    some = datasets.tfds_images(
        "oxford_flowers102",
        split="train+test",
        image_size=2,
        data_dir=tmp_path,
        classes=(names[7], names[3]),
    )
    assert some.counts == (2, 2) and some.class_names == (names[7], names[3])
    for row, c in enumerate((7, 7, 3, 3)):
        np.testing.assert_array_equal(some[row], rows[2 * c + row % 2])
    with pytest.raises(ValueError, match="has no class 'weed'; it has 102 others"):
        datasets.tfds_images(
            "oxford_flowers102", split="test", image_size=2, data_dir=tmp_path, classes=["weed"]
        )


class Labelled(tfds.core.GeneratorBasedBuilder):
    """A data set whose test set has no labels, with pictures of 16 bits."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16, encoding_format="png"),
            "label": tfds.features.ClassLabel(names=("a", "b", "c")),
            "number": tfds.features.Scalar(np.int64),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(-10)}

    def _generate_examples(self, offset):
        for c in range(3):
            grey = Image.fromarray(np.full((2, 2), 257 * (c + 1), np.uint16))
            label = -1 if offset else c
            yield str(c), {"image": file(grey), "label": label, "number": c}


def test_what_is_refused(tmp_path):
    Labelled(data_dir=str(tmp_path), file_format="array_record").download_and_prepare(
        download_config=SETTINGS
    )
    there = {"data_dir": tmp_path, "image_size": 2}
    splits = datasets.from_tfds("labelled", split="train", **there)
    assert told(splits) == {"a": [1], "b": [2], "c": [3]}  # 257, 514 and 771 of 65535.
    with pytest.raises(ValueError, match=r"'train\+test' has rows without a class, such as a test"):
        datasets.from_tfds("labelled", **there)
    with pytest.raises(ValueError, match="feature 'number' must be a picture of 8 or 16 bits"):
        datasets.from_tfds("labelled", split="train", image="number", **there)
    floats = {
        "image": tfds.features.Image(shape=(2, 2, 1), dtype=np.float32, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=("a",)),
    }
    with pytest.raises(ValueError, match="feature 'image' must be a picture of 8 or 16 bits"):
        _tfds_rows._check_features(tfds, "depths", floats, "image", "label")
    with pytest.raises(ValueError, match="feature 'number' is no class; give another `label`"):
        datasets.from_tfds("labelled", split="train", label="number", **there)
    with pytest.raises(ValueError, match="must have 4 classes, but 1 are missing, such as 'd'"):
        lists = (["a"], ["b"], ["c", "d"])
        datasets.from_tfds("labelled", split="train", classes=lists, **there)
    with pytest.raises(ValueError, match="split_sizes must be None where classes are given"):
        datasets.from_tfds("labelled", classes=lists, split_sizes=(1, 1, 1), **there)
    with pytest.raises(FileNotFoundError, match="labelled is not prepared in"):
        datasets.from_tfds("labelled", data_dir=tmp_path / "elsewhere")
