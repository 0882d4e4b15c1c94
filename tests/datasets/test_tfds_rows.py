import numpy as np
import pytest
from PIL import Image

import jaxmeta
from jaxmeta import datasets

tfds = pytest.importorskip("tensorflow_datasets", reason="needs the extra `tfds`")
pytest.importorskip("array_record")
pytestmark = pytest.mark.filterwarnings("ignore")  # Of tensorflow-datasets, about itself.

NAMES = ("circle", "square", "cross")


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Image r of class c is all 20 c + r; classes come in turn."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(4, 4, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for r in range(4):
            for c in range(3):
                path = f"{self._data_dir_root}/{c}-{r}.png"
                Image.fromarray(np.full((4, 4), 20 * c + r, np.uint8)).save(path)
                yield f"{r}{c}", {"image": path, "label": c}


@pytest.fixture
def prepared(tmp_path):
    builder = Shapes(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return tmp_path


def test_rows_of_a_class_are_adjacent_and_all_there(prepared):
    rows = datasets.tfds_images("shapes", split="train", image_size=4, data_dir=prepared, grey=True)
    assert rows.counts == (4, 4, 4) and rows.class_names == NAMES
    told = [int(rows[i][0, 0, 0]) for i in range(12)]
    assert rows[0].shape == (4, 4, 1) and rows[0].dtype == np.uint8
    for c in range(3):  # tensorflow-datasets shuffles what it writes.
        assert sorted(told[4 * c : 4 * c + 4]) == [20 * c + r for r in range(4)]
    episodes = jaxmeta.tasks.episodes_from_disk(rows, n_way=2, k_shot=1, q_queries=2, seed=0)
    assert next(episodes.batches(0, 3)).query.x.shape == (3, 4, 4, 4, 1)


def test_what_is_not_there_is_said(prepared, tmp_path):
    settings = {"split": "train", "image_size": 4}
    with pytest.raises(ValueError, match="no feature 'picture'; it has image, label"):
        datasets.tfds_images("shapes", **settings, data_dir=prepared, image="picture")
    with pytest.raises(ValueError, match="knows no data set 'shape_of_nothing'"):
        datasets.tfds_images("shape_of_nothing", **settings)
    with pytest.raises(FileNotFoundError, match=r"shapes is not prepared in .*run `tfds build"):
        datasets.tfds_images("shapes", **settings, data_dir=tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="image_size must be >= 1, got 0"):
        datasets.tfds_images("shapes", split="train", image_size=0)
