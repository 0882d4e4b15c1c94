"""Every data set of images that the command can name."""

import jax
import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.command.flags import texts_of
from jaxmeta.experiments.domains.images import DATASETS, KINDS, Images, ImageSource


@pytest.fixture
def asked(monkeypatch):
    """Calls of the loaders, in place of loading."""
    calls = []
    for name in datasets.__all__:

        def load(*arguments, name=name, **settings):
            calls.append((name, *arguments, *settings.values()))

        if name not in ("ClassData", "Rows", "Splits"):
            monkeypatch.setattr(datasets, name, load)
    return calls


def test_every_name_that_is_offered_can_be_loaded(asked):
    said = " ".join(texts_of(ImageSource)["dataset"].split())
    for name in DATASETS:
        ImageSource(dataset=name, data_dir=None if name == "glyphs" else "here").splits()
        split = ("vinyals",) if name == "omniglot" else ()
        expected = () if name == "glyphs" else ("here", *split)
        assert asked[-1] == ({"folder": "image_folder"}.get(name, name), *expected)
        assert name in said
    for kind in KINDS:
        assert f"{kind}:" in said


@pytest.mark.parametrize(
    "dataset, call",
    [
        ("folder:my/pictures", ("image_folder", "my/pictures")),
        ("folder:C:/pictures", ("image_folder", "C:/pictures")),
        ("npz:mine.npz", ("from_npz", "mine.npz")),
        ("tfds:cifar10:3.0.2", ("from_tfds", "cifar10:3.0.2", None)),
    ],
)
def test_what_stands_after_the_colon(dataset, call, asked):
    ImageSource(dataset=dataset).splits()
    assert asked == [call]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"dataset": "mnist"}, "dataset must be one of glyphs, .*, npz:PATH and tfds:NAME, got 'm"),
        ({"dataset": "zip:mine"}, "dataset must be one of .* got 'zip:mine'"),
        ({"dataset": "npz:"}, "dataset must be one of .* got 'npz:'"),
        ({"dataset": "npz:a", "data_dir": "b"}, "data_dir must be None where dataset says itself"),
        ({"dataset": "npz:a", "split": "random"}, "split is of Omniglot; npz has one split"),
        ({"dataset": "npz:no/such.npz"}, "no/such.npz is not there: give an .npz file of arrays"),
    ],
)
def test_what_is_no_data_set(fields, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ImageSource(**fields).splits()


def test_splits_from_python():
    splits = datasets.glyphs()
    assert ImageSource(dataset=splits).splits() is splits


def test_a_folder_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "cache"))
    for name in "abcde":
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(np.full((9, 9), 40, np.uint8)).save(tmp_path / "data" / name / "1.jpg")
    splits = ImageSource(dataset="folder", data_dir=str(tmp_path / "data")).splits()
    assert [split.n_classes for split in splits] == [3, 1, 1]
    assert splits.meta_train.images.shape == (3, 84, 84, 3)
    with pytest.raises(ValueError, match="data_dir must be the folder of pictures, got None"):
        ImageSource(dataset="folder").splits()


def test_pictures_change_in_training_and_never_at_test(monkeypatch):
    ramp = np.arange(9 * 64, dtype=np.uint8).reshape(9, 8, 8, 1)  # No row is its own mirror image.
    classes = {name: ramp[3 * i : 3 * i + 3] for i, name in enumerate("abc")}
    parts = (["a"], ["b"], ["c"])
    monkeypatch.setattr(datasets, "glyphs", lambda: datasets.split_classes(classes, parts))
    settings = {"rotations": False, "n_way": 1, "q_queries": 1, "train_n_way": 1}
    images = Images(**settings, train_q_queries=1, augment=("crop", "flip"))
    train, _, test = images.samples()
    [test] = test.values()
    keys = jax.random.split(jax.random.key(0), 5)

    def are_as_they_were(sample):
        rows = np.concatenate([np.asarray(sample(key).query.x) for key in keys])
        return [any(np.allclose(row, one / 255, atol=1e-4) for one in ramp) for row in rows]

    assert all(are_as_they_were(test))
    assert not all(are_as_they_were(train))
    with pytest.raises(ValueError, match=r"augment must be some of crop, .* got 'blur'"):
        Images(augment=("blur",)).samples()
