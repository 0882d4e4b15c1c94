"""Regression: tasks as frozen dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import optax

from jaxmeta import losses, tasks
from jaxmeta.experiments.metric import SQUARED_ERROR
from jaxmeta.experiments.parts import Samples, Split, Work
from jaxmeta.experiments.reports.episodes import regression_results
from jaxmeta.training import few_shot


class _Regression:
    """One value for each point."""

    acts = False
    has_images = False
    protocol_fields: ClassVar[Mapping[str, tuple[str, ...]]] = {"transductive": ()}
    training_fields: ClassVar[tuple[str, ...]] = ()
    has_paths = False
    metric = SQUARED_ERROR
    n_outputs = 1
    loss_fn = staticmethod(optax.squared_error)
    score = staticmethod(losses.squared_error)
    scored_by = staticmethod(few_shot)

    def results(self, work: Work) -> dict:
        """The learner, fresh parameters, and the adaptation."""
        return regression_results(work)

    def trace(self, work: Work) -> None:
        """None: the points of a task come together."""


@dataclasses.dataclass(frozen=True)
class Sinusoid(_Regression):
    """Regression of `a sin(x - p)`."""

    protocol_fields: ClassVar = {
        "k_shot": ("test_k_shot",),
        "q_queries": ("test_q_queries",),
        "transductive": (),
    }
    training_fields: ClassVar = ("k_shot", "q_queries")

    k_shot: int = 10
    """support points in training"""
    q_queries: int = 10
    """query points in training"""
    test_k_shot: int = 5
    """support points at test"""
    test_q_queries: int = 100
    """query points at test"""

    def samples(self, tested: Split = "meta_test") -> Samples:
        """Sinusoids, tested at several shots, the recipe's own first; the same in all splits."""
        del tested
        meta_test = {
            f"{k_shot}-shot": tasks.sinusoid(k_shot=k_shot, q_queries=self.test_q_queries)
            for k_shot in dict.fromkeys([self.test_k_shot, 5, 10, 20])
        }
        meta_train = tasks.sinusoid(k_shot=self.k_shot, q_queries=self.q_queries)
        return Samples(meta_train, next(iter(meta_test.values())), meta_test)


@dataclasses.dataclass(frozen=True)
class Quadratic(_Regression):
    """Least squares in a few unknowns."""

    dimension: int = 10
    """unknowns, and equations"""

    def samples(self, tested: Split = "meta_test") -> Samples:
        """Random problems, the same in all splits."""
        del tested
        sample = tasks.quadratic(self.dimension)
        return Samples(sample, sample, {f"{self.dimension} unknowns": sample})


@dataclasses.dataclass(frozen=True)
class GaussianProcess(_Regression):
    """Regression of curves drawn from a Gaussian process."""

    protocol_fields: ClassVar = {
        "k_shot": ("least_k_shot", "most_k_shot"),
        "q_queries": ("q_queries",),
        "transductive": (),
    }

    least_k_shot: int = 3
    """fewest support points"""
    most_k_shot: int = 10
    """most support points"""
    q_queries: int = 50
    """query points"""

    def samples(self, tested: Split = "meta_test") -> Samples:
        """Random curves, the same in all splits."""
        del tested
        shots = (self.least_k_shot, self.most_k_shot)
        text = f"{shots[0]} to {shots[1]}" if shots[0] < shots[1] else shots[0]
        sample = tasks.gaussian_process(k_shot=shots, q_queries=self.q_queries)
        return Samples(sample, sample, {f"{text}-shot": sample})
