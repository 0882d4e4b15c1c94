"""Few-shot classification episodes of data larger than memory, read by Grain."""

import collections
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import at_least
from jaxmeta.datasets import Rows
from jaxmeta.episodes import Loaded
from jaxmeta.learner import Episode, Examples
from jaxmeta.tasks._pool import inputs

MOST_EPISODES = 2**40  # more than any run reads
AHEAD = 2  # batches that are on their way to the device while the step computes


def episodes_from_disk(
    rows: Rows,
    *,
    n_way: int,
    k_shot: int,
    q_queries: int,
    seed: int,
    workers: int = 0,
    threads: int = 16,
) -> Loaded:
    """N-way K-shot episodes whose images are read while the step before computes.

    Episode i is drawn from (seed, i), whatever the number of workers: classes without replacement,
    support and query disjoint. So a run resumes at the very episode by the number of its steps.

    Args:
      rows: images with their classes, such as `datasets.image_files` or `datasets.array_records`.
      n_way: classes per episode.
      k_shot: support rows per class.
      q_queries: query rows per class.
      seed: of the draws.
      workers: processes that read and decode; 0 leaves it to threads of this one.
      threads: of each reading process.

    Returns what `make_step` and `fit` take in place of a `sample`: `y` is one-hot float32, and `x`
    float32 in `[0, 1]` for rows of uint8, which are images and travel to the device as bytes. Rows
    of another dtype, such as ids of tokens, are given as they are.

    Raises:
      ValueError: a count is below 1, there are too few classes, a class has too few rows, or Grain
        is not installed.
    """
    at_least(1, n_way=n_way, k_shot=k_shot, q_queries=q_queries)
    if n_way > len(rows.counts):
        raise ValueError(f"n_way must be at most the {len(rows.counts)} classes, got {n_way}.")
    smallest = int(np.argmin(rows.counts))
    if rows.counts[smallest] < k_shot + q_queries:
        raise ValueError(
            f"every class must have k_shot + q_queries = {k_shot + q_queries} images or more, but "
            f"{rows.class_names[smallest]!r} has {rows.counts[smallest]}."
        )
    try:
        import grain
        from absl import flags
    except ImportError as error:
        raise ValueError("Grain is needed here: `pip install 'jaxmeta[grain]'`.") from error
    draw = _Draw(rows, n_way, k_shot, q_queries, seed)

    def batches(start, size):
        data = grain.MapDataset.range(start, MOST_EPISODES).map(draw).batch(size)
        data = data.to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        )
        if workers:
            if (
                not flags.FLAGS.is_parsed()
            ):  # Grain reads flags that a program without absl has not.
                flags.FLAGS.mark_as_parsed()
            data = data.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
        return _ahead(iter(data))

    return Loaded(draw(0), batches, _prepared)


class _Draw:
    """`index -> Episode` of numpy arrays."""

    def __init__(self, rows, n_way, k_shot, q_queries, seed):
        self._rows, self._n_way, self._seed = rows, n_way, seed
        self._k_shot, self._q_queries = k_shot, q_queries
        self._starts = np.cumsum(rows.counts) - rows.counts

    def __call__(self, index):
        rng = np.random.default_rng([self._seed, index])
        support, query = [], []
        for chosen in rng.choice(len(self._starts), self._n_way, replace=False):
            total = self._k_shot + self._q_queries
            drawn = rng.choice(self._rows.counts[chosen], total, replace=False)
            images = [_row(self._rows, int(self._starts[chosen] + row)) for row in drawn]
            support += images[: self._k_shot]
            query += images[self._k_shot :]
        labels = np.eye(self._n_way, dtype=np.float32)
        return Episode(
            _examples(np.stack(support), np.repeat(labels, self._k_shot, axis=0)),
            _examples(np.stack(query), np.repeat(labels, self._q_queries, axis=0)),
        )


def _examples(*arrays: Any) -> Examples:
    """Of NumPy's arrays, which the step moves to its device."""
    return Examples(*arrays)


def _row(rows, number):
    row = rows[number]
    if row.dtype.kind in "iu" and row.dtype.itemsize == 8:
        # JAX holds 32 bits unless it is told otherwise, and would cut the others off in silence.
        small = row.astype(np.int32)
        if (small != row).any():
            raise ValueError(f"integers must fit into 32 bits, but row {number} has others.")
        return small
    return row


def _ahead(batches) -> Iterator[Episode]:
    """The next batches are copied to the device while the step computes."""
    waiting: collections.deque = collections.deque()
    for batch in batches:
        waiting.append(jax.tree.map(jnp.asarray, batch))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _prepared(episode):
    def part_of(part):
        return part._replace(x=inputs(part.x, part.x.dtype == jnp.uint8))

    return Episode(*map(part_of, episode))
