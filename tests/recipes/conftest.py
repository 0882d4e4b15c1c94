import golden
import pytest


@pytest.fixture
def small_images(monkeypatch):
    """Stands for every image data set: 60 classes of noise in each split."""
    golden.stand_in(monkeypatch.setattr)
