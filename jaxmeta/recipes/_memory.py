"""The memory family's part of a recipe: streams, nets and learners as frozen dataclasses."""

import dataclasses
from typing import Any, Literal

import jaxmeta.learners.memory as memory
from jaxmeta import losses, networks, tasks
from jaxmeta.datasets import ClassData
from jaxmeta.episodes import Sample
from jaxmeta.learner import Learner
from jaxmeta.recipes._images import ImageSource


@dataclasses.dataclass(frozen=True)
class Streams(ImageSource):
    """Sequences of images whose labels are shown one step late."""

    n_way: int = 5
    """classes of a sequence"""
    per_class: int = 10
    """images of each class"""
    length: int | None = None
    """steps; None: all images"""
    strings: bool = False
    """labels are strings of five letters, not one-hot"""
    size: int = 20
    """side to which the images are made smaller"""
    max_turn: float = 0.0
    """largest random turn of an image in training, in radians"""
    max_shift: float = 0.0
    """largest random shift of an image in training, as a share of its side"""

    def sample(self, class_data: ClassData, *, training: bool) -> Sample:
        """Streams of one split."""
        return tasks.streams(
            class_data,
            n_way=self.n_way,
            per_class=self.per_class,
            length=self.length,
            labels=tasks.string_labels if self.strings else tasks.one_hot_labels,
            rotations=self.rotations,
            size=self.size,
            max_turn=self.max_turn if training else 0.0,
            max_shift=self.max_shift if training else 0.0,
        )

    @property
    def is_right(self):
        """Which steps count as right."""
        return losses.letters_are_right if self.strings else losses.is_right

    @property
    def setting(self) -> str:
        """In words."""
        steps = self.n_way * self.per_class if self.length is None else self.length
        return f"{self.n_way} classes{' as strings' if self.strings else ''}, {steps} steps"


@dataclasses.dataclass(frozen=True)
class Pixels:
    """No net: the pixels as they are."""

    def build(self, n_outputs):
        """None at all."""
        del n_outputs


@dataclasses.dataclass(frozen=True)
class Augmented:
    """Convolutional blocks, a dense layer and a head, the last of them with fast weights."""

    width: int = 64
    """channels"""
    conv_blocks: int = 4
    """convolutional blocks"""
    hidden: int = 64
    """units of the dense layer"""
    n_augmented: int = 2
    """layers from the last that take fast weights"""

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
class Mann:
    """A memory-augmented net, or one of its baselines."""

    controller: Literal["lstm", "feed_forward"] = "lstm"
    """what reads and writes"""
    hidden: int = 200
    """its units"""
    memory: Literal["lrua", "ntm", "none"] = "lrua"
    """least recently used access, a neural Turing machine's, or the controller alone"""
    slots: int = 128
    """vectors in the memory"""
    width: int = 40
    """numbers in each"""
    heads: int = 4
    """that read, and for lrua write"""
    decay: float = 0.99
    """of the usage (lrua)"""
    strength: float = 1.0
    """factor of the cosines (lrua)"""
    address_before_write: bool = False
    """compare keys with the memory before this step's writing (lrua)"""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.mann(net.build(None), **self.parts(), loss_fn=loss_fn)

    def parts(self) -> dict[str, Any]:
        """Controller and memory, as `mann` and `reads_and_writes` take them."""
        control = memory.lstm if self.controller == "lstm" else memory.feed_forward
        if self.memory == "lrua":
            store = memory.lrua(
                self.slots,
                self.width,
                heads=self.heads,
                decay=self.decay,
                strength=self.strength,
                address_before_write=self.address_before_write,
            )
        elif self.memory == "ntm":
            store = memory.ntm(self.slots, self.width, heads=self.heads)
        else:
            store = memory.no_memory()
        return {"controller": control(self.hidden), "memory": store}


@dataclasses.dataclass(frozen=True)
class Snail:
    """SNAIL."""

    filters: int = 128
    """of each dense block"""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.snail(net.build(None), filters=self.filters, loss_fn=loss_fn)


@dataclasses.dataclass(frozen=True)
class MetaNetworks:
    """Meta networks."""

    maker_hidden: int = 20
    """units of the nets that make the fast weights"""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.meta_networks(net.build(n_outputs), hidden=self.maker_hidden, loss_fn=loss_fn)
