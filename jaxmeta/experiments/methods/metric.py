"""The learner's part of a recipe, metric family: one frozen dataclass per method."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jaxmeta.learners.metric as metric
from jaxmeta import networks
from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.parts import Built
from jaxmeta.learner import Learner
from jaxmeta.net import NetLike


class _Embedded(Method):
    """What compares embeddings, with their parameters in `params.embed`."""

    family = "metric"
    any_way = True
    build: Any

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on an embedding; it has a loss of its own."""
        learner = self.build(net.build(None))
        return Built(learner, learner, lambda _: learner, range(0))

    def embedder(self, net: Any) -> NetLike:
        """The embedding."""
        return net.build(None)

    def embedding(self, params: Any) -> Any:
        """The parameters of the embedding among those of the learner."""
        return params.embed


@dataclasses.dataclass(frozen=True)
class Prototypical(_Embedded):
    """Prototypical networks."""

    distance: Literal["squared_euclidean", "cosine"] = "squared_euclidean"
    """Distance between a query and a class mean."""
    refine_steps: int = 0
    """How often the unlabelled support images are shared among the class means."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        distance = {"squared_euclidean": metric.squared_euclidean, "cosine": metric.cosine}
        return metric.prototypical(
            embed, distance=distance[self.distance], refine_steps=self.refine_steps
        )

    def embedding(self, params: Any) -> Any:
        """The parameters of the embedding: all."""
        return params


@dataclasses.dataclass(frozen=True)
class Matching(_Embedded):
    """Matching networks."""

    full_context: bool = False
    """Support images and queries are embedded in the light of the whole support set."""
    processing_steps: int = 3
    """How often a query reads from the support set, with full context."""
    scale: float = 1.0
    """Factor of the cosines: 1 in the paper, 10 and more in later work."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        return metric.matching(
            embed,
            full_context=self.full_context,
            processing_steps=self.processing_steps,
            scale=self.scale,
        )


@dataclasses.dataclass(frozen=True)
class Siamese(_Embedded):
    """Siamese networks."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        return metric.siamese(embed)


@dataclasses.dataclass(frozen=True)
class Relation(_Embedded):
    """Relation networks."""

    compare_width: int = 64
    """Channels of the convolutions that compare two maps."""
    hidden: int = 8
    """Units of the layer before the score."""
    padding: Literal["SAME", "VALID"] = "SAME"
    """Padding of the convolutions that compare two maps."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        compare = networks.relation_head(
            width=self.compare_width, hidden=self.hidden, padding=self.padding
        )
        return metric.relation(embed, compare)


@dataclasses.dataclass(frozen=True)
class WholeClassification(_Embedded):
    """A classifier of all training classes, whose features a head of the support set then reads."""

    head: Literal["logistic_regression", "cosine"] = "logistic_regression"
    """What is fitted to the support set: logistic regression (RFS) or cosine class means
    (Meta-Baseline)."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        heads: dict[str, Callable[[], Learner]] = {
            "logistic_regression": metric.logistic_regression,
            "cosine": partial(metric.prototypical, networks.Identity(), distance=metric.cosine),
        }
        return metric.whole_classification(embed, head=heads[self.head]())

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner, whose optimiser averages batch statistics."""
        built = super().assemble(net, domain)
        return built._replace(optimiser=lambda outer: metric.averaging(outer.build()))


@dataclasses.dataclass(frozen=True)
class Ridge(_Embedded):
    """Ridge regression (R2-D2)."""

    lam: float = 50.0
    """Where the learned regulariser starts."""
    scale: float = 1.0
    """Where the learned scale of the logits starts."""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        return metric.ridge(embed, lam=self.lam, scale=self.scale)
