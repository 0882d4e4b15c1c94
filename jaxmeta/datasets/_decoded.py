"""Pictures decoded once: arrays by class, kept in a cache under a name made of their contents."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets._cache import cached, data_home
from jaxmeta.datasets._pictures import picture

VERSION = 1  # of the decoding; a new one makes the caches anew
THREADS = 16  # Reading and decoding leave Python's lock alone.


class Source(NamedTuple):
    """One picture that is not decoded yet."""

    class_name: str
    name: str  # what an error calls it
    read: Callable[[], bytes]


def file_sources(classes: dict[str, list[Path]]) -> list[Source]:
    """The files of each class, in order."""
    return [
        Source(name, str(path), path.read_bytes)
        for name, paths in classes.items()
        for path in paths
    ]


def decoded(
    sources: Sequence[Source], *, image_size: int, grey: bool, cache_dir: str | Path | None
) -> dict[str, np.ndarray]:
    """Images `[k, image_size, image_size, C]` uint8 by class, in the order of the sources.

    All contents are read, and decoded if the cache has not seen them: other contents, classes, an
    other order or size make another entry, whatever the files' names, dates or place.

    Raises:
      ValueError: `image_size` is below 1, or a picture cannot be read; names it.
    """
    at_least(1, image_size=image_size)
    by_class: dict[str, list[Source]] = {}
    for source in sources:
        by_class.setdefault(source.class_name, []).append(source)
    names, counts = list(by_class), list(map(len, by_class.values()))
    ordered = [source for group in by_class.values() for source in group]

    def decode(source):
        return picture(source.read(), name=source.name, image_size=image_size, grey=grey)

    def make():
        images = np.empty((len(ordered), image_size, image_size, 1 if grey else 3), np.uint8)
        with ThreadPoolExecutor(THREADS) as pool:
            for row, image in enumerate(pool.map(decode, ordered)):
                images[row] = image
        return {"images": images}

    key = _key(ordered, names, counts, (VERSION, image_size, grey))
    folder = data_home() if cache_dir is None else Path(cache_dir)
    images = cached(folder / f"pictures-{key}.npz", make, compressed=False)["images"]
    return dict(zip(names, np.split(images, np.cumsum(counts)[:-1]), strict=True))


def _key(sources, names, counts, settings):
    def digest(source):
        return hashlib.blake2b(source.read(), digest_size=32).digest()

    whole = hashlib.blake2b(repr((settings, names, counts)).encode(), digest_size=16)
    with ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(digest, sources):
            whole.update(part)
    return whole.hexdigest()
