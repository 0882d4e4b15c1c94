"""The learner's part of a recipe, metric family: one frozen dataclass per method."""

import dataclasses
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
    """between a query and a class mean"""
    refine_steps: int = 0
    """times the unlabelled support images are shared among the class means"""

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
    """embed support images and queries in the light of the whole support set"""
    processing_steps: int = 3
    """how often a query reads from the support set, with full context"""
    scale: float = 10.0
    """factor of the cosines; the paper's is 1"""

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
    """channels of the comparison's convolutions"""
    hidden: int = 8
    """units before the score"""
    padding: Literal["SAME", "VALID"] = "SAME"
    """of the comparison's convolutions"""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        compare = networks.relation_head(
            width=self.compare_width, hidden=self.hidden, padding=self.padding
        )
        return metric.relation(embed, compare)


@dataclasses.dataclass(frozen=True)
class Ridge(_Embedded):
    """Ridge regression (R2-D2)."""

    lam: float = 50.0
    """where the learned regulariser starts"""
    scale: float = 1.0
    """where the learned scale of the logits starts"""

    def build(self, embed: NetLike) -> Learner:
        """The learner on an embedding."""
        return metric.ridge(embed, lam=self.lam, scale=self.scale)
