"""The data sets of photographs, each on a small copy of its layout."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from jaxmeta import datasets
from jaxmeta.datasets import _fine_grained, _imagenet, _split_lists, class_lists


@pytest.fixture(autouse=True)
def small(tmp_path_factory, monkeypatch):
    """Three classes in each list, in place of hundreds."""
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path_factory.mktemp("home")))

    def few(name):
        train, val, test = class_lists(name)
        return train[:2], val[:1], test[:1]

    for module in (_imagenet, _fine_grained):
        monkeypatch.setattr(module, "class_lists", few)
    monkeypatch.setattr(_imagenet, "PER_CLASS", 2)
    return few


def write(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path)


def check(splits, lists, per_class, shape=(4, 4, 3)):
    """Image r of the c-th class of all lists is all 20 c + 5 r."""
    c = 0
    for split, names in zip(splits, lists, strict=True):
        assert split.class_names == tuple(names) and set(split.counts) == {per_class}
        assert split.images.shape == (per_class * len(names), *shape)
        expected = 20 * np.arange(c, c + len(names))[:, None] + 5 * np.arange(per_class)
        np.testing.assert_allclose(split.images[:, 0, 0, 0], expected.ravel(), atol=2)  # JPEG
        c += len(names)


def rows(lists):
    for c, name in enumerate(name for names in lists for name in names):
        for r in range(2):
            yield name, r, 20 * c + 5 * r


@pytest.mark.parametrize("name, sizes", [
    ("aircraft", (70, 15, 15)),
    ("cub", (100, 50, 50)),
    ("mini-imagenet", (64, 16, 20)),
    ("quickdraw", (241, 52, 52)),
    ("tiered-imagenet", (351, 97, 160)),
    ("vgg-flower", (71, 15, 16)),
])  # fmt: skip
def test_lists(name, sizes):
    lists = class_lists(name)
    assert tuple(map(len, lists)) == sizes
    assert len({class_name for names in lists for class_name in names}) == sum(sizes)
    head = (_split_lists.FOLDER / f"{name}.txt").read_text().splitlines()[:3]
    assert "licence" in " ".join(line for line in head if line.startswith("#"))


def test_a_list_that_is_not_there():
    with pytest.raises(ValueError, match=r"name must be one of aircraft, cifar-fs, .* got 'birds'"):
        class_lists("birds")


@pytest.mark.parametrize("layout", ["flat", "classes", "below images", "splits", "arrays"])
@pytest.mark.parametrize("name", ["mini-imagenet", "tiered-imagenet"])
def test_imagenet(name, layout, small, tmp_path):
    lists = small(name)
    part_of = {
        n: part for names, part in zip(lists, ("train", "val", "test"), strict=True) for n in names
    }
    arrays = {part: ([], []) for part in ("train", "val", "test")}
    for wnid, r, level in rows(lists):
        path = {
            "flat": f"images/{wnid}{r + 1:08d}.jpg",
            "classes": f"{wnid}/{wnid}_{r}.JPEG",
            "below images": f"images/{wnid}/{wnid}_{r}.JPEG",
            "splits": f"{part_of[wnid]}/{wnid}/{r}.png",
            "arrays": None,
        }[layout]
        if path is None:
            images, labels = arrays[part_of[wnid]]
            images.append(np.full((4, 4, 3), level, np.uint8))
            labels.append(wnid)
        else:
            write(tmp_path / path, level)
    if layout == "arrays":
        for part, (images, labels) in arrays.items():
            np.savez(tmp_path / f"{part}.npz", images=images, labels=labels)
    else:
        (tmp_path / "train.csv").write_text("filename,label")
    load = datasets.mini_imagenet if name == "mini-imagenet" else datasets.tiered_imagenet
    check(load(tmp_path, image_size=4), lists, 2)
    if layout != "arrays":  # Further classes of ImageNet are not taken.
        place = {"flat": "images/n0000000000000001.jpg", "classes": "n00000000/1.jpg"}.get(layout)
        if place is not None:
            write(tmp_path / place, 0)
            check(load(tmp_path, image_size=4), lists, 2)


def test_imagenet_refuses(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mini-imagenet must be in .* does not exist"):
        datasets.mini_imagenet()
    for wnid, r, level in rows(small("mini-imagenet")):
        write(tmp_path / "data" / wnid / f"{r}.png", level)
    write(tmp_path / "data" / wnid / "3.png", 0)
    with pytest.raises(ValueError, match=f"must have 2 images a class, but {wnid} has 3"):
        datasets.mini_imagenet(tmp_path / "data", image_size=4)
    for path in (tmp_path / "data" / wnid).iterdir():
        path.unlink()
    (tmp_path / "data" / wnid).rmdir()
    with pytest.raises(
        ValueError, match=f"must have 4 classes, but 1 are missing, such as '{wnid}'"
    ):
        datasets.mini_imagenet(tmp_path / "data", image_size=4)
    for part in ("train", "val", "test"):
        np.savez(tmp_path / f"{part}.npz", images=np.zeros((1, 4, 4, 3)), labels=["n01532829"])
    with pytest.raises(ValueError, match=r"images \(1, 4, 4, 3\) uint8 .* got .* float64"):
        datasets.mini_imagenet(tmp_path, image_size=4)
    images = np.zeros((1, 4, 4, 3), np.uint8)
    for part in ("train", "val", "test"):
        np.savez(tmp_path / f"{part}.npz", images=images, labels=["n01532829"])
    with pytest.raises(ValueError, match="class n01532829 stands in two"):
        datasets.mini_imagenet(tmp_path, image_size=4)
    np.savez(tmp_path / "val.npz", images=images, labels=np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"val\.npz must hold images and labels as arrays"):
        datasets.mini_imagenet(tmp_path, image_size=4)  # Nothing is unpickled.


def test_cub(small, tmp_path):
    for name, r, level in rows(small("cub")):
        write(tmp_path / "CUB_200_2011" / "images" / name / f"{r}.jpg", level)
    check(datasets.cub(tmp_path, image_size=4), small("cub"), 2)
    check(datasets.cub(tmp_path / "CUB_200_2011", image_size=4), small("cub"), 2)
    with pytest.raises(FileNotFoundError, match=r"cub needs its archive .* does not exist"):
        datasets.cub()


def test_aircraft(small, tmp_path):
    folder = tmp_path / "fgvc-aircraft-2013b" / "data"
    tables = {0: [], 1: []}
    for number, (name, r, level) in enumerate(rows(small("aircraft"))):
        write(folder / "images" / f"{number:07d}.jpg", level)
        tables[r].append(f"{number:07d} {name}")
    (folder / "images_variant_trainval.txt").write_text("\n".join(tables[0]) + "\n")
    with pytest.raises(FileNotFoundError, match=r"images_variant_test\.txt is missing"):
        datasets.aircraft(tmp_path)
    (folder / "images_variant_test.txt").write_text("\n".join(tables[1]) + "\n")
    check(datasets.aircraft(tmp_path, image_size=4), small("aircraft"), 2)
    (folder / "images" / "0000003.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"0000003\.jpg is missing"):
        datasets.aircraft(tmp_path)


def test_vgg_flower(small, tmp_path):
    labels = []
    for number, (name, _, level) in enumerate(rows(small("vgg-flower"))):
        write(tmp_path / "jpg" / f"image_{number + 1:05d}.jpg", level)
        labels.append(int(name))
    (tmp_path / "imagelabels.mat").write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"imagelabels\.mat must hold `labels`"):
        datasets.vgg_flower(tmp_path)
    savemat(tmp_path / "imagelabels.mat", {"labels": np.uint8([labels])})
    check(datasets.vgg_flower(tmp_path, image_size=4), small("vgg-flower"), 2)


def test_fungi(tmp_path):
    names = [f"Agaricus {c}" for c in range(4)]
    tables = {
        part: {"categories": [], "images": [], "annotations": []} for part in ("train", "val")
    }
    for c, name in enumerate(names):
        for r, part in enumerate(tables):
            tables[part]["categories"].append({"id": c, "name": name})
            number = 100 * c + r
            file = f"images/{number}.jpg"
            tables[part]["images"].append({"id": number, "file_name": file})
            tables[part]["annotations"].append({"image_id": number, "category_id": c})
            write(tmp_path / file, 20 * c + 5 * r)
    for part, table in tables.items():
        (tmp_path / f"{part}.json").write_text(json.dumps(table))
    splits = datasets.fungi(tmp_path, image_size=4, split_sizes=(2, 1, 1))
    told = {
        name: split.images[2 * place : 2 * place + 2, 0, 0, 0]
        for split in splits
        for place, name in enumerate(split.class_names)
    }
    assert sorted(told) == [f"000{c}.Agaricus_{c}" for c in range(4)]
    for c in range(4):
        np.testing.assert_allclose(told[f"000{c}.Agaricus_{c}"], [20 * c, 20 * c + 5], atol=2)
    with pytest.raises(ValueError, match="at most the 4 classes"):
        datasets.fungi(tmp_path)
    (tmp_path / "val.json").write_text("{}")
    with pytest.raises(ValueError, match=r"val\.json must hold categories, images and annotations"):
        datasets.fungi(tmp_path)


def test_quickdraw(tmp_path):
    lists = class_lists("quickdraw")
    for names in lists:
        for name in names:
            drawings = np.zeros((3, 784), np.uint8)
            drawings[:, 28 * 2 + 5] = len(name)  # third row, sixth column
            np.save(tmp_path / f"{name}.npy", drawings)
    splits = datasets.quickdraw(tmp_path, per_class=2)
    for split, names in zip(splits, lists, strict=True):
        assert split.class_names == tuple(names)
        np.testing.assert_array_equal(split.images[::2, 2, 5, 0], list(map(len, names)))
        assert (split.images.reshape(len(split.images), -1) > 0).sum() == 2 * len(names)
    with pytest.raises(ValueError, match="must hold 4 drawings or more, got 3"):
        datasets.quickdraw(tmp_path, per_class=4)
    with pytest.raises(ValueError, match="per_class must be >= 1, got 0"):
        datasets.quickdraw(tmp_path, per_class=0)
    np.save(tmp_path / "yoga.npy", np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=r"yoga\.npy must hold drawings \[k, 784\] uint8"):
        datasets.quickdraw(tmp_path, per_class=2)
    np.save(tmp_path / "yoga.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"yoga\.npy is no array"):  # Nothing is unpickled.
        datasets.quickdraw(tmp_path, per_class=2)
    (tmp_path / "yoga.npy").unlink()
    with pytest.raises(
        ValueError, match="must have 345 classes, but 1 are missing, such as 'yoga'"
    ):
        datasets.quickdraw(tmp_path, per_class=2)
    with pytest.raises(FileNotFoundError, match=r"quickdraw needs .* does not exist"):
        datasets.quickdraw()
