"""A support set as one vector, whatever the order of its rows.

Garnelo et al., "Conditional Neural Processes", ICML 2018, section 2: `r = mean_i h(x_i, y_i)`, and
for classification one mean for each class, side by side.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp


class SetEncoder(nn.Module):
    """Support rows `[S, *X]`, `[S, N]` to one vector; see `set_encoder`."""

    size: int
    hidden: Sequence[int]
    embed: nn.Module | None
    per_class: bool

    @nn.compact
    def __call__(self, x, y, is_valid=None):
        """The vector `[size]`, or `[N * size]` per class; rows that are not valid do not count."""
        x = x if self.embed is None else self.embed(x)
        x = x.reshape(x.shape[0], -1)
        h = x if self.per_class else jnp.concatenate([x, y], axis=1)
        for layer, width in enumerate(self.hidden):
            h = nn.relu(nn.Dense(width, name=f"dense_{layer}")(h))
        h = nn.Dense(self.size, name="out")(h)
        weights = y if self.per_class else jnp.ones((y.shape[0], 1), h.dtype)
        if is_valid is not None:
            weights = weights * is_valid[:, None]
        total = weights.sum(0)[:, None]
        means = weights.T @ h / jnp.where(total > 0, total, 1)
        return means.ravel()


def set_encoder(
    size: int = 128,
    *,
    hidden: Sequence[int] = (128, 128, 128),
    embed: nn.Module | None = None,
    per_class: bool = False,
) -> SetEncoder:
    """The mean over the support set of a multi-layer perceptron of each pair `(x_i, y_i)`.

    The defaults are the released code's of conditional neural processes: four layers of 128, the
    last without ReLU.

    Args:
      size: entries of the mean.
      hidden: widths of the layers before the last.
      embed: a module that maps inputs `[S, *X]` to embeddings first, a `conv4` for images.
      per_class: one mean of `h(x_i)` for each class, weighted by the labels, side by side:
        `N * size` entries, zeros for a class without rows.

    Raises:
      ValueError: a width is below 1.

    Example:
      >>> import jax
      >>> encoder = set_encoder(3, hidden=(4,))
      >>> x, y = jnp.ones((5, 2)), jnp.ones((5, 1))
      >>> encoder.apply(encoder.init(jax.random.key(0), x, y), x, y).shape
      (3,)
    """
    for width in (*hidden, size):
        if width < 1:
            raise ValueError(f"hidden and size must be >= 1, got {(*hidden, size)}.")
    return SetEncoder(size, tuple(hidden), embed, per_class)


class Conditioned(nn.Module):
    """`head(embed(x), context)`; see `conditioned`."""

    embed: nn.Module
    head: nn.Module

    def __call__(self, x, context):
        return self.head(self.embed(x), context)


def conditioned(embed: nn.Module, head: nn.Module) -> Conditioned:
    """A net with a second input: `head(embed(x), context)`.

    Args:
      embed: maps `[M, *X]` to `[M, D]`, a `conv4` without outputs.
      head: maps `[M, D]` and a context `[C]` to outputs, an `mlp`.

    Example:
      >>> import jax
      >>> from jaxmeta.networks import conv4, mlp
      >>> net = conditioned(conv4(width=2), mlp(5))
      >>> images, context = jnp.zeros((2, 16, 16, 1)), jnp.zeros(3)
      >>> net.apply(net.init(jax.random.key(0), images, context), images, context).shape
      (2, 5)
    """
    return Conditioned(embed, head)
