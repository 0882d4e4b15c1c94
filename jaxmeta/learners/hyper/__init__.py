"""Learners that read the support set and emit the weights that solve the task, or a condition."""

from jaxmeta.learners.hyper._conditional import (
    Conditioning,
    Gaussian,
    conditional,
    log_density,
    predictive,
)
from jaxmeta.learners.hyper._hypertransformer import Generated, hypertransformer

__all__ = [
    "Conditioning",
    "Gaussian",
    "Generated",
    "conditional",
    "hypertransformer",
    "log_density",
    "predictive",
]
