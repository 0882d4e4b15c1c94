"""Pictures of any kind Pillow reads, as uint8 pixels: every loader converts through this file.

What a picture shows is kept: 16 bits are scaled to 8, an EXIF orientation is applied, transparent
parts lie on white paper. A picture whose range of values nobody can know is refused. Colour
profiles are not applied.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# What Pillow raises at a damaged file; the last four also at damaged EXIF data.
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    EOFError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
WHITE = 255
# Grey of fewer than eight bits: Pillow spreads the pixels over 0..255, but not the transparent one.
STEPS = {"1": 255, "L;2": 85, "L;4": 17}
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_WHITE_IS_ZERO = 258, 262, 0


def picture(
    source: bytes | Path,
    *,
    name: str,
    image_size: int | None,
    grey: bool = False,
    most_pixels: int | None = None,
) -> np.ndarray:
    """Decodes one picture.

    The first frame counts, where there are several. Colours become grey by `0.299 R + 0.587 G +
    0.114 B` (ITU-R 601).

    Args:
      source: content of the file, or its path.
      name: what an error calls it.
      image_size: height and width to which the whole picture is resized by Lanczos; None: as it is.
      grey: one channel in place of three.
      most_pixels: the longest side that is believed.

    Returns `[H, W, 1]` or `[H, W, 3]` uint8.

    Raises:
      ValueError: it is damaged, too large, or of a kind that has no known range; names it.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if most_pixels is not None and max(image.size) > most_pixels:
                wide, high = image.size
                raise ValueError(f"its size is {wide} x {high} pixels, more than {most_pixels}")
            if image_size is not None:
                # JPEG can be decoded smaller, which is faster: to no less than twice what is asked.
                image.draft(None, (2 * image_size, 2 * image_size))
            return pixels(image, image_size=image_size, grey=grey)
    except UNREADABLE as error:
        raise ValueError(f"{name} is not a readable image ({error}).") from error


def pixels(image: Image.Image, *, image_size: int | None, grey: bool) -> np.ndarray:
    """Upright pixels of an opened image, as `picture` gives them.

    Raises:
      ValueError: the image's mode has no known range.
    """
    flat = upright(image).convert("L" if grey else "RGB")
    if image_size is not None:
        flat = flat.resize((image_size, image_size), Image.Resampling.LANCZOS)
    array = np.array(flat, np.uint8)
    return array.reshape(*array.shape[:2], -1)


def upright(image: Image.Image) -> Image.Image:
    """The picture as it looks, in mode L or RGB.

    Raises:
      ValueError: the image's mode has no known range.
    """
    seen_through = _transparent_value(image)  # Loading forgets how the pixels are stored.
    bits, is_negative = _tiff_scale(image)
    image.load()
    turned = ImageOps.exif_transpose(image)
    # 16 bits of a PNG or PPM come as mode I from some versions of Pillow.
    if turned.mode in SIXTEEN_BITS or (turned.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(turned)
        small = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
        small = 255 - small if is_negative else small
        return Image.fromarray(_on_paper(small, values, seen_through))
    if turned.mode in ("I", "F"):
        raise ValueError(
            f"its mode {turned.mode} has no range that is known: save it with 8 or 16 bits a pixel"
        )
    if seen_through is not None:
        values = np.asarray(turned.convert("L") if turned.mode == "1" else turned)
        return Image.fromarray(_on_paper(values, values, seen_through))
    if turned.mode == "La":  # The others with alpha become RGBA at once.
        turned = turned.convert("LA")
    if turned.has_transparency_data:
        paper = Image.new("RGBA", turned.size, (WHITE,) * 4)
        return Image.alpha_composite(paper, turned.convert("RGBA")).convert("RGB")
    return turned if turned.mode == "L" else turned.convert("RGB")


def _on_paper(pixels, values, seen_through):
    """White where `values` are those that a PNG calls transparent."""
    if seen_through is None:
        return pixels
    hit = np.asarray(values) == np.asarray(seen_through)
    if hit.ndim == 3:
        hit = hit.all(axis=-1, keepdims=True)
    return np.where(hit, WHITE, pixels).astype(np.uint8)


def _transparent_value(image):
    """The grey or colour that a PNG without alpha calls transparent, in values of its pixels."""
    key = image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "RGB", "I", *SIXTEEN_BITS):
        return None
    stored = str(image.tile[0].args if image.tile else "")
    if image.mode == "RGB" and ";16" in stored:
        raise ValueError("its transparent colour has 16 bits: save it with an alpha channel")
    return key * STEPS.get(stored, 1) if isinstance(key, int) else key


def _tiff_scale(image):
    """Bits of each value of a TIFF, 16 elsewhere, and whether its zero is white."""
    if image.format != "TIFF":
        return 16, False
    tags = image.tag_v2
    return tags.get(TIFF_BITS, (16,))[0], tags.get(TIFF_PHOTOMETRIC) == TIFF_WHITE_IS_ZERO
