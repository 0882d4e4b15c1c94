"""Learners that read the support set and emit the weights that solve the task, or a condition."""

from jaxmeta.learners.hyper._conditional import (
    Conditioning,
    Gaussian,
    conditional,
    context_mean,
    log_density,
    predictive,
)
from jaxmeta.learners.hyper._hypernetwork import GeneratedWeights, hypernetwork
from jaxmeta.learners.hyper._hypertransformer import Generated, hypertransformer

__all__ = [
    "Conditioning",
    "Gaussian",
    "Generated",
    "GeneratedWeights",
    "conditional",
    "context_mean",
    "hypernetwork",
    "hypertransformer",
    "log_density",
    "predictive",
]
