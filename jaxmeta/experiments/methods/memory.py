"""The memory family's learners, as frozen dataclasses."""

import dataclasses
from typing import Any, Literal

import jaxmeta.learners.memory as memory
from jaxmeta import losses
from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.parts import Built
from jaxmeta.learner import Learner


class _Memory(Method):
    """A learner without inner steps: `build(net, n_outputs, loss_fn)`."""

    family = "memory"
    build: Any

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on a net and a domain."""
        learner = self.build(net, domain.n_outputs, domain.loss_fn)
        return Built(learner, learner, lambda _: learner, range(0))

    def parts(self) -> dict[str, Any] | None:
        """Controller and memory whose reads and writes can be seen; None without."""
        return None


@dataclasses.dataclass(frozen=True)
class Mann(_Memory):
    """A memory-augmented net, or one of its baselines."""

    controller: Literal["lstm", "feed_forward"] = "lstm"
    """Kind of the controller, which reads from the memory and writes to it."""
    hidden: int = 200
    """Units of the controller."""
    memory: Literal["lrua", "ntm", "none"] = "lrua"
    """Kind of the memory: least recently used access (lrua), that of a neural Turing machine, or
    none beside the controller."""
    slots: int = 128
    """Vectors in the memory."""
    width: int = 40
    """Numbers in each vector of the memory."""
    heads: int = 4
    """Heads that read from the memory. With lrua each of them also writes."""
    decay: float = 0.99
    """Share of a slot's usage that is left after a step, with lrua."""
    strength: float = 1.0
    """Factor of the cosines between keys and memory, with lrua."""
    address_before_write: bool = False
    """Keys are compared with the memory before the step's own writing, with lrua."""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.mann(net.build(None), **self._parts(), loss_fn=loss_fn)

    def parts(self) -> dict[str, Any] | None:
        """Controller and memory, as `reads_and_writes` takes them; None without a memory."""
        return None if self.memory == "none" else self._parts()

    def _parts(self):
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
class Snail(_Memory):
    """SNAIL."""

    filters: int = 128
    """Filters of each dense block."""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.snail(net.build(None), filters=self.filters, loss_fn=loss_fn)


@dataclasses.dataclass(frozen=True)
class MetaNetworks(_Memory):
    """Meta networks."""

    maker_hidden: int = 20
    """Units of the nets that make the fast weights."""

    def build(self, net: Any, n_outputs: int, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return memory.meta_networks(net.build(n_outputs), hidden=self.maker_hidden, loss_fn=loss_fn)
