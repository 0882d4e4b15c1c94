"""Regression: tasks as frozen dataclasses."""

import dataclasses

import optax

from jaxmeta import losses, tasks
from jaxmeta.experiments.domains.domain import Domain
from jaxmeta.experiments.metric import SQUARED_ERROR
from jaxmeta.experiments.parts import Samples


class _Regression(Domain):
    """One value for each point."""

    metric = SQUARED_ERROR
    n_outputs = 1
    loss_fn = staticmethod(optax.squared_error)
    score = staticmethod(losses.squared_error)


@dataclasses.dataclass(frozen=True)
class Sinusoid(_Regression):
    """Regression of `a sin(x - p)`."""

    k_shot: int = 10
    """support points in training"""
    q_queries: int = 10
    """query points in training"""
    test_k_shot: int = 5
    """support points at test"""
    test_q_queries: int = 100
    """query points at test"""

    def samples(self) -> Samples:
        """Sinusoids, tested at several shots, the recipe's own first."""
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

    def samples(self) -> Samples:
        """Random problems, the same in all splits."""
        sample = tasks.quadratic(self.dimension)
        return Samples(sample, sample, {f"{self.dimension} unknowns": sample})


@dataclasses.dataclass(frozen=True)
class GaussianProcess(_Regression):
    """Regression of curves drawn from a Gaussian process."""

    least_k_shot: int = 3
    """fewest support points"""
    most_k_shot: int = 10
    """most support points"""
    q_queries: int = 50
    """query points"""

    def samples(self) -> Samples:
        """Random curves, the same in all splits."""
        shots = (self.least_k_shot, self.most_k_shot)
        sample = tasks.gaussian_process(k_shot=shots, q_queries=self.q_queries)
        return Samples(sample, sample, {f"{shots[0]} to {shots[1]}-shot": sample})
