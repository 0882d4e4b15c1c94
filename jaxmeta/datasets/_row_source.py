"""What a source of rows is, read one at a time from disk."""

from typing import Protocol

import numpy as np


class Rows(Protocol):
    """Rows of several classes, those of a class adjacent, each read when it is asked for."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows of each class, in order."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    def __getitem__(self, row: int, /) -> np.ndarray:
        """One row: an image `[H, W, C]` uint8, or `[*X]` of another dtype as it is."""
