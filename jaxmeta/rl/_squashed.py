"""A Gaussian squashed by tanh into the bounds of an action."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.rl.distributions import Gaussian

MOST = 1 - 1e-6  # An action on the bound itself has no density: it counts as this far out.
LOG_STD = (-5.0, 2.0)  # of Zheng et al. 2022


class SquashedGaussian(NamedTuple):
    """tanh of a Gaussian, independent in every coordinate; actions in (-1, 1)."""

    mean: jax.Array  # [..., D], before the tanh
    log_std: jax.Array  # [..., D]

    def sample(self, key):
        """Draws an action; differentiable in the parameters."""
        return jnp.tanh(Gaussian(*self).sample(key))

    def mode(self):
        """tanh of the mean."""
        return jnp.tanh(self.mean)

    def log_prob(self, action):
        """Log-density of an action, by the change of variables."""
        return self._of_raw(jnp.arctanh(jnp.clip(action, -MOST, MOST)))

    def entropy(self, key):
        """From one draw: minus its log-density; there is no closed form."""
        return -self._of_raw(Gaussian(*self).sample(key))

    def _of_raw(self, raw):
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which holds far out too.
        slope = 2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))
        return Gaussian(*self).log_prob(raw) - jnp.sum(slope, axis=-1)


def squashed(outputs: jax.Array) -> SquashedGaussian:
    """From outputs `[..., 2 D]` of a net; the log-deviation is bent into [-5, 2] by a tanh."""
    mean, bent = jnp.split(outputs, 2, axis=-1)
    low, high = LOG_STD
    return SquashedGaussian(mean, low + 0.5 * (high - low) * (jnp.tanh(bent) + 1))
