"""The two nets of relation networks.

Sung et al., "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018, section 3.4
and figure 2.
Differs from the paper: the bias of a convolution before a normalisation is left out, and the
first convolution of the comparison is taken of queries and classes apart and then added, which is
the convolution of the two on top of each other at a fraction of the work.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.networks._conv4 import max_pool
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm

Padding = Literal["SAME", "VALID"]


class RelationEmbedding(nn.Module):
    """Four convolutional blocks, the first two without padding and with pooling."""

    width: int

    @nn.compact
    def __call__(self, x):
        """Maps `[M, H, W, C]` to maps `[M, h, w, width]`: 28 to 5, 84 to 19."""
        for block in range(4):
            is_early = block < 2
            kernel = _kernel(self, f"kernel_{block}", x.shape[-1], self.width)
            x = conv(x, kernel, padding="VALID" if is_early else "SAME")
            x = nn.relu(BatchNorm(name=f"norm_{block}", pool=max_pool if is_early else None)(x))
        return x


class RelationHead(nn.Module):
    """Two convolutional blocks with pooling on each pair of maps, then two linear layers.

    Of embeddings without height and width, the linear layers alone.
    """

    width: int
    hidden: int
    padding: Padding

    @nn.compact
    def __call__(self, queries, classes, is_counted=None):
        """Compares `[M, h, w, C]` or `[M, C]` with as many for N classes.

        `is_counted` `[M * N]` bool: pairs whose statistics count. Returns scores `[M, N]`, the
        log-odds of the paper's relation score.
        """
        pairs = queries.shape[0], classes.shape[0]
        if queries.ndim == 4:
            x = self._pair_maps(queries, classes, is_counted)
        else:
            sides = (queries[:, None], classes[None])
            x = jnp.concatenate([jnp.broadcast_to(s, (*pairs, s.shape[-1])) for s in sides], -1)
        x = nn.relu(nn.Dense(self.hidden, name="hidden")(x.reshape(pairs[0] * pairs[1], -1)))
        return nn.Dense(1, name="score")(x).reshape(pairs)

    def _pair_maps(self, queries, classes, is_counted):
        for side, maps in (("query", queries), ("class", classes)):
            if maps.shape[1] < _smallest(self.padding):
                raise ValueError(
                    f"{side} maps must be at least {_smallest(self.padding)} wide and high under "
                    f"padding {self.padding!r}, got shape {maps.shape[1:]}."
                )
        channels = queries.shape[-1]
        kernel = _kernel(self, "kernel_0", 2 * channels, self.width)
        # The paper stacks the class's map first.
        of_classes = conv(classes, kernel[:, :, :channels], padding=self.padding)
        of_queries = conv(queries, kernel[:, :, channels:], padding=self.padding)
        x = of_queries[:, None] + of_classes[None]
        x = x.reshape(-1, *x.shape[2:])
        x = nn.relu(BatchNorm(name="norm_0", pool=max_pool)(x, is_counted))
        kernel = _kernel(self, "kernel_1", self.width, self.width)
        x = conv(x, kernel, padding=self.padding)
        return nn.relu(BatchNorm(name="norm_1", pool=max_pool)(x, is_counted))


def _smallest(padding):
    return 4 if padding == "SAME" else 10


def _kernel(module, name, inputs, outputs):
    return module.param(name, nn.initializers.he_normal(), (3, 3, inputs, outputs))


def relation_embedding(*, width: int = 64) -> RelationEmbedding:
    """The embedding of `jaxmeta.relation`: images `[M, H, W, C]` to maps `[M, h, w, width]`.

    Args:
      width: channels of every convolution.

    Raises:
      ValueError: `width` is below 1.

    Example:
      >>> import jax
      >>> net = relation_embedding(width=4)
      >>> images = jnp.zeros((2, 28, 28, 1))
      >>> net.apply(net.init(jax.random.key(0), images), images).shape
      (2, 5, 5, 4)
    """
    at_least(1, width=width)
    return RelationEmbedding(width)


def relation_head(*, width: int = 64, hidden: int = 8, padding: Padding = "SAME") -> RelationHead:
    """The comparison of `jaxmeta.relation`: pairs of maps to scores `[M, N]`.

    Args:
      width: channels of every convolution.
      hidden: units of the linear layer before the score.
      padding: of the convolutions; the released code has `"SAME"` for Omniglot (64 features before
        the linear layers) and `"VALID"` for mini-ImageNet (576).

    Raises:
      ValueError: `width` or `hidden` is below 1, or `padding` is none of the two.

    Example:
      >>> import jax
      >>> head = relation_head(width=4, hidden=3)
      >>> queries, classes = jnp.zeros((2, 5, 5, 4)), jnp.zeros((3, 5, 5, 4))
      >>> head.apply(head.init(jax.random.key(0), queries, classes), queries, classes).shape
      (2, 3)
    """
    at_least(1, width=width, hidden=hidden)
    if padding not in ("SAME", "VALID"):
        raise ValueError(f"padding must be 'SAME' or 'VALID', got {padding!r}.")
    return RelationHead(width, hidden, padding)
