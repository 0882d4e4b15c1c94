"""Classes drawn for each split."""

from collections.abc import Sequence

import numpy as np


def draw_classes(
    names: Sequence[str], split_sizes: tuple[int, int, int] | None = None, seed: int = 0
) -> tuple[list[str], list[str], list[str]]:
    """Draws the classes of each split from a NumPy generator of `seed`, over sorted names.

    For splits of data larger than memory: `image_files(folder, image_size=84).class_names` are
    drawn, and `image_files(folder, image_size=84, classes=...)` reads those of one split.

    Args:
      names: of all classes.
      split_sizes: classes of meta_train, meta_val and meta_test; see `image_folder` for None.
      seed: of the draw.

    Raises:
      ValueError: there are fewer than three classes, or than the sizes ask for.

    Example:
      >>> [len(names) for names in draw_classes("abcdefgh")]
      [6, 1, 1]
    """
    if len(names) < 3:
        raise ValueError(f"three splits need 3 classes or more, got {len(names)}.")
    held_out = max(1, len(names) // 5)
    sizes = (len(names) - 2 * held_out, held_out, held_out) if split_sizes is None else split_sizes
    if len(sizes) != 3 or min(sizes) < 1 or sum(sizes) > len(names):
        raise ValueError(
            "split_sizes must be three numbers >= 1 that add up to at most the "
            f"{len(names)} classes, got {sizes}."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    shuffled = [sorted(names)[place] for place in order[: sum(sizes)]]
    train, val, test = np.split(np.array(shuffled, object), np.cumsum(sizes)[:-1])
    return list(train), list(val), list(test)
