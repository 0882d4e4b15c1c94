"""Multi-layer perceptron."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.networks.normalisation import BatchNorm


class MLP(nn.Module):
    """Dense layers with an activation between them; see `mlp`."""

    hidden: Sequence[int]
    n_outputs: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    normalise: bool = False
    kernel_init: Callable = nn.initializers.truncated_normal(0.01)

    @nn.compact
    def __call__(self, x, context=None):
        x = x.reshape(x.shape[0], -1)
        if context is not None:
            x = jnp.concatenate([x, jnp.broadcast_to(context, (x.shape[0], context.size))], axis=1)
        for layer, width in enumerate(self.hidden):
            x = nn.Dense(width, kernel_init=self.kernel_init, name=f"dense_{layer}")(x)
            if self.normalise:
                x = BatchNorm(name=f"norm_{layer}")(x)
            x = self.activation(x)
        return nn.Dense(self.n_outputs, kernel_init=self.kernel_init, name="head")(x)


def mlp(
    n_outputs: int,
    *,
    hidden: Sequence[int] = (40, 40),
    activation: Callable[[jax.Array], jax.Array] = nn.relu,
    normalise: bool = False,
    kernel_init: Callable | None = None,
) -> MLP:
    """A multi-layer perceptron `[M, *X] -> [M, n_outputs]`; inputs are flattened.

    The defaults are the sinusoid net of Finn et al. 2017, section 5.1. A second input `[C]`, the
    context of a task (`jaxmeta.cavia`), is joined to every row of the first.

    Args:
      n_outputs: width of the last layer, named `"head"`.
      hidden: widths of the layers before it.
      activation: between layers.
      normalise: batch normalisation before each activation (the non-convolutional Omniglot net
        of Finn et al. is `hidden=(256, 128, 64, 64), normalise=True`).
      kernel_init: Flax initialiser of the kernels, by default a normal of standard deviation 0.01
        cut at two; biases start at zero.

    Raises:
      ValueError: a width is below 1.

    Example:
      >>> net = mlp(3, hidden=(8,))
      >>> params = net.init(jax.random.key(0), jnp.ones((1, 4)))
      >>> net.apply(params, jnp.ones((5, 4))).shape
      (5, 3)
    """
    for width in (*hidden, n_outputs):
        if width < 1:
            raise ValueError(f"hidden and n_outputs must be >= 1, got {(*hidden, n_outputs)}.")
    if kernel_init is None:
        kernel_init = nn.initializers.truncated_normal(0.01)
    return MLP(tuple(hidden), n_outputs, activation, normalise, kernel_init)
