"""Every data set of images that the command can name."""

import typing

import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.experiments.domains.images import DATASETS, ImageSource


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
