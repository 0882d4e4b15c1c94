"""Networks of the few-shot literature, as Flax Linen modules."""

from jaxmeta.networks._augmented import Augmented, augmented
from jaxmeta.networks._conv4 import Conv4, conv4, max_pool
from jaxmeta.networks._linear import linear
from jaxmeta.networks._mlp import MLP, mlp
from jaxmeta.networks._temporal import (
    CausalAttention,
    DenseBlock,
    TemporalBlock,
    causal_attention,
    temporal_block,
)
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm

__all__ = [
    "MLP",
    "Augmented",
    "BatchNorm",
    "CausalAttention",
    "Conv4",
    "DenseBlock",
    "TemporalBlock",
    "augmented",
    "causal_attention",
    "conv",
    "conv4",
    "linear",
    "max_pool",
    "mlp",
    "temporal_block",
]
