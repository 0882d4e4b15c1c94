"""Glyphs: characters of real typefaces, rendered from the font files that matplotlib ships.

The embedded default: no download. Letters and digits of five scripts with at least twelve distinct
renderings over some twenty styles. Fonts: DejaVu (after Bitstream Vera, free licence) and STIX
(SIL Open Font Licence), as shipped with matplotlib.
"""

import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from jaxmeta.datasets._cache import cached, data_home
from jaxmeta.datasets._class_data import Splits, split_classes

# Test scripts come first: a character that looks the same in two scripts stays in the earlier one.
SCRIPTS = {
    "meta_test": ("GREEK", "ARMENIAN"),
    "meta_val": ("GEORGIAN",),
    "meta_train": ("LATIN", "DIGIT", "CYRILLIC"),
}
FONTS = ("DejaVuS*", "STIXGeneral*")  # matplotlib's cm fonts have charmaps of their own.
CATEGORIES = ("Lu", "Ll", "Lo", "Nd")
LEAST_STYLES, IMAGES_PER_CLASS, SIZE = 12, 20, 28
CANVAS = 112  # pixels; characters are drawn, bent and only then made small
VERSION = 1  # of the rendering; a new one makes the cache anew


def glyphs(*, cache_dir: str | Path | None = None) -> Splits:
    """Characters in many typefaces, 20 images a class, cut by script.

    meta_train is Latin, digits and Cyrillic, meta_val Georgian, meta_test Greek and Armenian.
    Characters that look alike, such as Latin A and Greek Alpha, are one class, in the test split if
    it has them. Every image is bent by a small random affine map: turned by up to 15 degrees,
    scaled, sheared and shifted.

    Args:
      cache_dir: folder of the rendered arrays; None is `$JAXMETA_DATA`, or `jaxmeta` in the
        user's cache folder.

    Returns `Splits` with images `[T, 28, 28, 1]` uint8, ink 255.

    The first call renders, in some ten seconds.

    Example:
      >>> splits = glyphs()
      >>> splits.meta_train.images.shape[1:]
      (28, 28, 1)
    """
    name = f"glyphs-{VERSION}-matplotlib-{matplotlib.__version__}.npz"
    folder = data_home() if cache_dir is None else Path(cache_dir)
    arrays = cached(folder / name, _render_all)
    names = [str(name) for name in arrays["class_names"]]
    splits: dict[str, list[str]] = {split: [] for split in SCRIPTS}
    for class_name, split in zip(names, arrays["splits"], strict=True):
        splits[str(split)].append(class_name)
    classes = dict(zip(names, arrays["images"], strict=True))
    return split_classes(classes, (splits["meta_train"], splits["meta_val"], splits["meta_test"]))


def _render_all() -> dict[str, np.ndarray]:
    characters = _characters()
    seen: set[bytes] = set()
    names, splits, images = [], [], []
    for split, scripts in SCRIPTS.items():
        for character, fonts in characters.items():
            if unicodedata.name(character).split()[0] not in scripts:
                continue
            styles = _distinct(character, fonts)
            looks = {_small(style).tobytes() for style in styles}
            if len(styles) < LEAST_STYLES or looks & seen:
                continue
            seen |= looks
            names.append(unicodedata.name(character))
            splits.append(split)
            images.append(_class_images(character, styles))
    return {
        "images": np.stack(images),
        "class_names": np.array(names),
        "splits": np.array(splits),
    }


def _characters() -> dict[str, list[ImageFont.FreeTypeFont]]:
    """Letters and digits with the fonts that really have them, plain sans first."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [path for pattern in FONTS for path in sorted(folder.glob(pattern + ".ttf"))]
    paths.sort(key=lambda path: path.stem != "DejaVuSans")
    fonts = {path: ImageFont.truetype(str(path), 72) for path in paths}
    charmaps = {path: FT2Font(str(path)).get_charmap() for path in paths}
    found = {}
    for code in sorted(set().union(*charmaps.values())):
        character = chr(code)
        having = [fonts[path] for path in paths if code in charmaps[path]]
        if unicodedata.category(character) in CATEGORIES and len(having) >= LEAST_STYLES:
            found[character] = having
    return found


def _distinct(character: str, fonts: list[ImageFont.FreeTypeFont]) -> list[Image.Image]:
    """Renderings that differ at 28x28, each `[CANVAS, CANVAS]`."""
    distinct: dict[bytes, Image.Image] = {}
    for font in fonts:
        image = Image.new("L", (CANVAS, CANVAS))
        draw = ImageDraw.Draw(image)
        left, top, right, bottom = draw.textbbox((0, 0), character, font=font)
        corner = ((CANVAS - left - right) / 2, (CANVAS - top - bottom) / 2)
        draw.text(corner, character, fill=255, font=font)
        distinct.setdefault(_small(image).tobytes(), image)
    return list(distinct.values())


def _small(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def _class_images(character: str, styles: list[Image.Image]) -> np.ndarray:
    """`[IMAGES_PER_CLASS, SIZE, SIZE, 1]`, over the styles in turn, each bent anew."""
    # The data set is fixed: its seed is the character itself.
    rng = np.random.default_rng(ord(character))
    order = rng.permutation(len(styles))
    images = [_small(_bend(styles[order[i % len(styles)]], rng)) for i in range(IMAGES_PER_CLASS)]
    return np.stack([np.asarray(image) for image in images])[..., None]


def _bend(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    angle, shear = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(-0.2, 0.2)
    scale = 1 / rng.uniform(0.75, 1.1, size=2)  # PIL maps output pixels to input pixels.
    shift = rng.uniform(-8, 8, size=2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
    middle = np.full(2, CANVAS / 2)
    offset = middle - matrix @ (middle + shift)
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    return image.transform(
        image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
