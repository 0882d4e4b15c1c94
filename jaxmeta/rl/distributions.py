"""Actions, and the distributions policies draw them from."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Categorical(NamedTuple):
    """Over `n` actions."""

    logits: jax.Array  # [..., n]

    def sample(self, key):
        return jax.random.categorical(key, self.logits)

    def log_prob(self, action):
        log_p = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_p, action[..., None], axis=-1)[..., 0]

    def entropy(self):
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    def kl(self, other):
        """From this one to `other`, in nats."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


class Gaussian(NamedTuple):
    """Independent in every coordinate."""

    mean: jax.Array  # [..., D]
    log_std: jax.Array  # [..., D]

    def sample(self, key):
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action):
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * jnp.log(2 * jnp.pi), axis=-1)

    def entropy(self):
        return jnp.sum(self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=-1)

    def kl(self, other):
        """From this one to `other`, in nats."""
        ratio = jnp.exp(2 * (self.log_std - other.log_std))
        distance = ((self.mean - other.mean) * jnp.exp(-other.log_std)) ** 2
        return jnp.sum(other.log_std - self.log_std + 0.5 * (ratio + distance - 1), axis=-1)


class Discrete(NamedTuple):
    """Actions `0..n-1`."""

    n: int

    @property
    def n_outputs(self) -> int:
        """Numbers a net gives for a distribution."""
        return self.n

    def init(self):
        """Parameters of the distribution that no net gives: none."""
        return {}

    def distribution(self, params, outputs):
        """From outputs `[..., n]` of a net."""
        del params
        return Categorical(outputs)

    def encode(self, action):
        """As a net reads it, `[..., n]`."""
        return jax.nn.one_hot(action, self.n)

    def nothing(self):
        """What a net reads before the first action, `[n]`."""
        return jnp.zeros(self.n)


class Continuous(NamedTuple):
    """Real vectors; an environment clips them to its bounds."""

    size: int
    std: float = 1.0  # of the first policy

    @property
    def n_outputs(self) -> int:
        """Numbers a net gives for a distribution."""
        return self.size

    def init(self):
        """The logarithm of the standard deviation, learned, the same in every state: `[D]`."""
        return {"log_std": jnp.full(self.size, math.log(self.std), dtype=float)}

    def distribution(self, params, outputs):
        """From outputs `[..., D]` of a net, the means."""
        return Gaussian(outputs, jnp.broadcast_to(params["log_std"], outputs.shape))

    def encode(self, action):
        """As a net reads it, `[..., D]`."""
        return action

    def nothing(self):
        """What a net reads before the first action, `[D]`."""
        return jnp.zeros(self.size)
