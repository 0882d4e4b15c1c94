"""How a run measures its progress."""

from collections.abc import Callable
from typing import NamedTuple

from jaxmeta.episodes import Sample
from jaxmeta.learner import Trainable
from jaxmeta.training.scores import Score


class Validation(NamedTuple):
    """How `fit` measures progress on the classes held out for it."""

    sample: Sample
    every: int  # meta-steps between two evaluations
    n_episodes: int
    metric: Callable | None = None  # short for score=few_shot(metric), as in `evaluate`
    is_better: Callable[[float, float], bool] = float.__gt__  # (new, best so far)
    learner: Trainable | None = None  # evaluated in place of the one trained, same parameters
    score: Score | None = None  # what is measured, as in `evaluate`; None: few_shot()
