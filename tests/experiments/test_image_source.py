"""Every data set of images that the command can name."""

import typing

import jax
import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.experiments.domains.images import DATASETS, Images, ImageSource


def test_every_name_that_is_offered_can_be_loaded(monkeypatch):
    offered = typing.get_args(typing.get_type_hints(ImageSource)["dataset"])
    assert offered == tuple(DATASETS)
    asked = []
    for name in offered:
        function = {"folder": "image_folder"}.get(name, name)

        def load(*arguments, function=function, **settings):
            asked.append((function, arguments))

        monkeypatch.setattr(datasets, function, load)
        ImageSource(dataset=name, data_dir=None if name == "glyphs" else "here").splits()
        expected = () if name == "glyphs" else ("here",)
        assert asked[-1] == (function, expected)


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
