"""Regression: tasks as frozen dataclasses."""

import dataclasses
from typing import ClassVar

import optax

from jaxmeta import datasets, losses, tasks
from jaxmeta.experiments.domains.domain import Domain
from jaxmeta.experiments.metric import SQUARED_ERROR
from jaxmeta.experiments.parts import Samples, Split

SPLITS = ("meta_train", "meta_val", "meta_test")


class _Regression(Domain):
    """One value for each point."""

    metric = SQUARED_ERROR
    loss_fn = staticmethod(optax.squared_error)
    score = staticmethod(losses.squared_error)

    @property
    def n_outputs(self) -> int:
        """Values of a point."""
        return 1

    def tested_on(self, split: Split) -> Samples:
        """The same: tasks are drawn at random in every split."""
        return self.samples()


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
    """Support points in training."""
    q_queries: int = 10
    """Query points in training."""
    test_k_shot: int = 5
    """Support points at test."""
    test_q_queries: int = 100
    """Query points at test."""

    def samples(self) -> Samples:
        """Sinusoids, tested at several shots, the recipe's own first; the same in all splits."""
        meta_test = {
            f"{k_shot}-shot": tasks.sinusoid(k_shot=k_shot, q_queries=self.test_q_queries)
            for k_shot in dict.fromkeys([self.test_k_shot, 5, 10, 20])
        }
        meta_train = tasks.sinusoid(k_shot=self.k_shot, q_queries=self.q_queries)
        return Samples(meta_train, next(iter(meta_test.values())), meta_test)


@dataclasses.dataclass(frozen=True)
class Regression(_Regression):
    """Regression on a table of your own, whose groups are the tasks."""

    protocol_fields: ClassVar = Sinusoid.protocol_fields
    training_fields: ClassVar = Sinusoid.training_fields

    table: str | datasets.Table = "csv:table.csv"
    """The table: csv:PATH, a file with a line of names; from Python also a `Table` of arrays."""
    group: str = "group"
    """Name of the column that says the group of a row. Each group is a task."""
    target: str = "y"
    """Name of the column to predict. All further columns are inputs."""
    split_seed: int = 0
    """Seed by which groups are drawn: a fifth for meta_val, a fifth for meta_test."""
    k_shot: int = 5
    """Support rows in training."""
    q_queries: int = 5
    """Query rows in training."""
    test_k_shot: int = 5
    """Support rows at test."""
    test_q_queries: int = 5
    """Query rows at test."""

    @property
    def n_outputs(self) -> int:
        """Columns to predict."""
        return 1 if isinstance(self.table, str) else self.table.y.shape[-1]

    def load(self) -> datasets.Table:
        """The whole table.

        Raises:
          ValueError: `table` is of no known kind, or the file does not have what it should.
          FileNotFoundError: the file is not there.
        """
        if not isinstance(self.table, str):
            return self.table
        kind, _, path = self.table.partition(":")
        if kind != "csv" or not path:
            raise ValueError(f"table must be csv:PATH or a Table of arrays, got {self.table!r}.")
        return datasets.from_csv(path, group=self.group, target=self.target)

    def samples(self) -> Samples:
        """Groups of the table, none of which is in two splits."""
        return self.tested_on("meta_test")

    def tested_on(self, split: Split) -> Samples:
        """The groups of which split are tested can be said."""
        splits = dict(zip(SPLITS, self.load().split(self.split_seed), strict=True))
        meta_val, meta_test = (
            tasks.groups(splits[part], k_shot=self.test_k_shot, q_queries=self.test_q_queries)
            for part in ("meta_val", split)
        )
        meta_train = tasks.groups(
            splits["meta_train"], k_shot=self.k_shot, q_queries=self.q_queries
        )
        return Samples(meta_train, meta_val, {f"{self.test_k_shot}-shot": meta_test})


@dataclasses.dataclass(frozen=True)
class Quadratic(_Regression):
    """Least squares in a few unknowns."""

    dimension: int = 10
    """Unknowns of a problem, which has as many equations."""

    def samples(self) -> Samples:
        """Random problems, the same in all splits."""
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
    """Fewest support points of a task."""
    most_k_shot: int = 10
    """Most support points of a task."""
    q_queries: int = 50
    """Query points of a task."""

    def samples(self) -> Samples:
        """Random curves, the same in all splits."""
        shots = (self.least_k_shot, self.most_k_shot)
        text = f"{shots[0]} to {shots[1]}" if shots[0] < shots[1] else shots[0]
        sample = tasks.gaussian_process(k_shot=shots, q_queries=self.q_queries)
        return Samples(sample, sample, {f"{text}-shot": sample})


Regressions = Sinusoid | Regression | Quadratic | GaussianProcess
