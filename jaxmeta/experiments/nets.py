"""The nets of a recipe, as frozen dataclasses: `build(n_outputs)` gives the module."""

import dataclasses
from typing import Literal

import jax.nn.initializers as init

from jaxmeta import networks, rl


class Net:
    """Defaults of the protocol `jaxmeta.experiments.parts.NetConfig`.

    A class that inherits from it adds `build(n_outputs)`.
    """

    convolves = False

    @property
    def is_pooled_and_flat(self) -> bool:
        """Whether it max-pools and flattens its last map."""
        return False


@dataclasses.dataclass(frozen=True)
class Mlp(Net):
    """The sinusoid net of Finn et al."""

    hidden: tuple[int, ...] = (40, 40)
    """Widths of the hidden layers."""
    init_scale: float | None = 0.01
    """Standard deviation of the first kernels. None: Glorot's rule."""

    def build(self, n_outputs):
        """The module."""
        scale = self.init_scale
        kernel_init = init.glorot_normal() if scale is None else init.truncated_normal(scale)
        return networks.mlp(n_outputs, hidden=self.hidden, kernel_init=kernel_init)


@dataclasses.dataclass(frozen=True)
class Linear(Net):
    """The unknowns of a quadratic problem as a linear net without bias."""

    init_scale: float = 0.01
    """Standard deviation of the first weights."""

    def build(self, n_outputs):
        """The module."""
        return networks.linear(n_outputs, use_bias=False, init_scale=self.init_scale)


@dataclasses.dataclass(frozen=True)
class Conv4(Net):
    """Four convolutional blocks."""

    convolves = True

    width: int = 64
    """Channels of every block."""
    strided: bool = False
    """Convolutions take steps of 2, in place of max-pooling."""
    spatial_mean: bool = False
    """The last map is averaged, not flattened."""
    embedding: int | None = None
    """Units of a linear layer after the blocks, where the net has no head. None: no such layer."""

    @property
    def is_pooled_and_flat(self) -> bool:
        """Whether it max-pools and flattens the last map."""
        return not (self.strided or self.spatial_mean)

    def build(self, n_outputs):
        """The module."""
        n_outputs = self.embedding if n_outputs is None else n_outputs
        return networks.conv4(
            n_outputs, width=self.width, strided=self.strided, spatial_mean=self.spatial_mean
        )


@dataclasses.dataclass(frozen=True)
class RelationMaps(Net):
    """The embedding of relation networks: maps in place of a vector."""

    convolves = True

    width: int = 64
    """Channels of every block."""

    def build(self, n_outputs):
        """The module."""
        del n_outputs  # Maps have no head.
        return networks.relation_embedding(width=self.width)


@dataclasses.dataclass(frozen=True)
class SigmoidUnits(Net):
    """The embedding of siamese networks: four convolutional blocks and sigmoid units."""

    convolves = True

    units: int = 256
    """Units of the last layer. The paper has 4096."""
    width: int = 64
    """Channels of every block."""

    def build(self, n_outputs):
        """The module."""
        del n_outputs  # Units have no head.
        return networks.siamese_embedding(self.units, width=self.width)


@dataclasses.dataclass(frozen=True)
class Pixels(Net):
    """No net: the pixels as they are."""

    def build(self, n_outputs):
        """None at all."""
        del n_outputs


@dataclasses.dataclass(frozen=True)
class Augmented(Net):
    """Convolutional blocks, a dense layer and a head, the last of them with fast weights."""

    convolves = True

    width: int = 64
    """Channels of every block."""
    conv_blocks: int = 4
    """Number of convolutional blocks."""
    hidden: int = 64
    """Units of the dense layer."""
    n_augmented: int = 2
    """Number of layers, counted from the last, that take fast weights."""

    def build(self, n_outputs):
        """The module."""
        return networks.augmented(
            n_outputs,
            conv_blocks=self.conv_blocks,
            width=self.width,
            hidden=self.hidden,
            n_augmented=self.n_augmented,
        )


@dataclasses.dataclass(frozen=True)
class Memory(Net):
    """The memory of a policy."""

    memory: Literal["gru", "lstm", "snail"] = "gru"
    """Kind of the memory."""
    hidden: int = 256
    """Units of a memory of the kind gru or lstm."""
    filters: int = 32
    """Filters of each dense block of a memory of the kind snail."""

    def build(self, n_outputs):
        """The policy."""
        del n_outputs
        if self.memory == "snail":
            return rl.snail(filters=self.filters)
        return (rl.gru if self.memory == "gru" else rl.lstm)(self.hidden)


@dataclasses.dataclass(frozen=True)
class Reader(Net):
    """The transformer over a set of transitions."""

    width: int = 32
    """Numbers that stand for a transition inside the net."""
    layers: int = 4
    """Layers of attention."""
    heads: int = 1
    """Heads of the attention."""

    def build(self, n_outputs):
        """The net."""
        del n_outputs
        return rl.context_reader(width=self.width, layers=self.layers, heads=self.heads)


@dataclasses.dataclass(frozen=True)
class Causal(Net):
    """The causal transformer as a memory."""

    width: int = 64
    """Numbers that stand for a step inside the net."""
    layers: int = 2
    """Layers of attention."""
    heads: int = 2
    """Heads of the attention."""

    def build(self, n_outputs, context=None):
        """The policy."""
        del n_outputs
        return rl.transformer(
            width=self.width, layers=self.layers, heads=self.heads, context=context
        )
