"""ResNet-12 of the strong few-shot papers.

Oreshkin et al., "TADAM", NeurIPS 2018, with 64, 128, 256 and 512 channels; Lee et al.,
"Meta-Learning with Differentiable Convex Optimization", CVPR 2019, with 64, 160, 320 and 640, as
most later papers. Each of four blocks has three 3x3 convolutions with batch normalisation, a 1x1
convolution with batch normalisation across, and 2x2 max-pooling.
Differs from the papers: no DropBlock and no dropout (a net here is a function of parameters and
inputs); batch statistics are of a named set, not running averages.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.networks._conv4 import max_pool
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm

_SLOPE = 0.1  # of the leaky ReLU, in both papers' code


class ResNet12(nn.Module):
    """Four residual blocks and a linear head; see `resnet12`."""

    n_outputs: int | None
    widths: tuple[int, ...]
    spatial_mean: bool

    @nn.compact
    def __call__(self, x):
        for block, width in enumerate(self.widths):
            x = _Block(width, name=f"block_{block}")(x)
        x = jnp.mean(x, (1, 2)) if self.spatial_mean else x.reshape(x.shape[0], -1)
        return x if self.n_outputs is None else nn.Dense(self.n_outputs, name="head")(x)


class _Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        across = self._normalised_conv(x, 1, "across")
        for layer in range(3):
            x = self._normalised_conv(x, 3, f"layer_{layer}")
            x = nn.leaky_relu(x, _SLOPE) if layer < 2 else x
        # The leaky ReLU commutes with the maximum; after the pooling it has a quarter of the work.
        return nn.leaky_relu(max_pool(x + across), _SLOPE)

    def _normalised_conv(self, x, size, name):
        init = nn.initializers.variance_scaling(2 / (1 + _SLOPE**2), "fan_out", "normal")
        kernel = self.param(f"{name}_kernel", init, (size, size, x.shape[-1], self.width))
        return BatchNorm(name=f"{name}_norm")(conv(x, kernel))


def resnet12(
    n_outputs: int | None = None,
    *,
    widths: tuple[int, int, int, int] = (64, 160, 320, 640),
    spatial_mean: bool = True,
) -> ResNet12:
    """ResNet-12: `[M, H, W, C]` images, 16 pixels or more wide, to logits or an embedding.

    Args:
      n_outputs: width of the linear layer `"head"`; None leaves it out (an embedding).
      widths: channels of the four blocks.
      spatial_mean: average the last map (640 features); False flattens it (16 000 from 84x84
        images, as MetaOptNet's ridge and SVM heads take).

    Raises:
      ValueError: not four widths, or a number below 1.

    Example:
      >>> import jax
      >>> net = resnet12(widths=(2, 2, 2, 4))
      >>> images = jnp.zeros((2, 16, 16, 3))
      >>> net.apply(net.init(jax.random.key(0), images), images).shape
      (2, 4)
    """
    if len(widths) != 4 or min(widths) < 1:
        raise ValueError(f"widths must be four numbers >= 1, got {widths}.")
    at_least(1, n_outputs=n_outputs)
    return ResNet12(n_outputs, tuple(widths), spatial_mean)
