"""The learner's part of a recipe: the hypernetwork family."""

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import optax

import jaxmeta.learners.hyper as hyper
from jaxmeta import losses, networks
from jaxmeta.experiments.methods.method import Method
from jaxmeta.experiments.parts import Built
from jaxmeta.experiments.reports.predictive import predictive_results
from jaxmeta.learner import Learner


class OnePass(Method):
    """A learner without inner steps: `build(net, n_outputs, loss_fn)` is all there is."""

    family = "hyper"
    one_pass = True
    build: Any

    def assemble(self, net: Any, domain: Any) -> Built:
        """The learner on a net and a domain."""
        learner = self.build(net, domain.n_outputs, domain.loss_fn)
        return Built(learner, learner, lambda _: learner, range(0))


@dataclasses.dataclass(frozen=True)
class HyperTransformer(OnePass):
    """HyperTransformer; the recipe's `Conv4` has the channels of the net that is generated."""

    trained_blocks: int = 0
    """Number of first blocks whose kernels are learned, not generated. 4 generates only the final
    layer."""
    allocation: Literal["output", "spatial"] = "output"
    """What a weight token stands for: one output channel, or one place of the kernel."""
    shared_features: int = 32
    """Number of features of the image itself, the same for all layers."""
    label_size: int = 32
    """Entries of the vector that stands for a label."""
    transformer_layers: int = 3
    """Layers of each encoder."""
    heads: int = 2
    """Heads of each attention."""
    width_factor: float = 1.0
    """Width inside an encoder, divided by that of the tokens."""
    drop_labelled: float = 0.0
    """Largest probability of dropping a labelled support row in training."""
    drop_unlabelled: float = 0.0
    """Largest probability of dropping an unlabelled support row in training."""

    def build(self, net, n_outputs, loss_fn: losses.LossFn, *, observe: bool = False) -> Learner:
        """The learner, which finds the number of outputs in the labels."""
        if not net.is_pooled_and_flat:
            raise ValueError(
                "hypertransformer generates Conv4 nets with max-pooling and a flat last map alone: "
                f"strided and spatial_mean must be False, got {net}."
            )
        return hyper.hypertransformer(
            channels=net.width,
            trained_blocks=self.trained_blocks,
            allocation=self.allocation,
            shared_features=self.shared_features,
            label_size=self.label_size,
            transformer_layers=self.transformer_layers,
            heads=self.heads,
            width_factor=self.width_factor,
            drop_labelled=self.drop_labelled,
            drop_unlabelled=self.drop_unlabelled,
            observe=observe,
            loss_fn=loss_fn,
        )

    def look(self, net: Any, learner: Learner) -> Learner:
        """The learner that keeps its attention."""
        return self.build(net, None, optax.softmax_cross_entropy, observe=True)

    def weights(self, adapted: Any) -> dict[str, Any]:
        """Kernels and head."""
        kernels = {f"kernel {n}": kernel for n, kernel in enumerate(adapted.kernels)}
        return kernels | {"head": adapted.head, "bias": adapted.bias}

    def attention(self, adapted: Any) -> dict[str, Any]:
        """Of weight tokens to samples."""
        return {name: maps.mean(1) for name, maps in adapted.attention.items()}


@dataclasses.dataclass(frozen=True)
class SupportEncoder:
    """The code of a support set; images go through the recipe's `Conv4` first."""

    code: Literal["mean", "class_means", "wavenet"] = "mean"
    """How the support set becomes a code: mean over all rows, one mean for each class, or a WaveNet
    over the sequence."""
    code_size: int = 128
    """Entries of the code, or of the code of each class."""
    code_hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the layers before the code. A WaveNet has one layer for each, as wide as the
    first."""

    def build(self, embed: nn.Module | None) -> nn.Module:
        """The module."""
        if self.code == "wavenet":
            return networks.wavenet_encoder(
                self.code_size, width=self.code_hidden[0], layers=len(self.code_hidden), embed=embed
            )
        return networks.set_encoder(
            self.code_size,
            hidden=self.code_hidden,
            embed=embed,
            per_class=self.code == "class_means",
        )


@dataclasses.dataclass(frozen=True)
class Conditional(OnePass):
    """A net with the support set's code as an input."""

    encoder: SupportEncoder = SupportEncoder()
    """The code of the support set."""
    film: bool = False
    """For images: the code scales and shifts the channels of the third block. Otherwise it joins
    the head."""
    head: tuple[int, ...] = (128,)
    """For images: hidden widths of the head that the code joins."""
    least_sigma: float | None = None
    """For regression: smallest predictive standard deviation. None: none is predicted."""

    def build(self, net, n_outputs, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return hyper.conditional(
            self.net(net, n_outputs),
            encoder=self.encoder.build(_embedding(net)),
            least_sigma=self.least_sigma,
            loss_fn=loss_fn,
        )

    def net(self, net, n_outputs) -> nn.Module:
        """The net with a context."""
        n_outputs = n_outputs if self.least_sigma is None else 2 * n_outputs
        embed = _embedding(net)
        if embed is None or self.film:
            return net.build(n_outputs)
        glorot = nn.initializers.glorot_normal()
        return networks.conditioned(
            embed, networks.mlp(n_outputs, hidden=self.head, kernel_init=glorot)
        )

    def extra_results(self, work: Any) -> dict:
        """The support set's mean as a floor, and how good the predicted distributions are."""
        if self.least_sigma is None:
            return {}
        return predictive_results(work, self.with_sigma(work.recipe.net, 1, optax.squared_error))

    def curve(self, net: Any, learner: Learner) -> Learner:
        """The learner whose `predict` gives mean and, where there is one, standard deviation."""
        if self.least_sigma is None:
            return learner
        return self.with_sigma(net, 1, optax.squared_error)

    def with_sigma(self, net, n_outputs, loss_fn: losses.LossFn) -> Learner:
        """The learner that predicts mean and standard deviation side by side, `[M, 2 D]`."""

        least_sigma: Any = self.least_sigma  # which is given where this is asked

        def predict(params, adapted, x):
            with_context = self.net(net, n_outputs)
            return jnp.concatenate(
                hyper.predictive(with_context, params, adapted, x, least_sigma=least_sigma),
                axis=1,
            )

        return self.build(net, n_outputs, loss_fn)._replace(predict=predict)


@dataclasses.dataclass(frozen=True)
class Hypernetwork(OnePass):
    """A generator of the recipe's net."""

    encoder: SupportEncoder = SupportEncoder()
    """The code of the support set."""
    generated: Literal["all", "head"] = "all"
    """Which weights are generated."""
    chunk_size: int | None = None
    """Entries that are generated at once. None: whole weights."""
    generator_hidden: tuple[int, ...] = (128,)
    """Widths of the generator's layers."""

    def build(self, net, n_outputs, loss_fn: losses.LossFn) -> Learner:
        """The learner."""
        return hyper.hypernetwork(
            net.build(n_outputs),
            encoder=self.encoder.build(_embedding(net)),
            generated=None if self.generated == "all" else lambda path: "head" in path,
            chunk_size=self.chunk_size,
            hidden=self.generator_hidden,
            loss_fn=loss_fn,
        )

    def weights(self, adapted: Any) -> dict[str, Any]:
        """All that it generates."""
        return adapted.weights


def _embedding(net):
    """Images go through a net like the recipe's, without its head."""
    return net.build(None) if net.convolves else None
