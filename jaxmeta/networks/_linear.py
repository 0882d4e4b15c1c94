"""A linear map."""

import flax.linen as nn

from jaxmeta.checks import at_least


def linear(n_outputs: int, *, use_bias: bool = True, init_scale: float = 0.01) -> nn.Dense:
    """`[M, D] -> [M, n_outputs]`, the kernel normal of standard deviation `init_scale`.

    Raises:
      ValueError: `n_outputs` is below 1.

    Example:
      >>> import jax
      >>> net = linear(2, use_bias=False)
      >>> net.init(jax.random.key(0), jax.numpy.ones((1, 3)))["params"]["kernel"].shape
      (3, 2)
    """
    at_least(1, n_outputs=n_outputs)
    return nn.Dense(n_outputs, use_bias=use_bias, kernel_init=nn.initializers.normal(init_scale))
