"""What a recipe is made of: frozen dataclasses, every field of which the command line can set."""

import dataclasses
import math
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import jax.nn.initializers as init
import optax
import tyro

from jaxmeta import networks
from jaxmeta.recipes._agents import Agents, Memory, Worlds
from jaxmeta.recipes._hyper import Conditional, Hypernetwork, HyperTransformer
from jaxmeta.recipes._images import ImageSource
from jaxmeta.recipes._in_context import Causal, Reader
from jaxmeta.recipes._learners import (
    Anil,
    Cavia,
    Imaml,
    LearnedOptimizer,
    Maml,
    MamlPlusPlus,
    MetaLstm,
    MetaSgd,
    Reptile,
)
from jaxmeta.recipes._memory import Augmented, Mann, MetaNetworks, Pixels, Snail, Streams
from jaxmeta.recipes._metric import Matching, Prototypical, Relation, Ridge, Siamese


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


@dataclasses.dataclass(frozen=True)
class Images(ImageSource):
    """Few-shot classification of images."""

    n_way: int = 5
    """classes per episode at test"""
    k_shot: int = 1
    """support images per class at test"""
    q_queries: int = 15
    """query images per class at test"""
    train_n_way: int = 5
    """classes per episode in training"""
    train_k_shot: int = 1
    """support images per class in training"""
    train_q_queries: int = 15
    """query images per class in training"""
    unlabelled: int = 0
    """further support images per class that come without their label"""


@dataclasses.dataclass(frozen=True)
class Mlp:
    """The sinusoid net of Finn et al."""

    hidden: tuple[int, ...] = (40, 40)
    """widths of the hidden layers"""
    init_scale: float | None = 0.01
    """standard deviation of the first kernels; None: Glorot's rule"""

    def build(self, n_outputs):
        """The module."""
        scale = self.init_scale
        kernel_init = init.glorot_normal() if scale is None else init.truncated_normal(scale)
        return networks.mlp(n_outputs, hidden=self.hidden, kernel_init=kernel_init)


@dataclasses.dataclass(frozen=True)
class Linear:
    """The unknowns of a quadratic problem as a linear net without bias."""

    init_scale: float = 0.01
    """standard deviation of the start"""

    def build(self, n_outputs):
        """The module."""
        return networks.linear(n_outputs, use_bias=False, init_scale=self.init_scale)


@dataclasses.dataclass(frozen=True)
class Conv4:
    """Four convolutional blocks."""

    width: int = 64
    """channels"""
    strided: bool = False
    """steps of 2 in place of max-pooling"""
    spatial_mean: bool = False
    """average the last map in place of flattening it"""
    embedding: int | None = None
    """units of a linear layer after the blocks where there is no head; None: no such layer"""

    def build(self, n_outputs):
        """The module."""
        n_outputs = self.embedding if n_outputs is None else n_outputs
        return networks.conv4(
            n_outputs, width=self.width, strided=self.strided, spatial_mean=self.spatial_mean
        )


@dataclasses.dataclass(frozen=True)
class RelationMaps:
    """The embedding of relation networks: maps in place of a vector."""

    width: int = 64
    """channels"""

    def build(self, n_outputs):
        """The module."""
        del n_outputs  # Maps have no head.
        return networks.relation_embedding(width=self.width)


