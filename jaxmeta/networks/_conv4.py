"""The four-layer convolutional net of the few-shot literature.

Vinyals et al. 2016; Finn et al. 2017, section 5.2: 3x3 convolution, batch normalisation, ReLU, then
2x2 max-pooling or, strided, a step of 2 in the convolution and no pooling.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.networks.convolution import conv
from jaxmeta.networks.normalisation import BatchNorm

FILM_BLOCK = 2  # the third
# Channels from which a derivative in one pass is faster: at 64 by 5 to 11 % of a step, at 8 slower.
_MANY_CHANNELS = 32


class Conv4(nn.Module):
    """Four blocks and a linear head; see `conv4`."""

    n_outputs: int | None
    width: int
    strided: bool
    spatial_mean: bool

    @nn.compact
    def __call__(self, x, context=None):
        if x.ndim != 4 or (not self.strided and min(x.shape[1:3]) < 16):
            raise ValueError(
                "conv4 needs images [M, H, W, C], of 16 pixels or more each way where it pools, "
                f"got shape {x.shape}."
            )
        for block in range(4):
            film = None
            if context is not None and block == FILM_BLOCK:
                film = nn.Dense(2 * self.width, name="film", bias_init=_identity_film)(context)
            x = _Block(self.width, self.strided, name=f"block_{block}")(x, film)
        x = jnp.mean(x, (1, 2)) if self.spatial_mean else x.reshape(x.shape[0], -1)
        if self.n_outputs is None:
            return x
        return nn.Dense(self.n_outputs, name="head", kernel_init=nn.initializers.xavier_uniform())(
            x
        )


class _Block(nn.Module):
    width: int
    strided: bool

    @nn.compact
    def __call__(self, x, film=None):
        kernel = self.param(
            "kernel", nn.initializers.xavier_uniform(), (3, 3, x.shape[-1], self.width)
        )
        # The bias of the convolution would be taken out again by the normalisation.
        x = conv(x, kernel, strides=2 if self.strided else 1)
        if film is None:
            # ReLU and maximum commute; after the pooling it has a quarter of the work.
            return nn.relu(BatchNorm(name="norm", pool=None if self.strided else max_pool)(x))
        gamma, beta = (part[None, None, None] for part in jnp.split(film, 2))
        x = nn.relu(gamma * BatchNorm(name="norm")(x) + beta)
        return x if self.strided else max_pool(x)


def _identity_film(key, shape, dtype=jnp.float32):
    """Factors of one, shifts of zero: a context of zeros changes nothing."""
    del key
    return jnp.repeat(jnp.array([1, 0], dtype), shape[0] // 2)


def max_pool(x: jax.Array) -> jax.Array:
    """2x2 max-pooling with step 2; an odd last row or column is left out.

    By pairwise comparisons: the derivative of `max` over a reshaped axis finds its winner by
    comparing recomputed numbers for equality, and is silently wrong under rematerialisation.

    Args:
      x: `[M, H, W, C]`.

    Returns `[M, H // 2, W // 2, C]`.

    Example:
      >>> max_pool(jnp.arange(6.0).reshape(1, 2, 3, 1)).ravel().tolist()
      [4.0]
    """
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    blocks = x[:, : 2 * rows, : 2 * columns].reshape(x.shape[0], rows, 2, columns, 2, x.shape[3])
    return (_largest if x.shape[3] < _MANY_CHANNELS else _largest_of_many)(blocks)


def _largest(blocks):
    """The largest of each block, `[M, h, 2, w, 2, C]` to `[M, h, w, C]`."""
    x = jnp.where(blocks[:, :, 0] >= blocks[:, :, 1], blocks[:, :, 0], blocks[:, :, 1])
    return jnp.where(x[:, :, :, 0] >= x[:, :, :, 1], x[:, :, :, 0], x[:, :, :, 1])


_largest_of_many = jax.custom_jvp(_largest)


@_largest_of_many.defjvp
def _tangent_of_largest(primals, tangents):
    """The tangent at the place of the largest; its transpose writes the gradient in one pass."""
    (blocks,), (tangent,) = primals, tangents
    is_upper = blocks[:, :, 0] >= blocks[:, :, 1]
    x = jnp.where(is_upper, blocks[:, :, 0], blocks[:, :, 1])
    is_left = x[:, :, :, 0] >= x[:, :, :, 1]
    is_up = jnp.where(is_left, is_upper[:, :, :, 0], is_upper[:, :, :, 1])
    place = (jnp.where(is_up, 0, 2) + jnp.where(is_left, 0, 1)).astype(jnp.int8)
    places = jnp.arange(4, dtype=jnp.int8).reshape(2, 1, 2, 1)
    is_largest = place[:, :, None, :, None] == places
    return _largest_of_many(blocks), jnp.sum(jnp.where(is_largest, tangent, 0), (2, 4))


def conv4(
    n_outputs: int | None = None,
    *,
    width: int = 64,
    strided: bool = False,
    spatial_mean: bool = False,
) -> Conv4:
    """Conv4: `[M, H, W, C]` images to `[M, n_outputs]` logits, or to a flat embedding.

    A second input `[C]`, the context of a task (`jaxmeta.cavia`), scales and shifts the channels of
    the third block before its ReLU (FiLM; Perez et al. 2018).

    Args:
      n_outputs: width of the linear layer `"head"`; None leaves it out (an embedding).
      width: channels of every convolution, 32 or 64 in the papers.
      strided: convolutions with step 2 in place of max-pooling (Finn et al., Omniglot).
      spatial_mean: average over the last map in place of flattening it (Finn et al., Omniglot).

    Parameters start by Glorot's uniform rule, biases at zero.

    Raises:
      ValueError: `width` or `n_outputs` is below 1; by `init` and `apply`, the input is not
        `[M, H, W, C]`, or pooling would leave no pixel of it.

    Example:
      >>> net = conv4(5, width=8)
      >>> images = jnp.zeros((2, 28, 28, 1))
      >>> net.apply(net.init(jax.random.key(0), images), images).shape
      (2, 5)
    """
    at_least(1, width=width)
    at_least(1, n_outputs=n_outputs)
    return Conv4(n_outputs, width, strided, spatial_mean)
