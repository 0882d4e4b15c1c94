"""Episodes a second: drawn on the device, and read from disk by Grain.

    pip install -e '.[grain]' && python benchmarks/episodes_from_disk.py

takes a minute on two cores. 5-way 1-shot with 15 queries a class, of the 28x28 glyphs, in batches
of 32 episodes; from ArrayRecord and from PNG files, read by threads and by two processes. The
machine's page cache holds the files, so this is the cost of drawing, reading and decoding, not that
of a disk. Writes `benchmarks/results/episodes_from_disk.json`.
"""

import itertools
import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxmeta import datasets, tasks

SHAPE = {"n_way": 5, "k_shot": 1, "q_queries": 15}
BATCH, SECONDS = 32, 5
OUT = Path(__file__).resolve().parent / "results" / "episodes_from_disk.json"


def rate(next_batch):
    """Episodes a second, after a first batch."""
    jax.block_until_ready(next_batch())
    started, batches = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < SECONDS:
        jax.block_until_ready(next_batch())
        batches += 1
    return BATCH * batches / spent


def on_device(data):
    sample = tasks.episodes(data, **SHAPE)

    @jax.jit
    def batch(number):
        key = jax.random.fold_in(jax.random.key(0), number)
        return jax.vmap(sample)(jax.random.split(key, BATCH))

    numbers = itertools.count()
    return lambda: batch(next(numbers))


def from_disk(rows, **settings):
    batches = tasks.episodes_from_disk(rows, **SHAPE, seed=0, **settings).batches(0, BATCH)
    return lambda: next(batches)


def write_files(data, folder):
    starts = np.cumsum(data.counts) - data.counts
    for name, start, count in zip(data.class_names, starts, data.counts, strict=True):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(data.images[start : start + count]):
            Image.fromarray(image.squeeze()).save(folder / name / f"{number:03d}.png")


def main():
    data = datasets.glyphs().meta_train
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        datasets.write_array_records(data, folder / "records")
        write_files(data, folder / "files")
        records = datasets.array_records(folder / "records")
        files = datasets.image_files(folder / "files", image_size=28, grey=True)
        rates = {
            "on the device": rate(on_device(data)),
            "ArrayRecord, threads": rate(from_disk(records)),
            "ArrayRecord, 2 processes": rate(from_disk(records, workers=2)),
            "PNG files, threads": rate(from_disk(files)),
            "PNG files, 2 processes": rate(from_disk(files, workers=2)),
        }
    found = {"28x28x1": {way: round(number, 1) for way, number in rates.items()}}
    print(found)
    content = {
        "command": "python benchmarks/episodes_from_disk.py",
        "episodes_per_second": found,
        "setting": "5-way 1-shot, 15 queries a class, batches of 32, two CPU cores",
    }
    OUT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
