"""Streams of images whose labels are shown one step late."""

import dataclasses
from collections.abc import Callable

import optax

from jaxmeta import losses, tasks
from jaxmeta.datasets import ClassData
from jaxmeta.episodes import Sample
from jaxmeta.experiments.domains.domain import Domain
from jaxmeta.experiments.domains.images import ImageSource
from jaxmeta.experiments.metric import ACCURACY
from jaxmeta.experiments.parts import Samples, Work
from jaxmeta.experiments.reports.streams import memory_trace, of_all_steps, stream_results


@dataclasses.dataclass(frozen=True)
class Streams(ImageSource, Domain):
    """Sequences of images whose labels are shown one step late."""

    metric = ACCURACY
    n_outputs = 0  # The width of the labels, whatever the learner is told.
    scored_by = staticmethod(of_all_steps)

    n_way: int = 5
    """Classes of a stream."""
    per_class: int = 10
    """Images of each class in a stream."""
    length: int | None = None
    """Steps of a stream. None: all its images."""
    strings: bool = False
    """Labels are strings of five letters, not one-hot."""
    size: int = 20
    """Side in pixels to which the images are made smaller."""
    max_turn: float = 0.0
    """Largest random turn of an image in training, in radians."""
    max_shift: float = 0.0
    """Largest random shift of an image in training, as a share of its side."""

    def sample(self, class_data: ClassData, *, training: bool) -> Sample:
        """Streams of one split."""
        return tasks.streams(
            class_data,
            n_way=self.n_way,
            per_class=self.per_class,
            length=self.length,
            labels=tasks.string_labels if self.strings else tasks.one_hot_labels,
            rotations=self.rotations,
            size=self.size,
            max_turn=self.max_turn if training else 0.0,
            max_shift=self.max_shift if training else 0.0,
        )

    @property
    def loss_fn(self) -> Callable:
        """Cross-entropy of a class, or of the letters of a string."""
        return losses.letters_cross_entropy if self.strings else optax.softmax_cross_entropy

    @property
    def score(self) -> Callable:
        """Which steps count as right."""
        return losses.letters_are_right if self.strings else losses.is_right

    @property
    def setting(self) -> str:
        """In words."""
        steps = self.n_way * self.per_class if self.length is None else self.length
        return f"{self.n_way} classes{' as strings' if self.strings else ''}, {steps} steps"

    def samples(self) -> Samples:
        """Loads the data."""
        splits = self.splits()
        meta_test = self.sample(splits.meta_test, training=False)
        return Samples(
            self.sample(splits.meta_train, training=True),
            self.sample(splits.meta_val, training=False),
            {self.setting: meta_test},
        )

    def results(self, work: Work) -> dict:
        """Accuracy by presentation: of the learner, untrained, of the nearest earlier image."""
        return stream_results(work)

    def trace(self, work: Work) -> dict | None:
        """Where a memory is written and read along the first stream."""
        return memory_trace(work)
