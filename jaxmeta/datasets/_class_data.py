"""Arrays with classes."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ClassData:
    """Placeholder until the data sets land."""

    images: np.ndarray
    counts: np.ndarray
    class_names: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)