@dataclasses.dataclass(frozen=True)
class SigmoidUnits:
    """The embedding of siamese networks: four convolutional blocks and sigmoid units."""

    units: int = 256
    """of the last layer; the paper's are 4096"""
    width: int = 64
    """channels"""

    def build(self, n_outputs):
        """The module."""
        del n_outputs  # Units have no head.
        return networks.siamese_embedding(self.units, width=self.width)


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer loop."""

    steps: int = 10000
    """meta-steps"""
    meta_batch_size: int = 4
    """tasks per meta-step"""
    outer_lr: float = 1e-3
    """rate of the outer optimiser"""
    optimiser: Literal["adam", "sgd"] = "adam"
    """outer optimiser; Reptile's is sgd"""
    schedule: Literal["constant", "linear", "cosine", "halving"] = "constant"
    """the rate over the run: constant, to zero linearly or by a cosine, or halved at intervals"""
    warm_up: int = 0
    """meta-steps over which the rate first rises from zero; the schedule follows"""
    clip: float | None = None
    """largest norm of the meta-gradient; None: no limit"""
    halve_every: int = 2000
    """meta-steps between two halvings"""
    steps_per_call: int = 10
    """meta-steps in one compiled call"""
    validate_every: int = 500
    """meta-steps between two evaluations on meta_val"""
    validation_episodes: int = 200
    """episodes of each"""
    seed: int = 0
    """seed of everything"""

    def check(self) -> None:
        """Raises a `ValueError` that names a count below 1."""
        counts = ("steps", "meta_batch_size", "steps_per_call", "validate_every")
        for name in (*counts, "validation_episodes", "halve_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}.")

    def build(self) -> optax.GradientTransformation:
        """The optax transformation.

        Raises:
          ValueError: a count is below 1, or the warm-up leaves no steps to the schedule.
        """
        self.check()
        if not 0 <= self.warm_up < self.steps:
            raise ValueError(
                f"warm_up must be >= 0 and below steps ({self.steps}), got {self.warm_up}."
            )
        steps = self.steps - self.warm_up
        rate = {
            "constant": optax.constant_schedule(self.outer_lr),
            "linear": optax.linear_schedule(self.outer_lr, 0.0, steps),
            "cosine": optax.cosine_decay_schedule(self.outer_lr, steps),
            "halving": optax.exponential_decay(
                self.outer_lr, self.halve_every, 0.5, staircase=True
            ),
        }[self.schedule]
        if self.warm_up:
            rise = optax.linear_schedule(0.0, self.outer_lr, self.warm_up)
            rate = optax.join_schedules([rise, rate], [self.warm_up])
        tx = optax.adam(rate) if self.optimiser == "adam" else optax.sgd(rate)
        return tx if self.clip is None else optax.chain(optax.clip_by_global_norm(self.clip), tx)


# What is known of a paper is no setting: the command does not take it.
_ONLY_HERE = (tyro.conf.Fixed, tyro.conf.Suppress)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One experiment: what the paper did, and what is done here."""

    paper: Annotated[str, *_ONLY_HERE]
    """paper and setting"""
    published: Annotated[str, *_ONLY_HERE]
    """the number to reach; "none" where there is none"""
    changes: Annotated[str, *_ONLY_HERE]
    """what this recipe changes against the paper"""
    task: Sinusoid | Quadratic | GaussianProcess | Images | Streams | Worlds
    net: (
        Mlp
        | Linear
        | Conv4
        | RelationMaps
        | SigmoidUnits
        | Pixels
        | Augmented
        | Memory
        | Causal
        | Reader
    )
    learner: (
        Maml
        | Anil
        | MetaSgd
        | Reptile
        | MamlPlusPlus
        | Cavia
        | Imaml
        | MetaLstm
        | LearnedOptimizer
        | Prototypical
        | Matching
        | Siamese
        | Relation
        | Ridge
        | HyperTransformer
        | Hypernetwork
        | Conditional
        | Mann
        | Snail
        | MetaNetworks
        | Agents
    )
    outer: Outer = Outer()
    test_episodes: int = 600
    """episodes of the meta-test"""
    curve_episodes: int = 200
    """episodes of each point of the adaptation curves"""


def from_dict(default: Any, values: dict) -> Any:
    """Sets the fields of a config, nested ones too, from a dict such as JSON gives.

    Raises:
      ValueError: a field that the config lacks.
    """
    fields = {field.name for field in dataclasses.fields(default)}
    unknown = sorted(set(values) - fields)
    if unknown:
        raise ValueError(
            f"unknown field {unknown[0]!r}; the fields are {', '.join(sorted(fields))}."
        )
    new = {}
    for name, value in values.items():
        current = getattr(default, name)
        if dataclasses.is_dataclass(current):
            value = from_dict(current, value)
        elif isinstance(current, tuple):
            value = tuple(value)
        new[name] = value
    return dataclasses.replace(default, **new)


def check_choices(config: Any) -> None:
    """Every field of a config, and of those in it, that takes one of several words has one of them.

    Raises:
      ValueError: one does not; names it and the words.
    """
    for name, type_ in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            check_choices(value)
        elif get_origin(type_) is Literal and value not in get_args(type_):
            words = ", ".join(map(str, get_args(type_)))
            raise ValueError(f"{name} must be one of {words}, got {value!r}.")


def check_numbers(config: Any) -> None:
    """Every number of a config, and of those in it, is finite and fits 32 bits.

    Raises:
      ValueError: one does not; names it.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_numbers(value)
        for number in value if isinstance(value, tuple) else [value]:
            if isinstance(number, int) and abs(number) >= 2**31:
                raise ValueError(f"{field.name} must be below 2**31, got {number}.")
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{field.name} must be finite, got {number}.")
