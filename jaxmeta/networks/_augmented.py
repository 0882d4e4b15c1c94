"""Nets whose last layers take fast weights beside their own.

Layer augmentation: Munkhdalai & Yu, "Meta Networks", ICML 2017, https://arxiv.org/abs/1703.00837,
section 3.3 and figure 2.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.networks._conv4 import max_pool
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm


class Augmented(nn.Module):
    """Convolutional blocks, a dense layer and a linear head; see `augmented`."""

    n_outputs: int
    conv_blocks: int
    width: int
    hidden: int
    n_augmented: int

    @property
    def augmented_layers(self) -> tuple[str, ...]:
        """Names of the kernels that take fast weights, in `params["params"]`."""
        layers = [f"conv_{block}" for block in range(self.conv_blocks)] + ["dense", "head"]
        return tuple(layers[len(layers) - self.n_augmented :])

    @nn.compact
    def __call__(self, x, fast=None):
        fast = {} if fast is None else fast
        for block in range(self.conv_blocks):
            name = f"conv_{block}"
            kernel = self.param(name, nn.initializers.he_normal(), (3, 3, x.shape[-1], self.width))
            if name in self.augmented_layers:
                h = _augment(conv, x, kernel, fast.get(name))
            else:
                h = nn.relu(BatchNorm(name=f"norm_{block}")(conv(x, kernel)))
            x = max_pool(h) if min(h.shape[1:3]) > 1 else h
        x = x.reshape(x.shape[0], -1)
        kernel = self.param("dense", nn.initializers.he_normal(), (x.shape[1], self.hidden))
        representation = x @ kernel
        if "dense" in fast:
            representation = representation + x @ fast["dense"]
        x = _augment(jnp.matmul, x, kernel, fast.get("dense"))
        kernel = self.param("head", nn.initializers.lecun_normal(), (self.hidden, self.n_outputs))
        outputs = x @ kernel
        return representation, outputs + x @ fast["head"] if "head" in fast else outputs


def _augment(layer, x, kernel, fast):
    """`relu(W x) + relu(W* x)`."""
    h = nn.relu(layer(x, kernel))
    return h if fast is None else h + nn.relu(layer(x, fast))


def augmented(
    n_outputs: int,
    *,
    conv_blocks: int = 4,
    width: int = 64,
    hidden: int = 64,
    n_augmented: int | None = None,
) -> Augmented:
    """`apply(params, x, fast) -> (representation [M, hidden], outputs [M, n_outputs])`.

    Blocks of 3x3 convolution, ReLU and 2x2 max-pooling (none on maps of one pixel), a dense layer
    and a linear head, all without biases. An augmented layer with slow weights W and fast weights
    W* gives `relu(W x) + relu(W* x)`; the representation, before the dense layer's ReLU, and the
    head sum W x and W* x. Fast weights are a dict of kernels by `augmented_layers`; a layer that is
    not in it goes without.

    Args:
      n_outputs: width of the head.
      conv_blocks: 0 flattens the inputs.
      width: channels of the convolutions.
      hidden: units of the dense layer.
      n_augmented: how many layers from the last take fast weights, None: all. Convolutions that
        do not are batch normalised.

    Raises:
      ValueError: a size is below 1, `conv_blocks` below 0, or `n_augmented` not among the layers.

    Example:
      >>> import jax
      >>> net = augmented(5, conv_blocks=0, hidden=8)
      >>> net.augmented_layers
      ('dense', 'head')
      >>> params = net.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> fast = {"head": jnp.ones((8, 5))}
      >>> [part.shape for part in net.apply(params, jnp.ones((2, 4)), fast)]
      [(2, 8), (2, 5)]
    """
    at_least(1, n_outputs=n_outputs, width=width, hidden=hidden)
    at_least(0, conv_blocks=conv_blocks)
    layers = conv_blocks + 2
    n_augmented = layers if n_augmented is None else n_augmented
    if not 1 <= n_augmented <= layers:
        raise ValueError(f"n_augmented must be in 1..{layers}, got {n_augmented}.")
    return Augmented(n_outputs, conv_blocks, width, hidden, n_augmented)
