"""Networks of the few-shot literature, as Flax Linen modules."""

from jaxmeta.networks._augmented import Augmented, augmented
from jaxmeta.networks._conv4 import Conv4, conv4, max_pool
from jaxmeta.networks._identity import Identity
from jaxmeta.networks._linear import linear
from jaxmeta.networks._mlp import MLP, mlp
from jaxmeta.networks._mobilenet_v3 import (
    MobileNetV3Small,
    imagenet_normalised,
    mobilenet_v3_small,
    mobilenet_v3_small_weights,
)
from jaxmeta.networks._relation import (
    RelationEmbedding,
    RelationHead,
    relation_embedding,
    relation_head,
)
from jaxmeta.networks._resnet12 import ResNet12, resnet12
from jaxmeta.networks._siamese import SiameseEmbedding, siamese_embedding
from jaxmeta.networks._temporal import (
    CausalAttention,
    DenseBlock,
    TemporalBlock,
    causal_attention,
    temporal_block,
)
from jaxmeta.networks.convolution import conv, convolve_tasks
from jaxmeta.networks.normalisation import BatchNorm
from jaxmeta.networks.set_encoder import conditioned, set_encoder
from jaxmeta.networks.transformer import Encoder
from jaxmeta.networks.wavenet import wavenet_encoder

__all__ = [
    "MLP",
    "Augmented",
    "BatchNorm",
    "CausalAttention",
    "Conv4",
    "DenseBlock",
    "Encoder",
    "Identity",
    "MobileNetV3Small",
    "RelationEmbedding",
    "RelationHead",
    "ResNet12",
    "SiameseEmbedding",
    "TemporalBlock",
    "augmented",
    "causal_attention",
    "conditioned",
    "conv",
    "conv4",
    "convolve_tasks",
    "imagenet_normalised",
    "linear",
    "max_pool",
    "mlp",
    "mobilenet_v3_small",
    "mobilenet_v3_small_weights",
    "relation_embedding",
    "relation_head",
    "resnet12",
    "set_encoder",
    "siamese_embedding",
    "temporal_block",
    "wavenet_encoder",
]
