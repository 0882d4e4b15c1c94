"""Metric meta-learners: classification by comparison in a learned space."""

from jaxmeta.learners.metric._distances import cosine, squared_euclidean
from jaxmeta.learners.metric._logistic_regression import LogisticHead, logistic_regression
from jaxmeta.learners.metric._matching import Attended, MatchingParams, matching
from jaxmeta.learners.metric._nearest_neighbour import nearest_neighbour
from jaxmeta.learners.metric._prototypical import Prototypes, prototypical
from jaxmeta.learners.metric._relation import ClassMaps, RelationParams, relation
from jaxmeta.learners.metric._ridge import LinearHead, RidgeParams, ridge
from jaxmeta.learners.metric._siamese import SiameseParams, Twins, siamese
from jaxmeta.learners.metric._whole_classification import (
    OnStatistics,
    WholeParams,
    averaging,
    whole_classification,
)

__all__ = [
    "Attended",
    "ClassMaps",
    "LinearHead",
    "LogisticHead",
    "MatchingParams",
    "OnStatistics",
    "Prototypes",
    "RelationParams",
    "RidgeParams",
    "SiameseParams",
    "Twins",
    "WholeParams",
    "averaging",
    "cosine",
    "logistic_regression",
    "matching",
    "nearest_neighbour",
    "prototypical",
    "relation",
    "ridge",
    "siamese",
    "squared_euclidean",
    "whole_classification",
]
