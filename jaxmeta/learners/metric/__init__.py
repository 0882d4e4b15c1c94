"""Metric meta-learners: classification by comparison in a learned space."""

from jaxmeta.learners.metric._prototypical import Prototypes, prototypical

__all__ = ["Prototypes", "prototypical"]
