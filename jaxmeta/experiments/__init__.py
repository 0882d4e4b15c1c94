"""A recipe's parts, and how an experiment is built of them."""

from jaxmeta.experiments.build import Experiment, build, use_all_cores
from jaxmeta.experiments.codec import decode, encode
from jaxmeta.experiments.domains.domain import Domain
from jaxmeta.experiments.domains.environments import World
from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.metric import ACCURACY, RETURN, SQUARED_ERROR, Metric, named
from jaxmeta.experiments.nets import Net
from jaxmeta.experiments.outer import Outer
from jaxmeta.experiments.parts import Built, Samples, Work
from jaxmeta.experiments.protocol import Protocol
from jaxmeta.experiments.provenance import Provenance, Published
from jaxmeta.experiments.recipe import Recipe

__all__ = [
    "ACCURACY",
    "RETURN",
    "SQUARED_ERROR",
    "Built",
    "Domain",
    "Experiment",
    "Method",
    "Metric",
    "Net",
    "Outer",
    "Protocol",
    "Provenance",
    "Published",
    "Recipe",
    "Samples",
    "Work",
    "World",
    "build",
    "decode",
    "encode",
    "named",
    "use_all_cores",
]
