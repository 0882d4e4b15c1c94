"""Tasks: each gives `sample(key) -> Episode`, pure and jittable."""

from jaxmeta.tasks._affine import random_affine
from jaxmeta.tasks._augment import augment, random_crop, random_erasing, random_flip
from jaxmeta.tasks._colour import colour_jitter
from jaxmeta.tasks._episodes import episodes, mixture
from jaxmeta.tasks._from_disk import episodes_from_disk
from jaxmeta.tasks._gaussian_process import gaussian_process
from jaxmeta.tasks._groups import groups
from jaxmeta.tasks._quadratic import quadratic
from jaxmeta.tasks._sinusoid import sinusoid
from jaxmeta.tasks._streams import one_hot_labels, streams, string_labels
from jaxmeta.tasks._whole import whole_batches

__all__ = [
    "augment",
    "colour_jitter",
    "episodes",
    "episodes_from_disk",
    "gaussian_process",
    "groups",
    "mixture",
    "one_hot_labels",
    "quadratic",
    "random_affine",
    "random_crop",
    "random_erasing",
    "random_flip",
    "sinusoid",
    "streams",
    "string_labels",
    "whole_batches",
]
