"""Networks of the few-shot literature, as Flax Linen modules."""

from jaxmeta.networks._conv4 import Conv4, conv4, max_pool
from jaxmeta.networks._linear import linear
from jaxmeta.networks._mlp import MLP, mlp
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm
from jaxmeta.networks.set_encoder import conditioned, set_encoder
from jaxmeta.networks.transformer import Encoder
from jaxmeta.networks.wavenet import wavenet_encoder

__all__ = [
    "MLP",
    "BatchNorm",
    "Conv4",
    "Encoder",
    "conditioned",
    "conv",
    "conv4",
    "linear",
    "max_pool",
    "mlp",
    "set_encoder",
    "wavenet_encoder",
]
