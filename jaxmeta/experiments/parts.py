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
    at_test: Any = None  # as evaluated; None: as trained
    after: Callable[[int], Any] | None = None  # as evaluated after that many inner steps
    inner_steps: range = range(0)  # numbers of them to test after; empty without an inner loop
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
    is_pooled_and_flat: bool  # whether it max-pools and flattens its last map

    def build(self, n_outputs: int | None) -> Any:
        """The module; None: without a head."""


class Domain(Protocol):
    """Data and tasks."""

    acts: bool  # whether its tasks are environments to act in
    has_images: bool  # whether an episode can be drawn
    has_paths: bool  # whether an agent walks in a plane, which can be drawn
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

    def samples(self) -> Samples:
        """Loads the data."""

    def tested_on(self, split: Split) -> Samples:
        """The same with `meta_test` drawn from another split."""

    def results(self, work: Work) -> Mapping[str, Any]:
        """The meta-test: what `evaluation.json` holds of the learner and the floors."""

    def trace(self, work: Work) -> Mapping[str, Any] | None:
        """What a learner with a memory does along one task; None of others."""


class Method(Protocol):
    """A learner, and how it is trained."""

    acts: bool  # whether it is an agent
    any_way: bool  # whether one learner takes any number of classes
    traced_fields: tuple[str, ...]  # floats that may be values of a trace, as in a sweep at once
    one_pass: bool  # whether it reads the support set in one pass, without inner steps
    look_back: Callable | None  # of an agent that looks at earlier steps

    @property
    def analysed_lr(self) -> float | None:
        """The inner rate of one that adapts the plain weights of a net; None of others."""

    @property
    def is_second_order(self) -> bool:
        """Whether the meta-gradient is the derivative of the loss."""

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on a net and a domain."""

    def tested_after(self, inner_steps: int) -> Any:
        """The same method with that many inner steps at test; a `ValueError` where it has none."""

    def measured(self, metric: Metric) -> str:
        """What the number of an episode is, in words: two of other words do not compare."""

    def extra_results(self, work: Work) -> Mapping[str, Any]:
        """Results of the meta-test beside those of the domain."""

    def embedder(self, net: Any) -> Any:
        """The embedding by which rows are compared; None where none are."""

    def parts(self) -> Mapping[str, Any] | None:
        """Controller and memory whose reads and writes can be seen; None without."""

    def look(self, net: Any, learner: Any) -> Any:
        """Of one that reads in one pass: the learner whose `adapt` keeps what there is to draw."""

    def curve(self, net: Any, learner: Any) -> Any:
        """Of such a one: the learner whose `predict` gives mean and, if any, deviation."""

    def weights(self, adapted: Any) -> Mapping[str, Any]:
        """The weights that are generated, by name."""

    def attention(self, adapted: Any) -> Mapping[str, Any]:
        """Attention maps by the layer that is generated, each the mean of the heads."""


def check_part(part: Any, protocol: type, defaults: str) -> None:
    """A part of a recipe has all that is asked of it.

    Args:
      part: of the recipe.
      protocol: one of those above.
      defaults: the class that answers what most parts answer alike.

    Raises:
      TypeError: it has not; names what is missing.
    """
    names = [*vars(protocol), *protocol.__annotations__]
    missing = sorted(name for name in names if not name.startswith("_") and not hasattr(part, name))
    if missing:
        raise TypeError(
            f"{type(part).__name__} has no {', '.join(missing)}: define them, or let it inherit "
            f"from jaxmeta.experiments.{defaults}, which has the usual ones."
        )
