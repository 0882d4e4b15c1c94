import io
import os
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxmeta.datasets import omniglot
from jaxmeta.datasets._omniglot import PARTS, read_classes
from jaxmeta.datasets._split_lists import class_lists

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("JAXMETA_SHARED_DATA", SHARED)) / "omniglot"
on_real_files = pytest.mark.skipif(
    not (REAL / "images_background.zip").exists(), reason="the original zips are not here"
)


def png(ink_rows):
    """A 1-bit drawing as the archives have them: 0 is ink, in the given rows."""
    pixels = np.ones((105, 105), bool)
    pixels[ink_rows] = False
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def small(tmp_path):
    members = {
        "images_background/Greek/character02/0002_02.png": png(slice(0, 50)),
        "images_background/Greek/character02/0002_01.png": png(slice(50, 105)),
        "images_background/Greek/character01/0001_01.png": png(slice(0, 0)),
        "__MACOSX/images_background/Greek/character01/._0001_01.png": b"not an image",
        "images_background/Greek/character02/._0002_01.png": b"not an image",
        "images_background/.hidden/character01/0001_01.png": b"not an image",
    }
    return archive(tmp_path / "images_background.zip", members)


def test_reads_a_zip(small):
    classes = read_classes(small, 28)
    assert set(classes) == {"Greek/character01", "Greek/character02"}
    first, second = classes["Greek/character02"]  # By drawer: ink below, then ink above.
    assert (first[:9] == 0).all() and (first[18:] == 255).all()
    assert (second[:9] == 255).all() and (second[18:] == 0).all()
    assert (classes["Greek/character01"] == 0).all()


def test_reads_the_unpacked_folder(small, tmp_path):
    with zipfile.ZipFile(small) as file:
        file.extractall(tmp_path)
    unpacked, packed = (read_classes(path, 28) for path in (tmp_path / "images_background", small))
    for name in packed:
        np.testing.assert_array_equal(unpacked[name], packed[name])


def test_a_damaged_zip_is_named(tmp_path):
    for part in PARTS:
        (tmp_path / f"{part}.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"images_background.zip is a damaged zip archive"):
        omniglot(tmp_path)


def test_a_damaged_member_is_named(small):
    content = bytearray(small.read_bytes())
    content[60:90] = bytes(30)
    small.write_bytes(content)
    with pytest.raises(ValueError, match=r"images_background\.zip"):
        read_classes(small, 28)


def test_an_unreadable_image_is_named(tmp_path):
    path = archive(tmp_path / "images_background.zip", {"images_background/A/c/1_1.png": b"text"})
    with pytest.raises(ValueError, match=r"images_background/A/c/1_1.png is not a readable image"):
        read_classes(path, 28)


def test_missing_files_are_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images_background.zip .* lacks them"):
        omniglot(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        omniglot(tmp_path / "nowhere")


def test_an_incomplete_archive_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "cache"))
    archive(tmp_path / "images_evaluation.zip", {"images_evaluation/B/c/1_1.png": png(slice(9))})
    with pytest.raises(ValueError, match="must have 1623 characters with 20 drawings each, got 3"):
        omniglot(tmp_path)


@pytest.mark.parametrize("settings", [{"split": "Vinyals"}, {"image_size": 0}])
def test_bad_arguments_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        omniglot(REAL, **settings)


def test_vinyals_lists():
    train, val, test = class_lists("omniglot-vinyals")
    assert (len(train), len(val), len(test)) == (1028, 172, 423)
    assert len({*train, *val, *test}) == 1623


@on_real_files
@pytest.mark.parametrize(
    "split, sizes", [("vinyals", (1028, 172, 423)), ("random", (1100, 100, 423))]
)
def test_real_files(split, sizes):
    splits = omniglot(REAL, split=split)
    assert tuple(data.n_classes for data in splits) == sizes
    assert len({name for data in splits for name in data.class_names}) == 1623
    for data in splits:
        assert data.images.shape == (20 * data.n_classes, 28, 28, 1)
        assert 0.03 < data.images.mean() / 255 < 0.2  # Thin ink on an empty ground.
        assert (data.images.max((1, 2, 3)) > 100).all()


def prepare_with_tfds(folder, archives):
    """Runs tensorflow-datasets' own builder of Omniglot on archives that lie here, without
    tensorflow, and gives what `tfds.builder` then reads from `folder`."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from etils import epath
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.image_classification import omniglot as source

    gfile = types.SimpleNamespace(listdir=os.listdir)
    source.tf = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile))  # All it uses of it.
    builder = tfds.builder("omniglot", data_dir=folder, file_format="array_record")
    extracted = folder / "extracted"
    for url in source._DL_URLS.values():
        name = url.rsplit("/", 1)[1]
        builder.url_infos[url] = checksums.compute_url_info(epath.Path(archives / name))
        with zipfile.ZipFile(archives / name) as file:
            file.extractall(extracted / f"ZIP.{name}")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=archives, extract_dir=extracted, try_download_gcs=False
        )
    )


@pytest.mark.slow
@on_real_files
@pytest.mark.filterwarnings("ignore")  # Of tensorflow-datasets, about itself.
def test_tensorflow_datasets_gives_the_same_images_as_the_zips(tmp_path):
    prepare_with_tfds(tmp_path, REAL)
    from_zips, from_tfds = omniglot(REAL), omniglot(tmp_path)
    for zipped, prepared in zip(from_zips, from_tfds, strict=True):
        assert zipped.class_names == prepared.class_names
        # TFDS shuffles its examples: the drawings of a class are the same as a set.
        for name, a, b in zip(
            zipped.class_names,
            np.split(zipped.images, np.cumsum(zipped.counts)[:-1]),
            np.split(prepared.images, np.cumsum(prepared.counts)[:-1]),
            strict=True,
        ):
            assert {x.tobytes() for x in a} == {x.tobytes() for x in b}, name
