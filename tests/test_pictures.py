import numpy as np
import pytest
from PIL import Image

from jaxmeta import pictures

HALVES = np.zeros((4, 8, 3), np.uint8)
HALVES[:, :4] = (255, 0, 0)
HALVES[:, 4:] = (0, 0, 255)


def test_the_middle_is_cut_and_resized():
    # 4 x 8 pixels to a square: the middle 4 x 4, left red and right blue.
    image = pictures.as_array([Image.fromarray(HALVES)], (4, 4, 3))[0]
    np.testing.assert_array_equal(image, HALVES[:, 2:6])


def test_exif_turns_the_picture(tmp_path):
    image = Image.fromarray(HALVES[:, 2:6])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    found = pictures.as_array([str(tmp_path / "a.png")], (4, 4, 3))[0]
    np.testing.assert_array_equal(found, np.rot90(HALVES[:, 2:6], -1))


@pytest.mark.parametrize(
    "image, expected",
    [
        (Image.new("RGBA", (2, 2), (255, 0, 0, 0)), (255, 255, 255)),  # nothing, on white
        (Image.new("LA", (2, 2), (0, 255)), (0, 0, 0)),
        (Image.new("1", (2, 2), 1), (255, 255, 255)),
        (Image.new("CMYK", (2, 2), (0, 0, 0, 255)), (0, 0, 0)),
        (Image.fromarray(np.full((2, 2), 32896, np.uint16)), (128, 128, 128)),  # 16 bits
        (Image.fromarray(np.full((2, 2), 257, np.uint16)), (1, 1, 1)),  # rounded, not cut
        (Image.new("RGB", (2, 2), (1, 2, 3)).convert("P"), None),
    ],
)
def test_every_mode_has_its_colours(image, expected):
    found = pictures.as_array([image], (2, 2, 3))[0]
    expected = np.asarray(image.convert("RGB"))[0, 0] if expected is None else expected
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (2, 2, 3)))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_mode_without_a_known_range_is_refused(mode):
    with pytest.raises(ValueError, match=f"mode {mode} has no range that is known"):
        pictures.as_array([Image.new(mode, (2, 2), 128)], (2, 2, 3))


def test_grey_pictures_have_one_channel():
    image = Image.new("RGB", (2, 2), (255, 0, 0))
    # ITU-R 601-2, as Pillow: 0.299 of red.
    assert pictures.as_array([image], (2, 2, 1)).tolist() == [[[[76], [76]], [[76], [76]]]]


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture"):
        pictures.as_array([tmp_path / "a.jpg"], (4, 4, 3))
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        pictures.as_array([tmp_path / "b.jpg"], (4, 4, 3))
    with pytest.raises(ValueError, match="is wanted"):
        pictures.as_array([tmp_path / "a.jpg"], (4, 4))
    Image.fromarray(HALVES).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "c.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"d\.png is not a picture"):
        pictures.as_array([tmp_path / "d.png"], (4, 4, 3))
    monkeypatch.setattr(pictures, "MOST_PIXELS", 31)
    with pytest.raises(ValueError, match="8 x 4 pixels"):
        pictures.as_array([tmp_path / "c.png"], (4, 4, 3))


def test_folders(tmp_path):
    for name in (
        "cat/2.png",
        "cat/1.JPG",
        "dog/a.webp",
        "cat/notes.txt",
        "dog/.hidden.png",
        ".cut/1.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    files, names = pictures.folder_of_classes(tmp_path)
    assert [file.name for file in files] == ["1.JPG", "2.png", "a.webp"]
    assert names == ["cat", "cat", "dog"]
    assert len(pictures.folder_of_pictures(tmp_path)) == 3
    assert pictures.folder_of_pictures(tmp_path / "cat/2.png") == [tmp_path / "cat/2.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder of pictures for each class"):
        pictures.folder_of_classes(tmp_path / "empty")
    with pytest.raises(ValueError, match="holds no pictures"):
        pictures.folder_of_pictures(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        pictures.folder_of_classes(tmp_path / "none")
