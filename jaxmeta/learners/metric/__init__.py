"""Metric meta-learners: classification by comparison in a learned space."""

from jaxmeta.learners.metric._distances import cosine, squared_euclidean
from jaxmeta.learners.metric._matching import Attended, MatchingParams, matching
from jaxmeta.learners.metric._nearest_neighbour import nearest_neighbour
from jaxmeta.learners.metric._prototypical import Prototypes, prototypical
from jaxmeta.learners.metric._relation import ClassMaps, RelationParams, relation
from jaxmeta.learners.metric._ridge import LinearHead, RidgeParams, ridge
from jaxmeta.learners.metric._siamese import SiameseParams, Twins, siamese

__all__ = [
    "Attended",
    "ClassMaps",
    "LinearHead",
    "MatchingParams",
    "Prototypes",
    "RelationParams",
    "RidgeParams",
    "SiameseParams",
    "Twins",
    "cosine",
    "matching",
    "nearest_neighbour",
    "prototypical",
    "relation",
    "ridge",
    "siamese",
    "squared_euclidean",
]
