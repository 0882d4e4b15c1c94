"""The net of siamese networks.

Koch, Zemel & Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", ICML Deep
Learning Workshop 2015, section 3.1 and figure 4.
Differs from the paper: the convolutions are those of Conv4, with batch normalisation, in place of
10x10, 7x7, 4x4 and 4x4 filters on 105x105 images.
"""

import flax.linen as nn

from jaxmeta.checks import at_least
from jaxmeta.networks._conv4 import conv4


class SiameseEmbedding(nn.Module):
    """Conv4 and a layer of sigmoid units; see `siamese_embedding`."""

    units: int
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.sigmoid(conv4(self.units, width=self.width).copy(name="conv4")(x))


def siamese_embedding(units: int = 4096, *, width: int = 64) -> SiameseEmbedding:
    """Images `[M, H, W, C]` to `units` numbers in `[0, 1]`, which siamese networks compare.

    Args:
      units: of the last layer.
      width: channels of the four convolutions.

    Raises:
      ValueError: `units` or `width` is below 1.

    Example:
      >>> import jax
      >>> net = siamese_embedding(6, width=4)
      >>> images = jax.numpy.zeros((2, 16, 16, 1))
      >>> net.apply(net.init(jax.random.key(0), images), images).shape
      (2, 6)
    """
    at_least(1, units=units, width=width)
    return SiameseEmbedding(units, width)
