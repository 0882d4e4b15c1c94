"""CIFAR-100 cut for few-shot learning: 100 classes of 600 colour images of 32x32 pixels.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html; its training and test images are pooled.
"""

import tarfile
from pathlib import Path

import numpy as np

from jaxmeta.datasets._cache import DAMAGED_ZIP, data_home
from jaxmeta.datasets._class_data import Splits, split_classes
from jaxmeta.datasets._pictures import picture
from jaxmeta.datasets._split_lists import class_lists
from jaxmeta.datasets._tfds import tensorflow_datasets

ARCHIVE, FOLDER = "cifar-100-binary.tar.gz", "cifar-100-binary"
FILES = {"train.bin": 50_000, "test.bin": 10_000}  # and their images
LABELS = ("coarse_label_names.txt", "fine_label_names.txt")
SHAPE = (3, 32, 32)
RECORD = 2 + int(np.prod(SHAPE))  # bytes: superclass, class, pixels
N_CLASSES, PER_CLASS = 100, 600
MOST_BYTES = 2**28  # of a file in the archive; the largest has 154 million


def cifar_fs(data_dir: str | Path | None = None) -> Splits:
    """CIFAR-FS: 64/16/20 classes of CIFAR-100 (Bertinetto et al. 2019, section 4.2).

    Args:
      data_dir: folder with `cifar-100-binary.tar.gz`, or with that archive unpacked, or a
        tensorflow-datasets folder where `cifar100` is prepared. None is `cifar100` in
        `$JAXMETA_DATA`, or in `jaxmeta` in the user's cache folder.

    Returns `Splits` with images `[T, 32, 32, 3]` uint8, 600 a class, and names
    `superclass/class`.

    Raises:
      FileNotFoundError: the folder or its files are missing; says which to put where.
      ValueError: the files are damaged or not complete.
    """
    return split_classes(_classes(data_dir), class_lists("cifar-fs"))


def fc100(data_dir: str | Path | None = None) -> Splits:
    """FC100: 60/20/20 classes of CIFAR-100 by superclass (Oreshkin et al. 2018, section 4.1).

    Arguments, result and errors are those of `cifar_fs`.
    """
    return split_classes(_classes(data_dir), class_lists("fc100"))


def _classes(data_dir):
    """Images `[600, 32, 32, 3]` uint8 by `superclass/class`."""
    folder = data_home() / "cifar100" if data_dir is None else Path(data_dir)
    if (folder / FOLDER).is_dir() or (folder / ARCHIVE).is_file():
        images, names = _from_binary(folder)
    elif list(folder.glob("cifar100/*/dataset_info.json")):
        images, names = _from_tfds(folder)
    else:
        raise FileNotFoundError(_advice(folder))
    present, numbers, counts = np.unique(names, return_inverse=True, return_counts=True)
    if len(present) != N_CLASSES or any(counts != PER_CLASS):
        raise ValueError(
            f"CIFAR-100 in {folder} must have {N_CLASSES} classes with {PER_CLASS} images each, "
            f"got {len(present)}, of which {np.sum(counts != PER_CLASS)} with another number."
        )
    in_order = images[np.argsort(numbers, kind="stable")]
    return dict(zip(map(str, present), np.split(in_order, N_CLASSES), strict=True))


def _advice(folder):
    state = "lacks it" if folder.is_dir() else "does not exist"
    return (
        f"CIFAR-100 needs {ARCHIVE} in {folder}, which {state}; it is on "
        "https://www.cs.toronto.edu/~kriz/cifar.html. With network: `pip install jaxmeta[tfds] "
        f"tensorflow`, then `tfds build cifar100 --data_dir {folder} --file_format array_record`."
    )


def _from_binary(folder):
    """All images, and the name of each one's class."""
    contents = _members(folder)
    coarse, fine = (_labels(folder, name, contents[name]) for name in LABELS)
    records = np.concatenate([_records(folder, name, contents[name]) for name in FILES])
    if records[:, 0].max() >= len(coarse) or records[:, 1].max() >= len(fine):
        raise ValueError(f"CIFAR-100 in {folder} is damaged: an image has a class without a name.")
    names = [f"{coarse[a]}/{fine[b]}" for a, b in records[:, :2]]
    return records[:, 2:].reshape(-1, *SHAPE).transpose(0, 2, 3, 1), names


def _labels(folder, name, content):
    try:
        return content.decode().split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} of CIFAR-100 in {folder} is not text ({error}).") from error


def _records(folder, name, content):
    if len(content) != FILES[name] * RECORD:
        raise ValueError(
            f"{name} of CIFAR-100 in {folder} must have {FILES[name] * RECORD} bytes, "
            f"got {len(content)}."
        )
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)


def _members(folder):
    """The files' contents by name; read in memory, so no name of a member is a path here."""
    wanted = (*FILES, *LABELS)
    unpacked, archive = folder / FOLDER, folder / ARCHIVE
    found = {}
    if unpacked.is_dir():
        for path in (unpacked / name for name in wanted):
            if path.is_file():
                _check_size(folder, path.name, path.stat().st_size)
                found[path.name] = path.read_bytes()
    else:
        try:
            with tarfile.open(archive, "r:gz") as file:
                while len(found) < len(wanted) and (member := file.next()):
                    name = Path(member.name).name
                    _check_size(folder, name, member.size)
                    content = file.extractfile(member) if member.isfile() else None
                    if name in wanted and content is not None:
                        found[name] = content.read()
        except (tarfile.TarError, ValueError, *DAMAGED_ZIP) as error:
            raise ValueError(f"{archive} is damaged ({error}).") from error
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(f"CIFAR-100 in {folder} is not complete: {missing[0]} is missing.")
    return found


def _check_size(folder, name, size):
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"{name} of CIFAR-100 in {folder} has {size} bytes.")


def _from_tfds(folder):
    """What tensorflow-datasets has prepared in `folder`, read without tensorflow."""
    tfds = tensorflow_datasets()
    builder = tfds.builder("cifar100", data_dir=folder)
    coarse, fine = (builder.info.features[name].int2str for name in ("coarse_label", "label"))
    files = builder.as_data_source("train+test", decoders={"image": tfds.decode.SkipDecoding()})
    images, names = [], []
    for number, example in enumerate(files):
        name = f"image {number} of cifar100 in {folder}"
        images.append(picture(example["image"], name=name, image_size=None))
        names.append(f"{coarse(int(example['coarse_label']))}/{fine(int(example['label']))}")
    return np.stack(images), names
