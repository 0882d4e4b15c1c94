"""Metric meta-learners: classification by comparison in a learned space."""

from jaxmeta.learners.metric._nearest_neighbour import nearest_neighbour
from jaxmeta.learners.metric._prototypical import Prototypes, prototypical

__all__ = ["Prototypes", "nearest_neighbour", "prototypical"]
