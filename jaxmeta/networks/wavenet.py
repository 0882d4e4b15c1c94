"""A support set read as a sequence by causal dilated convolutions.

van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016,
https://arxiv.org/abs/1609.03499, section 2: gated units `tanh * sigmoid`, dilations that double,
residual and skip connections. Here the skip sum of the last row is the code of the sequence.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least


class WaveNetEncoder(nn.Module):
    """Support rows `[S, *X]`, `[S, N]` to one vector; see `wavenet_encoder`."""

    size: int
    width: int
    layers: int
    embed: nn.Module | None

    @nn.compact
    def __call__(self, x, y, is_valid=None):
        """The vector `[size]`; rows that are not valid are as if absent."""
        x = x if self.embed is None else self.embed(x)
        rows = jnp.concatenate([x.reshape(x.shape[0], -1), y], axis=1)
        last: Any = rows.shape[0] - 1
        if is_valid is not None:  # What is not valid goes behind the last that is.
            rows = rows[jnp.argsort(~is_valid, stable=True)]
            last = jnp.maximum(jnp.sum(is_valid) - 1, 0)
        h = nn.Dense(self.width, name="in")(rows)
        skips = jnp.zeros_like(h)
        for layer in range(self.layers):
            gates = nn.Conv(
                2 * self.width,
                kernel_size=(2,),
                kernel_dilation=(2**layer,),
                padding="CAUSAL",
                name=f"dilated_{layer}",
            )(h)
            filtered, gate = jnp.split(gates, 2, axis=1)
            z = jnp.tanh(filtered) * jax.nn.sigmoid(gate)
            h = h + nn.Dense(self.width, name=f"residual_{layer}")(z)
            skips = skips + nn.Dense(self.width, name=f"skip_{layer}")(z)
        return nn.Dense(self.size, name="out")(nn.relu(skips[last]))


def wavenet_encoder(
    size: int = 128, *, width: int = 64, layers: int = 4, embed: nn.Module | None = None
) -> WaveNetEncoder:
    """A code of the support set in its order: the last row's view back over `2^layers` rows.

    Args:
      size: entries of the code.
      width: channels of the convolutions.
      layers: dilated convolutions, of dilations 1, 2, 4 ...
      embed: a module that maps inputs `[S, *X]` to embeddings first, a `conv4` for images.

    Raises:
      ValueError: a number is below 1.

    Example:
      >>> encoder = wavenet_encoder(3, width=4, layers=2)
      >>> x, y = jnp.ones((5, 2)), jnp.ones((5, 1))
      >>> encoder.apply(encoder.init(jax.random.key(0), x, y), x, y).shape
      (3,)
    """
    at_least(1, size=size, width=width, layers=layers)
    return WaveNetEncoder(size, width, layers, embed)
