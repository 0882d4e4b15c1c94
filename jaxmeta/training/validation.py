"""How a run measures its progress."""

from collections.abc import Callable
from typing import NamedTuple

from jaxmeta.episodes import Sample
from jaxmeta.learner import Learner
from jaxmeta.losses import accuracy
from jaxmeta.training.evaluate import make_evaluate


class Validation(NamedTuple):
    """How `fit` measures progress on the classes held out for it."""

    sample: Sample
    every: int  # meta-steps between two evaluations
    n_episodes: int
    metric: Callable = accuracy
    is_better: Callable[[float, float], bool] = float.__gt__  # (new, best so far)
    learner: Learner | None = None  # evaluated in place of the one trained, same parameters
    make_evaluate: Callable = make_evaluate  # (learner, sample, *, n_episodes, metric) -> score
