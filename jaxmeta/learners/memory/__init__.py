"""Memory-based meta-learners: a task is a sequence that is read."""

from jaxmeta.learners.memory._addressing import Access, ExternalMemory, lrua, no_memory, ntm
from jaxmeta.learners.memory._controller import Controller, feed_forward, lstm
from jaxmeta.learners.memory._mann import Trace, Written, mann, nearest_seen, reads_and_writes
from jaxmeta.learners.memory._meta_networks import (
    FastWeights,
    MetaNetworksParams,
    meta_networks,
)
from jaxmeta.learners.memory._snail import Sequence, snail
from jaxmeta.learners.memory._streams import taking_streams

__all__ = [
    "Access",
    "Controller",
    "ExternalMemory",
    "FastWeights",
    "MetaNetworksParams",
    "Sequence",
    "Trace",
    "Written",
    "feed_forward",
    "lrua",
    "lstm",
    "mann",
    "meta_networks",
    "nearest_seen",
    "no_memory",
    "ntm",
    "reads_and_writes",
    "snail",
    "taking_streams",
]
