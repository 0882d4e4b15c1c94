"""What the parts of a recipe are to each other: a domain, a net, a method.

Nothing asks of which class a part is: it asks the part.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import jax
import optax

from jaxmeta.episodes import Sample
from jaxmeta.experiments.metric import Metric
from jaxmeta.experiments.outer import Outer
from jaxmeta.training import Score, init_state, make_step

Split = Literal["meta_train", "meta_val", "meta_test"]


class Samples(NamedTuple):
    """Where the tasks of an experiment come from."""

    meta_train: Sample
    meta_val: Sample
    meta_test: dict[str, Sample]  # by the name of the setting; the recipe's own comes first


class Built(NamedTuple):
    """A method on a net and a domain."""

    learner: Any  # as trained: a Learner, or of tasks to act in an rl.Agent
    at_test: Any  # as evaluated
    after: Callable[[int], Any]  # as evaluated after that many inner steps
    inner_steps: range  # numbers of them to test after; empty without an inner loop
    optimiser: Callable[[Outer], optax.GradientTransformation] = Outer.build
    make_step: Callable = make_step
    init_state: Callable = init_state
    score: Callable | None = None  # in place of the domain's
    scored_by: Callable[[Callable], Score] | None = None  # in place of the domain's
    spreads: bool = False  # of an agent: whether its tasks are shared among the cores of a CPU


class Work(NamedTuple):
    """What a meta-test has to do."""

    recipe: Any
    experiment: Any
    params: Any
    start: Any  # fresh parameters
    key: jax.Array
    n_episodes: int
    transductive: bool = False  # by that protocol alone


class NetConfig(Protocol):
    """A net."""

    convolves: bool  # whether its weights are convolutions, and it takes images

    def build(self, n_outputs: int | None) -> Any:
        """The module; None: without a head."""


class Domain(Protocol):
    """Data and tasks."""

    acts: bool  # whether its tasks are environments to act in
    has_images: bool  # whether an episode can be drawn
    metric: Metric
    training_fields: tuple[str, ...]  # those that change nothing in an episode of a test

    @property
    def protocol_fields(self) -> Mapping[str, tuple[str, ...]]:
        """Which words of a `Protocol` its tests take, and the fields that each of them sets."""

    @property
    def n_outputs(self) -> int:
        """Entries of a row of labels or targets."""

    @property
    def loss_fn(self) -> Callable:
        """A loss per example."""

    @property
    def score(self) -> Callable:
        """The metric of one episode."""

    @property
    def scored_by(self) -> Callable[[Callable], Score]:
        """From that metric to what validation measures."""

    def samples(self, tested: Split = "meta_test") -> Samples:
        """Loads the data; `Samples.meta_test` is of the classes of the split `tested`."""

    def results(self, work: Work) -> Mapping[str, Any]:
        """The meta-test: what `evaluation.json` holds of the learner and the floors."""

    def trace(self, work: Work) -> Mapping[str, Any] | None:
        """What a learner with a memory does along one task; None of others."""


class Method(Protocol):
    """A learner, and how it is trained."""

    acts: bool  # whether it is an agent
    any_way: bool  # whether one learner takes any number of classes
    analysed_lr: float | None  # inner rate of one that adapts the plain weights of a net
    is_second_order: bool  # whether the meta-gradient is the derivative of the loss
    traced_fields: tuple[str, ...]  # floats that may be values of a trace, as in a sweep at once

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on a net and a domain."""

    def tested_after(self, inner_steps: int) -> Any:
        """The same method with that many inner steps at test; a `ValueError` where it has none."""

    def measured(self, metric: Metric) -> str:
        """What the number of an episode is, in words: two of other words do not compare."""
