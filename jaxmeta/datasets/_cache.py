"""Arrays made once and kept in a folder."""

import lzma
import os
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

# What the standard library raises at a damaged archive; RuntimeError also at an encrypted one.
DAMAGED_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    UnicodeDecodeError,
    OverflowError,
    MemoryError,
)


def data_home() -> Path:
    """Folder of data and caches: `$JAXMETA_DATA`, or `jaxmeta` in the user's cache folder."""
    if "JAXMETA_DATA" in os.environ:
        return Path(os.environ["JAXMETA_DATA"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "jaxmeta"


def cached(
    path: Path, make: Callable[[], dict[str, np.ndarray]], *, compressed: bool = True
) -> dict[str, np.ndarray]:
    """The arrays in the `.npz` file at `path`, made and written first where need be.

    A file that cannot be read is made again, with a warning. Nothing is unpickled. The file is
    written whole or not at all; a folder that cannot be written costs the cache, not the result.
    Photographs hardly get smaller when `compressed`, and take long.
    """
    if path.exists():
        try:
            with path.open("rb") as stored, np.load(stored, allow_pickle=False) as arrays:
                return dict(arrays)
        except (*DAMAGED_ZIP, ValueError, KeyError, SyntaxError) as error:
            warnings.warn(f"{path} is damaged ({error}): it is made again.", stacklevel=3)
    arrays = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            save = np.savez_compressed if compressed else np.savez
            save(file, allow_pickle=False, **arrays)
        os.replace(file.name, path)
    except OSError as error:
        warnings.warn(f"{path} could not be written ({error}): nothing is kept.", stacklevel=3)
    return arrays
