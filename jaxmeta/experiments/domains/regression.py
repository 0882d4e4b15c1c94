"""Regression: tasks as frozen dataclasses."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sinusoid:
    """Regression of `a sin(x - p)`."""

    k_shot: int = 10
    """support points in training"""
    q_queries: int = 10
    """query points in training"""
    test_k_shot: int = 5
    """support points at test"""
    test_q_queries: int = 100
    """query points at test"""


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Least squares in a few unknowns."""

    dimension: int = 10
    """unknowns, and equations"""


@dataclasses.dataclass(frozen=True)
class GaussianProcess:
    """Regression of curves drawn from a Gaussian process."""

    least_k_shot: int = 3
    """fewest support points"""
    most_k_shot: int = 10
    """most support points"""
    q_queries: int = 50
    """query points"""
