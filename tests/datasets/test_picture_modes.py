"""What a picture shows is what the loaders give, whatever its mode."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxmeta.datasets import image_files
from jaxmeta.datasets._pictures import picture, pixels


def png(depth, colour, rows, *chunks):
    """A PNG written by hand: bit depth, colour type, bytes of each row, further chunks."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    width = len(rows[0]) * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (chunk(b"IHDR", header), *[chunk(*c) for c in chunks], chunk(b"IDAT", content))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def sixteen(*values):
    return struct.pack(f">{len(values)}H", *values)


PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 0, 255]))  # red, blue
RED, BLUE, WHITE, BLACK = [255, 0, 0], [0, 0, 255], [255] * 3, [0] * 3

# What PNG files of each kind hold, and what they show: as RGB, or one number for a grey pixel.
FILES = {
    "1 bit grey": (png(1, 0, [b"\xaa"]), [255, 0] * 4),
    "2 bits grey": (png(2, 0, [b"\x1b"]), [0, 85, 170, 255]),
    "4 bits grey": (png(4, 0, [b"\x0f"]), [0, 255]),
    "8 bits grey": (png(8, 0, [b"\x00\x07\xff"]), [0, 7, 255]),
    "16 bits grey": (png(16, 0, [sixteen(0, 257, 32896, 65535)]), [0, 1, 128, 255]),
    "16 bits grey, between": (png(16, 0, [sixteen(128, 129, 65406)]), [0, 1, 254]),
    "8 bits colour": (png(8, 2, [bytes(RED + BLUE)]), [RED, BLUE]),
    "16 bits colour": (png(16, 2, [sixteen(65535, 257, 0)]), [[255, 1, 0]]),
    "palette": (png(8, 3, [b"\x01\x00"], PALETTE), [BLUE, RED]),
    "1 bit palette": (png(1, 3, [b"\x40"], PALETTE), [RED, BLUE] + [RED] * 6),
    "palette, red is transparent": (
        png(8, 3, [b"\x01\x00"], PALETTE, (b"tRNS", b"\x00")),
        [BLUE, WHITE],
    ),
    # Black under alpha 128: 0 * 128/255 + 255 * 127/255 = 127.
    "grey and alpha": (png(8, 4, [bytes([0, 255, 0, 0, 0, 128])]), [0, 255, 127]),
    "16 bits grey and alpha": (png(16, 4, [sixteen(0, 65535, 0, 0)]), [0, 255]),
    "black ink on transparent paper": (
        png(8, 6, [bytes([0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 128])]),
        [BLACK, WHITE, [255, 127, 127]],
    ),
    "1 bit grey, 0 is transparent": (
        png(1, 0, [b"\x40"], (b"tRNS", sixteen(0))),
        [255] * 8,
    ),
    "2 bits grey, 1 is transparent": (
        png(2, 0, [b"\x1b"], (b"tRNS", sixteen(1))),
        [0, 255, 170, 255],
    ),
    "4 bits grey, 3 is transparent": (
        png(4, 0, [b"\x34"], (b"tRNS", sixteen(3))),
        [255, 68],
    ),
    "8 bits grey, 7 is transparent": (
        png(8, 0, [b"\x00\x07"], (b"tRNS", sixteen(7))),
        [0, 255],
    ),
    "16 bits grey, 257 is transparent": (
        png(16, 0, [sixteen(256, 257)], (b"tRNS", sixteen(257))),
        [1, 255],
    ),
    "8 bits colour, red is transparent": (
        png(8, 2, [bytes([*RED, 255, 0, 1])], (b"tRNS", sixteen(255, 0, 0))),
        [WHITE, [255, 0, 1]],
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_png(kind):
    content, shown = FILES[kind]
    colours = np.array([[value] * 3 if np.ndim(value) == 0 else value for value in shown])
    found = picture(content, name="x.png", image_size=None)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, colours[None])
    # Grey by the weights of ITU-R 601: red is 76, blue 29.
    grey = np.rint(colours @ [0.299, 0.587, 0.114])[None, :, None]
    np.testing.assert_array_equal(picture(content, name="x.png", image_size=None, grey=True), grey)


def of(mode, *values):
    image = Image.new(mode, (len(values), 1))
    for column, value in enumerate(values):
        image.putpixel((column, 0), value)
    return image


# One image of each mode that Pillow has, and what it shows.
MODES = {
    "1": (of("1", 0, 255), [BLACK, WHITE]),
    "L": (of("L", 0, 9), [BLACK, [9] * 3]),
    "LA": (of("LA", (0, 255), (0, 0)), [BLACK, WHITE]),
    "La": (of("LA", (0, 255), (0, 0)).convert("La"), [BLACK, WHITE]),
    "P": (Image.open(io.BytesIO(FILES["palette"][0])), [BLUE, RED]),
    "PA": (of("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)).convert("PA"), [BLACK, WHITE]),
    "RGB": (of("RGB", (1, 2, 3)), [[1, 2, 3]]),
    "RGBA": (of("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), [BLACK, WHITE]),
    "RGBa": (of("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)).convert("RGBa"), [BLACK, WHITE]),
    "RGBX": (of("RGBX", (1, 2, 3, 0)), [[1, 2, 3]]),
    # No ink is white; full cyan leaves green and blue; black ink is black.
    "CMYK": (
        of("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)),
        [WHITE, [0, 255, 255], BLACK],
    ),
    "YCbCr": (of("YCbCr", (77, 128, 128)), [[77] * 3]),
    "HSV": (of("HSV", (0, 255, 255), (0, 0, 9)), [RED, [9] * 3]),
    "LAB": (of("LAB", (255, 128, 128), (0, 128, 128)), [WHITE, BLACK]),
    "I;16": (of("I;16", 0, 257, 65535), [BLACK, [1] * 3, WHITE]),
    "I;16L": (of("I;16L", 0, 257, 65535), [BLACK, [1] * 3, WHITE]),
    "I;16B": (of("I;16B", 0, 257, 65535), [BLACK, [1] * 3, WHITE]),
    "I;16N": (
        Image.frombytes("I;16N", (3, 1), np.uint16([0, 257, 65535]).tobytes()),
        [BLACK, [1] * 3, WHITE],
    ),
    "I": (of("I", 0, 70000), "mode I has no range that is known"),
    "F": (of("F", 0.5), "mode F has no range that is known"),
}


def test_the_table_has_every_mode():
    assert set(MODES) == set(Image.MODES)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(mode):
    image, shown = MODES[mode]
    assert image.mode == mode
    if isinstance(shown, str):
        with pytest.raises(ValueError, match=shown):
            pixels(image, image_size=None, grey=False)
    else:
        # Pillow goes from LAB to RGB by tables of eight bits.
        atol = 1 if mode == "LAB" else 0
        np.testing.assert_allclose(pixels(image, image_size=None, grey=False), [shown], atol=atol)
        grey = np.rint(np.array(shown) @ [0.299, 0.587, 0.114])[None, :, None]
        np.testing.assert_allclose(pixels(image, image_size=None, grey=True), grey, atol=atol)


def saved(image, kind, **settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def grey(values, dtype=np.uint8):
    return Image.fromarray(np.array(values, dtype))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    "orientation, upright",
    # A stored [[a b c], [d e f]] is shown as the EXIF standard says: 1 as it is, 2 mirrored,
    # 3 turned by 180 degrees, 4 upside down, 5 transposed, 6 turned clockwise, 7 transposed over
    # the other diagonal, 8 turned anticlockwise.
    [
        (1, "abc def"),
        (2, "cba fed"),
        (3, "fed cba"),
        (4, "def abc"),
        (5, "ad be cf"),
        (6, "da eb fc"),
        (7, "fc eb da"),
        (8, "cf be ad"),
    ],
)
def test_exif_orientation(kind, orientation, upright):
    levels = dict(zip("abcdef", (0, 50, 100, 150, 200, 250), strict=True))
    # In blocks of 16 pixels, so that JPEG keeps their middles.
    stored = np.kron([[0, 50, 100], [150, 200, 250]], np.ones((16, 16)))
    tags = Image.Exif()
    tags[0x0112] = orientation
    settings = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    content = saved(grey(stored), kind, exif=tags, **settings)
    found = picture(content, name="x", image_size=None, grey=True)[8::16, 8::16, 0]
    expected = [[levels[letter] for letter in row] for row in upright.split()]
    np.testing.assert_allclose(found, expected, atol=1 if kind == "JPEG" else 0)


def test_tiff_of_every_depth():
    sixteen_bits = np.uint16([[0, 257, 65535]])
    for value in (saved(Image.fromarray(sixteen_bits), "TIFF"), tiff(16, 1, sixteen_bits)):
        np.testing.assert_array_equal(
            picture(value, name="x", image_size=None, grey=True)[..., 0], [[0, 1, 255]]
        )
    # Zero is white.
    np.testing.assert_array_equal(
        picture(tiff(16, 0, sixteen_bits), name="x", image_size=None, grey=True)[..., 0],
        [[255, 254, 0]],
    )
    # Two values of twelve bits, 0x000 and 0xfff, in three bytes.
    twelve = tiff(12, 1, np.uint8([[0x00, 0x0F, 0xFF]]), width=2)
    np.testing.assert_array_equal(
        picture(twelve, name="x", image_size=None, grey=True)[..., 0], [[0, 255]]
    )
    for array in (np.int32([[0, 70000]]), np.float32([[0.0, 1.0]])):
        with pytest.raises(ValueError, match=r"a\.tif .*no range that is known: save it with 8"):
            picture(saved(Image.fromarray(array), "TIFF"), name="a.tif", image_size=None)


def tiff(bits, photometric, values, width=None):
    """A little-endian TIFF of one strip, written by hand."""
    content = values.tobytes()
    width = values.shape[1] if width is None else width
    tags = [
        (256, 4, width),
        (257, 4, len(values)),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, len(values)),
        (279, 4, len(content)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    start = 8 + len(content)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + content + directory


def test_the_other_files():
    black_white = grey([[0, 255]])
    for kind in ("GIF", "BMP", "PPM", "TGA", "PCX"):
        np.testing.assert_array_equal(
            picture(saved(black_white, kind), name="x", image_size=None), [[BLACK, WHITE]]
        )
    sixteen_bits = saved(Image.fromarray(np.uint16([[0, 257, 65535]])), "PPM")
    np.testing.assert_array_equal(
        picture(sixteen_bits, name="x", image_size=None, grey=True)[..., 0], [[0, 1, 255]]
    )
    seven = b"P5 2 1 7\n\x00\x07"  # A grey map whose white is 7.
    np.testing.assert_array_equal(
        picture(seven, name="x", image_size=None, grey=True)[..., 0], [[0, 255]]
    )
    # The first frame of a moving picture.
    moving = saved(black_white, "GIF", save_all=True, append_images=[grey([[255, 0]])])
    np.testing.assert_array_equal(picture(moving, name="x", image_size=None), [[BLACK, WHITE]])
    # A palette's colour that GIF calls transparent.
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(
        picture(saved(image, "GIF", transparency=0), name="x", image_size=None),
        [[WHITE, [40, 50, 60]]],
    )
    # JPEG of four inks, as Adobe writes them (inverted) and Pillow reads them.
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    found = picture(saved(inks, "JPEG", quality=100), name="x", image_size=None)
    np.testing.assert_allclose(found, np.broadcast_to([0, 255, 255], (16, 16, 3)), atol=3)


def test_sizes():
    picture_of_steps = grey(np.kron([[0, 255], [255, 0]], np.ones((64, 64))))
    for kind in ("PNG", "JPEG"):
        small = picture(saved(picture_of_steps, kind), name="x", image_size=8)
        assert small.shape == (8, 8, 3)
        np.testing.assert_allclose(small[::7, ::7, 0], [[0, 255], [255, 0]], atol=4)
    wide = Image.new("RGB", (30, 10), (1, 2, 3))
    np.testing.assert_array_equal(
        picture(saved(wide, "PNG"), name="x", image_size=4), np.full((4, 4, 3), [1, 2, 3])
    )
    with pytest.raises(ValueError, match=r"x is not .*30 x 10 pixels, more than 20"):
        picture(saved(wide, "PNG"), name="x", image_size=4, most_pixels=20)


def test_damage_is_named():
    rng = np.random.default_rng(0)
    whole = saved(grey(rng.integers(0, 256, (40, 40))), "JPEG")
    for content in (whole[: len(whole) // 2], b"", b"text", FILES["palette"][0][:60]):
        with pytest.raises(ValueError, match="x is not a readable image"):
            picture(content, name="x", image_size=8)
    with pytest.raises(ValueError, match=r"x is not .* transparent colour has 16 bits"):
        content = png(16, 2, [sixteen(0, 0, 0)], (b"tRNS", sixteen(0, 0, 0)))
        picture(content, name="x", image_size=None)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about tags that it skips.
def test_damaged_files_are_read_or_named():
    rng = np.random.default_rng(0)
    tags = Image.Exif()
    tags[0x0112] = 6
    photograph = saved(grey(np.full((8, 8), 80)), "JPEG", exif=tags)
    contents = [*(content for content, _ in FILES.values()), photograph]
    for case in range(1000):
        content = bytearray(contents[case % len(contents)])
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        try:
            found = picture(bytes(content), name="file x", image_size=4, most_pixels=100)
        except ValueError as error:
            assert "file x is not a readable image" in str(error)
        else:
            assert found.shape == (4, 4, 3) and found.dtype == np.uint8


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/1.png", "cat/2.GIF", "dog/deep/1.tif", "dog/other/1.jpeg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".png": "PNG", ".GIF": "GIF", ".tif": "TIFF", ".jpeg": "JPEG"}[path.suffix]
        path.write_bytes(saved(grey(np.full((8, 8), 80)), kind))
    return tmp_path


def test_a_folder_gives_every_picture_and_no_hidden_one(folder):
    for name in (
        ".ipynb_checkpoints/1.png",
        "__MACOSX/cat/1.png",
        "cat/._1.png",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/labels.txt",
        "LICENSE",
        "images.tar.gz",
        "dog/notes.doc",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    rows = image_files(folder, image_size=4)
    assert rows.class_names == ("cat", "dog/deep", "dog/other") and rows.counts == (2, 1, 1)
    assert [int(rows[i][0, 0, 0]) for i in range(4)] == [80] * 4
    some = image_files(folder, image_size=4, grey=True, classes=("dog/other", "cat"))
    assert some.class_names == ("dog/other", "cat") and some.counts == (1, 2)
    assert some[2].shape == (4, 4, 1)


def test_what_would_be_left_out_is_refused(folder):
    with pytest.raises(ValueError, match=r"has no class 'cow'; it has 3 others"):
        image_files(folder, image_size=4, classes=["cow"])
    for name, message in {
        "cat/3.heic": r"3\.heic has an ending of no picture",
        "cat/3": "3 has an ending of no picture",
        "lost.png": r"lost\.png lies in no class",
        "dog/lost.png": r"dog must hold either pictures or folders .*lost\.png and deep",
    }.items():
        (folder / name).write_bytes(b"")
        with pytest.raises(ValueError, match=message):
            image_files(folder, image_size=4)
        (folder / name).unlink()
    (folder / "cat" / "gone.png").symlink_to(folder / "nowhere")
    with pytest.raises(ValueError, match=r"gone\.png is not a file"):
        image_files(folder, image_size=4)
    (folder / "cat" / "gone.png").unlink()
    (folder / "dog" / "again").symlink_to(folder)
    with pytest.raises(ValueError, match="is a link to a folder above it"):
        image_files(folder, image_size=4)
