"""A recipe's parts, and how an experiment is built of them."""

from jaxmeta.experiments.build import Experiment, build, use_all_cores
from jaxmeta.experiments.codec import decode, encode
from jaxmeta.experiments.metric import METRICS, Metric
from jaxmeta.experiments.protocol import Protocol
from jaxmeta.experiments.recipe import Recipe

__all__ = [
    "METRICS",
    "Experiment",
    "Metric",
    "Protocol",
    "Recipe",
    "build",
    "decode",
    "encode",
    "use_all_cores",
]
