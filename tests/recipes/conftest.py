import numpy as np
import pytest

from jaxmeta import datasets


@pytest.fixture
def small_images(monkeypatch):
    """Stands for every image data set: 60 classes of noise in each split."""
    images = np.random.default_rng(0).integers(0, 256, (60 * 20, 28, 28, 1), np.uint8)
    classes = {f"class{i:02d}": images[20 * i : 20 * i + 20] for i in range(60)}
    names = sorted(classes)
    splits = datasets.split_classes(classes, (names[:20], names[20:40], names[40:]))
    monkeypatch.setattr(datasets, "glyphs", lambda: splits)
    monkeypatch.setattr(datasets, "omniglot", lambda data_dir, split: splits)
    coloured = {name: images.repeat(3, axis=3) for name, images in classes.items()}
    cifar = datasets.split_classes(coloured, (names[:20], names[20:40], names[40:]))
    monkeypatch.setattr(datasets, "cifar_fs", lambda data_dir: cifar)
