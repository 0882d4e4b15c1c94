"""Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings each.

Lake, Salakhutdinov & Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 2015; MIT licence, https://github.com/brendenlake/omniglot.
"""

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets._cache import DAMAGED_ZIP, cached, data_home
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._class_folders import is_hidden
from jaxmeta.datasets._pictures import picture
from jaxmeta.datasets._split_lists import class_lists
from jaxmeta.datasets._tfds import tensorflow_datasets

PARTS = ("images_background", "images_evaluation")
N_CHARACTERS, N_DRAWERS = 1623, 20
VERSION = 1  # of the decoding; a new one makes the cache anew
MOST_BYTES, MOST_PIXELS = 1_000_000, 4096  # of a drawing, which has some 200 bytes and 105 pixels
RANDOM_SPLIT_SEED = 1  # as in cbfinn/maml, whose own order is another generator's


def omniglot(
    data_dir: str | Path | None = None,
    *,
    split: Literal["vinyals", "random"] = "vinyals",
    image_size: int = 28,
) -> Splits:
    """Omniglot as the few-shot literature uses it: 28x28 grey, ink 255, Lanczos-resized.

    Args:
      data_dir: folder with `images_background.zip` and `images_evaluation.zip`, or with those
        archives unpacked, or a tensorflow-datasets folder where `omniglot` is prepared. None is
        `omniglot` in `$JAXMETA_DATA`, or in `jaxmeta` in the user's cache folder.
      split: `"vinyals"`, the 1028/172/423 characters of Vinyals et al. 2016; or `"random"`,
        1100/100/423 characters drawn without regard to alphabets, as Finn et al. 2017 do.
      image_size: height and width in pixels.

    Returns `Splits` with images `[T, image_size, image_size, 1]` uint8, 20 a class; rotations are
    up to `tasks.episodes`.

    The decoded arrays are kept in the user's cache folder.

    Raises:
      FileNotFoundError: the folder or its files are missing; says which to put where.
      ValueError: an archive is damaged or not complete, or an argument is none of its choices.
    """
    if split not in ("vinyals", "random"):
        raise ValueError(f"split must be 'vinyals' or 'random', got {split!r}.")
    at_least(1, image_size=image_size)
    folder = data_home() / "omniglot" if data_dir is None else Path(data_dir)
    if all(_source(folder, part) for part in PARTS):
        classes = _cached_classes(folder, image_size)
    elif (folder / "omniglot").is_dir():
        classes = _from_tfds(folder, image_size)
    else:
        raise FileNotFoundError(_advice(folder))
    wrong = [name for name, images in classes.items() if len(images) != N_DRAWERS]
    if len(classes) != N_CHARACTERS or wrong:
        raise ValueError(
            f"Omniglot in {folder} must have {N_CHARACTERS} characters with {N_DRAWERS} drawings "
            f"each, got {len(classes)}, of which {len(wrong)} with another number."
        )
    return split_classes(
        classes, class_lists("omniglot-vinyals") if split == "vinyals" else _random(classes)
    )


def _advice(folder: Path) -> str:
    state = "lacks them" if folder.is_dir() else "does not exist"
    return (
        f"Omniglot needs images_background.zip and images_evaluation.zip in {folder}, which "
        f"{state}. They are in the folder `python` of https://github.com/brendenlake/omniglot. "
        "With network: `pip install jaxmeta[tfds] tensorflow`, then "
        f"`tfds build omniglot --data_dir {folder} --file_format array_record`."
    )


def _source(folder: Path, part: str) -> Path | None:
    for path in (folder / f"{part}.zip", folder / part):
        if path.exists():
            return path
    return None


def _cached_classes(folder: Path, image_size: int) -> dict[str, np.ndarray]:
    sources = [source for part in PARTS if (source := _source(folder, part))]

    def decode():
        classes: dict[str, np.ndarray] = {}
        for source in sources:
            classes |= read_classes(source, image_size)
        names = sorted(classes)
        return {
            "images": np.concatenate([classes[name] for name in names]),
            "counts": np.array([len(classes[name]) for name in names]),
            "class_names": np.array(names),
        }

    stamps = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in sources]
    stamp = zlib.crc32(repr((VERSION, stamps)).encode())
    arrays = cached(data_home() / f"omniglot-{image_size}-{stamp:08x}.npz", decode)
    parts = np.split(arrays["images"], np.cumsum(arrays["counts"])[:-1])
    return {str(name): part for name, part in zip(arrays["class_names"], parts, strict=True)}


def read_classes(source: Path, image_size: int) -> dict[str, np.ndarray]:
    """Reads an archive or an unpacked folder of `.../Alphabet/characterNN/XXXX_YY.png`.

    Returns images `[k, image_size, image_size, 1]` uint8 by `Alphabet/characterNN`, by drawer.

    Raises:
      ValueError: the archive or an image is damaged; names it.
    """
    drawings: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for path, content in _png_files(source):
        if path.count("/") < 2:
            raise ValueError(f"{source}: {path!r} is not in folders Alphabet/characterNN.")
        *_, alphabet, character, file = path.split("/")
        ink = _ink(content, f"{source}: {path}", image_size)
        drawings[f"{alphabet}/{character}"].append((file, ink))
    return {
        name: np.stack([image for _, image in sorted(images, key=lambda pair: pair[0])])
        for name, images in drawings.items()
    }


def _png_files(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in sorted(source.glob("*/*/*.png")):
            if is_hidden(path.relative_to(source)):
                continue
            if not path.is_file():  # A pipe would be waited for.
                raise ValueError(f"{path} is not a file.")
            _check_size(source, path.name, path.stat().st_size)
            yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".png") and not is_hidden(PurePosixPath(name)):
                    _check_size(source, name, archive.getinfo(name).file_size)
                    yield name, archive.read(name)  # In memory: no name of a member is a path here.
    except DAMAGED_ZIP as error:
        raise ValueError(f"{source} is a damaged zip archive ({error}).") from error


def _check_size(source: Path, name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"{source}: {name} is no drawing: {size} bytes.")


def _ink(content: bytes, name: str, image_size: int) -> np.ndarray:
    """Grey `[image_size, image_size, 1]` uint8, ink 255 on 0."""
    return 255 - picture(
        content, name=name, image_size=image_size, grey=True, most_pixels=MOST_PIXELS
    )


def _from_tfds(folder: Path, image_size: int) -> dict[str, np.ndarray]:
    """Reads what tensorflow-datasets has prepared in `folder`, without tensorflow."""
    tfds = tensorflow_datasets()
    builder = tfds.builder("omniglot", data_dir=folder)
    name_of = builder.info.features["label"].int2str
    drawings = defaultdict(list)
    for part in ("train", "test"):
        # As files: tensorflow-datasets decodes a 1-bit PNG to 0 and 1, or to 0 and 255.
        files = builder.as_data_source(part, decoders={"image": tfds.decode.SkipDecoding()})
        for number, example in enumerate(files):
            alphabet, _, character = name_of(int(example["label"])).rpartition("_")
            ink = _ink(example["image"], f"{folder}: image {number} of {part}", image_size)
            drawings[f"{alphabet}/character{int(character) + 1:02d}"].append(ink)
    return {name: np.stack(images) for name, images in sorted(drawings.items())}


def _random(classes: dict[str, np.ndarray]) -> tuple[list[str], list[str], list[str]]:
    names = sorted(classes)
    order = np.random.default_rng(RANDOM_SPLIT_SEED).permutation(len(names))
    shuffled = [names[i] for i in order]
    return shuffled[:1100], shuffled[1100:1200], shuffled[1200:]
