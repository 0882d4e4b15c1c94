"""Gradient-based meta-learners: a few updates of weights, or of a context, per task."""

from jaxmeta.learners.gradient._anil import anil
from jaxmeta.learners.gradient._cavia import ContextAdapted, cavia
from jaxmeta.learners.gradient._imaml import imaml
from jaxmeta.learners.gradient._learned_optimizer import learned_optimizer
from jaxmeta.learners.gradient._maml import GradientParams, fomaml, maml
from jaxmeta.learners.gradient._maml_plus_plus import (
    PlusPlusParams,
    counting_steps,
    maml_plus_plus,
    step_weights,
)
from jaxmeta.learners.gradient._meta_lstm import meta_lstm
from jaxmeta.learners.gradient._meta_sgd import meta_sgd
from jaxmeta.learners.gradient._reptile import reptile

__all__ = [
    "ContextAdapted",
    "GradientParams",
    "PlusPlusParams",
    "anil",
    "cavia",
    "counting_steps",
    "fomaml",
    "imaml",
    "learned_optimizer",
    "maml",
    "maml_plus_plus",
    "meta_lstm",
    "meta_sgd",
    "reptile",
    "step_weights",
]
