"""What a recipe is made of: frozen dataclasses, every field of which the command line can set."""

import dataclasses
import math
from typing import Any, Literal, get_args, get_origin

from jaxmeta.experiments.codec import field_names, hints_of, is_config
from jaxmeta.experiments.domains.elsewhere import Environments
from jaxmeta.experiments.domains.environments import Worlds
from jaxmeta.experiments.domains.images import Images
from jaxmeta.experiments.domains.regression import Regressions
from jaxmeta.experiments.domains.streams import Streams
from jaxmeta.experiments.methods.gradient import (
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
from jaxmeta.experiments.methods.hyper import Conditional, Hypernetwork, HyperTransformer
from jaxmeta.experiments.methods.in_context import (
    AlgorithmDistillation,
    DecisionPretrained,
    OnlineDecisionTransformer,
)
from jaxmeta.experiments.methods.memory import Mann, MetaNetworks, Snail
from jaxmeta.experiments.methods.metric import (
    Matching,
    Prototypical,
    Relation,
    Ridge,
    Siamese,
    WholeClassification,
)
from jaxmeta.experiments.methods.reinforcement import MamlRl, Rl2
from jaxmeta.experiments.nets import (
    Augmented,
    Causal,
    Conv4,
    Linear,
    Memory,
    Mlp,
    Pixels,
    Reader,
    RelationMaps,
    SigmoidUnits,
)
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.provenance import Provenance

Agents = Rl2 | MamlRl | DecisionPretrained | AlgorithmDistillation | OnlineDecisionTransformer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One experiment: what the paper did, and what is done here.

    `task`, `net` and `learner` may be objects of one's own that have what the protocols of
    `jaxmeta.experiments.parts` ask; fields of frozen dataclasses are then flags like any other.
    """

    provenance: Provenance = dataclasses.field(default_factory=Provenance)
    """What is known of the paper. It is no setting: the command does not take it."""
    task: Regressions | Images | Streams | Worlds | Environments | Any
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
        | Any
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
        | WholeClassification
        | HyperTransformer
        | Hypernetwork
        | Conditional
        | Mann
        | Snail
        | MetaNetworks
        | Agents
        | Any
    )
    outer: Outer = dataclasses.field(default_factory=Outer)
    test_episodes: int = 600
    """Episodes of the meta-test."""
    curve_episodes: int = 200
    """Episodes of each point of the adaptation curves."""

    @property
    def paper(self) -> str:
        """Paper and setting."""
        return self.provenance.paper

    @property
    def published(self) -> str:
        """The number to reach, in words; "none" where there is none."""
        return self.provenance.published.text

    @property
    def changes(self) -> str:
        """What this recipe changes against the paper."""
        return self.provenance.changes


def check_choices(config: Any) -> None:
    """Every field of a config, and of those in it, that takes one of several words has one of them.

    Raises:
      ValueError: one does not; names it and the words.
    """
    annotations = hints_of(type(config))
    for name in field_names(config):
        type_, value = annotations[name], getattr(config, name)
        if is_config(value):
            check_choices(value)
        elif get_origin(type_) is Literal and value not in get_args(type_):
            words = ", ".join(map(str, get_args(type_)))
            raise ValueError(f"{name} must be one of {words}, got {value!r}.")


def check_numbers(config: Any) -> None:
    """Every number of a config, and of those in it, is finite and fits 32 bits.

    Raises:
      ValueError: one does not; names it.
    """
    for name in field_names(config):
        value = getattr(config, name)
        if is_config(value):
            check_numbers(value)
        for number in value if isinstance(value, tuple) else [value]:
            if isinstance(number, int) and abs(number) >= 2**31:
                raise ValueError(f"{name} must be below 2**31, got {number}.")
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{name} must be finite, got {number}.")
