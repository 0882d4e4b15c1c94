"""Gradient-based meta-learners: an inner loop over explicit weights."""

from jaxmeta.learners.gradient._anil import anil
from jaxmeta.learners.gradient._maml import GradientParams, fomaml, maml
from jaxmeta.learners.gradient._meta_sgd import meta_sgd
from jaxmeta.learners.gradient._reptile import reptile

__all__ = ["GradientParams", "anil", "fomaml", "maml", "meta_sgd", "reptile"]
