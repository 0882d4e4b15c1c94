import gzip
import hashlib
import io
import json
import os
import tarfile
import types
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxmeta
from jaxmeta.datasets import _cifar, cifar_fs, fc100
from jaxmeta.datasets._split_lists import class_lists

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("JAXMETA_SHARED_DATA", SHARED)) / "cifar100"
MOSAICS = REAL / "cifar100-mosaics.zip"
on_real_images = pytest.mark.skipif(not MOSAICS.exists(), reason="the images are not here")

CLASSES = sorted(name for split in class_lists("fc100") for name in split)
COARSE = sorted({name.split("/")[0] for name in CLASSES})
FINE = sorted(name.split("/")[1] for name in CLASSES)


def records(images_of):
    """Records as the archive has them, of images `[k, 32, 32, 3]` by class."""
    rows = []
    for name, images in images_of.items():
        coarse, fine = name.split("/")
        labels = np.tile(np.uint8([COARSE.index(coarse), FINE.index(fine)]), (len(images), 1))
        pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        rows.append(np.concatenate([labels, pixels], axis=1))
    return np.concatenate(rows)


def write(folder, train, test):
    """The folder that the archive unpacks to."""
    unpacked = folder / "cifar-100-binary"
    unpacked.mkdir()
    order = np.random.default_rng(0).permutation(len(train))  # There, classes are mixed.
    (unpacked / "train.bin").write_bytes(train[order].tobytes())
    (unpacked / "test.bin").write_bytes(test.tobytes())
    (unpacked / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    (unpacked / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    return folder


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Three images a class, the last one for testing; image r of class c: red c, green 10 r."""
    monkeypatch.setattr(_cifar, "FILES", {"train.bin": 200, "test.bin": 100})
    monkeypatch.setattr(_cifar, "PER_CLASS", 3)
    images = np.zeros((100, 3, 32, 32, 3), np.uint8)
    images[..., 0] = np.arange(100)[:, None, None, None]
    images[..., 1] = 10 * np.arange(3)[:, None, None]
    images[:, :, 0, 5, 2] = 255  # top row, sixth column: not the same when turned
    train = {name: images[c, :2] for c, name in enumerate(CLASSES)}
    test = {name: images[c, 2:] for c, name in enumerate(CLASSES)}
    return write(tmp_path, records(train), records(test))


def pack(folder):
    with tarfile.open(folder / "cifar-100-binary.tar.gz", "w:gz") as file:
        file.add(folder / "cifar-100-binary", "cifar-100-binary")
    for path in (folder / "cifar-100-binary").iterdir():
        path.unlink()
    (folder / "cifar-100-binary").rmdir()


def test_classes_and_images(small):
    splits = fc100(small)
    assert [split.n_classes for split in splits] == [60, 20, 20]
    images, names = splits.meta_test.images, splits.meta_test.class_names
    assert images.shape == (60, 32, 32, 3) and images.dtype == np.uint8
    reds = [CLASSES.index(name) for name in names]
    np.testing.assert_array_equal(images[:, 1, 1, 0], np.repeat(reds, 3))
    for rows in np.split(images[:, 1, 1, 1], 20):
        assert sorted(rows) == [0, 10, 20]
    assert (images[:, 0, 5, 2] == 255).all() and images[..., 2].sum() == 60 * 255


def test_the_archive_gives_the_same_as_the_folder(small):
    unpacked = cifar_fs(small)
    pack(small)
    for a, b in zip(unpacked, cifar_fs(small), strict=True):
        assert a.class_names == b.class_names
        np.testing.assert_array_equal(a.images, b.images)


def test_the_lists():
    sizes = {"cifar-fs": [64, 16, 20], "fc100": [60, 20, 20]}
    for name, expected in sizes.items():
        lists = class_lists(name)
        assert [len(names) for names in lists] == expected
        assert sorted(name for names in lists for name in names) == CLASSES
    superclasses = [{name.split("/")[0] for name in names} for names in class_lists("fc100")]
    assert [len(names) for names in superclasses] == [12, 4, 4]
    assert not superclasses[0] & superclasses[1] and not superclasses[1] & superclasses[2]


def test_the_data_home(small, monkeypatch):
    monkeypatch.setenv("JAXMETA_DATA", str(small / "home"))
    with pytest.raises(FileNotFoundError, match=r"cifar-100-binary.tar.gz in .*does not exist"):
        cifar_fs()
    with pytest.raises(FileNotFoundError, match="lacks it"):
        cifar_fs(small / "cifar-100-binary")


def test_damage_is_named(small):
    folder = small / "cifar-100-binary"
    whole = (folder / "test.bin").read_bytes()
    (folder / "test.bin").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"test.bin .* must have 307400 bytes, got 307399"):
        cifar_fs(small)
    (folder / "test.bin").write_bytes(b"\x14" + whole[1:])  # There are 20 superclasses.
    with pytest.raises(ValueError, match="a class without a name"):
        cifar_fs(small)
    (folder / "test.bin").write_bytes(whole[3074:] + whole[-3074:])
    with pytest.raises(ValueError, match="100 classes with 3 images each, got 100, of which 2"):
        cifar_fs(small)
    (folder / "fine_label_names.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"fine_label_names.txt .* is not text"):
        cifar_fs(small)
    (folder / "test.bin").unlink()
    with pytest.raises(ValueError, match=r"test.bin is missing"):
        cifar_fs(small)
    pack(small)
    archive = small / "cifar-100-binary.tar.gz"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(ValueError, match="is damaged"):
        cifar_fs(small)


@pytest.mark.parametrize("size", [-512, 2**40])
def test_sizes_in_an_archive_are_not_believed(small, size):
    pack(small)
    member = tarfile.TarInfo("cifar-100-binary/test.bin")
    member.size = 0
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with gzip.open(small / "cifar-100-binary.tar.gz", "wb") as file:
        file.write(header + bytes(10240))
    with pytest.raises(ValueError, match="is damaged"):
        cifar_fs(small)


def test_a_folder_of_another_kind_is_not_taken_for_one_of_tensorflow_datasets(tmp_path):
    (tmp_path / "cifar100").mkdir()
    with pytest.raises(FileNotFoundError, match="lacks it"):
        cifar_fs(tmp_path)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real images in the archive's layout, and the hashes of each class."""

    def mosaics(archive, part, name, count):
        tiles = []
        for number in range(count):
            with Image.open(io.BytesIO(archive.read(f"{part}/{name}/{number}.webp"))) as image:
                whole = np.asarray(image.convert("RGB"))
            tiles.append(whole.reshape(10, 32, 10, 32, 3).transpose(0, 2, 1, 3, 4))
        return np.concatenate(tiles).reshape(-1, 32, 32, 3)

    with zipfile.ZipFile(MOSAICS) as archive:
        hashes = json.loads(archive.read("index.json"))["sha256_uint8_NHWC_per_class"]
        train, test = (
            {name: mosaics(archive, part, name.split("/")[1], count) for name in CLASSES}
            for part, count in (("train", 5), ("test", 1))
        )
    folder = tmp_path_factory.mktemp("cifar")
    (folder / "cifar-100-binary").mkdir()
    for name, images in (("train", train), ("test", test)):
        (folder / "cifar-100-binary" / f"{name}.bin").write_bytes(records(images).tobytes())
    for name, labels in (("coarse", COARSE), ("fine", FINE)):
        path = folder / "cifar-100-binary" / f"{name}_label_names.txt"
        path.write_text("\n".join(labels) + "\n")
    return folder, hashes


@pytest.mark.slow
@on_real_images
def test_the_real_images(real):
    folder, hashes = real
    splits = cifar_fs(folder)
    assert [split.n_classes for split in splits] == [64, 16, 20]
    for split in splits:
        for name, images in zip(
            split.class_names, np.split(split.images, split.n_classes), strict=True
        ):
            for part, rows in (("train", images[:500]), ("test", images[500:])):
                found = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
                assert found == hashes[part][name.split("/")[1]], (part, name)


@pytest.mark.slow
@on_real_images
@pytest.mark.filterwarnings("ignore")  # Of tensorflow-datasets, about itself.
def test_tensorflow_datasets_gives_the_same_images_as_the_archive(real, tmp_path, monkeypatch):
    """Runs tensorflow-datasets' own builder on an archive that lies here, without tensorflow, for
    which images come to it as PNG."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from etils import epath
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.image_classification import cifar

    folder, _ = real
    builder = tfds.builder("cifar100", data_dir=tmp_path, file_format="array_record")
    url = builder._cifar_info.url
    extracted = tmp_path / "extracted"
    extracted.mkdir()
    archive = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as file:
        file.add(folder / "cifar-100-binary", "cifar-100-binary")
    gfile = types.SimpleNamespace(GFile=open)
    monkeypatch.setattr(cifar, "tf", types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile)))
    load = cifar._load_data

    def as_png(*arguments):
        for labels, pixels in load(*arguments):
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG", compress_level=1)
            content.seek(0)
            yield labels, content

    monkeypatch.setattr(cifar, "_load_data", as_png)
    builder.url_infos[url] = checksums.compute_url_info(epath.Path(archive))
    with tarfile.open(archive) as file:
        file.extractall(extracted / f"TAR_GZ.{archive.name}")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=tmp_path, extract_dir=extracted, try_download_gcs=False
        )
    )
    for a, b in zip(cifar_fs(folder), cifar_fs(tmp_path), strict=True):
        assert a.class_names == b.class_names
        # TFDS shuffles its examples: the images of a class are the same as a set.
        for x, y in zip(
            np.split(a.images, a.n_classes), np.split(b.images, b.n_classes), strict=True
        ):
            assert {image.tobytes() for image in x} == {image.tobytes() for image in y}


def test_episodes_of_cifar_fs(small):
    sample = jaxmeta.tasks.episodes(cifar_fs(small).meta_train, n_way=5, k_shot=1, q_queries=2)
    assert sample(jax.random.key(0)).query.x.shape == (10, 32, 32, 3)
