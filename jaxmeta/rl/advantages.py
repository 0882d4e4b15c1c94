"""How much better an action was than expected."""

import jax
import jax.numpy as jnp

from jaxmeta.losses import masked_mean


def gae(
    rewards: jax.Array,
    values: jax.Array,
    is_valid: jax.Array,
    *,
    discount: float,
    gae_lambda: float,
) -> jax.Array:
    """Generalised advantages of one trajectory, `[T]`; nothing is to come after its end.

    `A_t = sum_l (discount * gae_lambda)^l (r_{t+l} + discount * v_{t+l+1} - v_{t+l})`.

    References:
      Schulman, Moritz, Levine, Jordan & Abbeel, "High-Dimensional Continuous Control Using
      Generalized Advantage Estimation", ICLR 2016, https://arxiv.org/abs/1506.02438, equation 16.

    Args:
      rewards, values: `[T]`.
      is_valid: `[T]`; steps that are not valid come last and have the advantage 0.
      discount: of rewards one step later.
      gae_lambda: 0 trusts the values, 1 the rewards.

    Example:
      >>> rewards, values = jnp.array([1.0, 1.0]), jnp.zeros(2)
      >>> gae(rewards, values, jnp.ones(2, bool), discount=0.5, gae_lambda=1.0).tolist()
      [1.5, 1.0]
    """
    values = jnp.where(is_valid, values, 0.0)
    after = jnp.append(values[1:], 0.0)
    errors = jnp.where(is_valid, rewards + discount * after - values, 0.0)

    def backward(advantage, error):
        advantage = error + discount * gae_lambda * advantage
        return advantage, advantage

    return jax.lax.scan(backward, jnp.zeros_like(errors[0]), errors, reverse=True)[1]


def discounted_returns(rewards: jax.Array, *, discount: float) -> jax.Array:
    """Discounted sum of the rewards from each step on, `[T]`."""
    zeros, all_valid = jnp.zeros_like(rewards), jnp.ones(rewards.shape, bool)
    return gae(rewards, zeros, all_valid, discount=discount, gae_lambda=1.0)


def no_baseline(observations: jax.Array, returns: jax.Array, is_valid: jax.Array) -> jax.Array:
    """Expects nothing: zeros `[E, H]`.

    Example:
      >>> no_baseline(jnp.ones((1, 2, 3)), jnp.ones((1, 2)), jnp.ones((1, 2), bool)).tolist()
      [[0.0, 0.0]]
    """
    del observations, is_valid
    return jnp.zeros_like(returns)


def linear_baseline(observations: jax.Array, returns: jax.Array, is_valid: jax.Array) -> jax.Array:
    """Values of observations by least squares, fitted to the same episodes: `[E, H]`.

    Features are the observation, its square, time, its square and its cube, and one. Duan, Chen,
    Houthooft, Schulman & Abbeel, "Benchmarking Deep Reinforcement Learning for Continuous Control",
    ICML 2016, https://arxiv.org/abs/1604.06778; the ridge of 1e-5 is relative to the mean diagonal
    of the normal equations here, so that single precision is enough.

    Args:
      observations: `[E, H, O]`; cut at -10 and 10.
      returns: discounted sum of the rewards from each step on, `[E, H]`.
      is_valid: `[E, H]`.

    Example:
      >>> observations, returns = jnp.zeros((2, 3, 1)), jnp.full((2, 3), 4.0)
      >>> values = linear_baseline(observations, returns, jnp.ones((2, 3), bool))
      >>> bool(jnp.allclose(values, 4.0, atol=0.01))
      True
    """
    episodes, horizon = returns.shape
    seen = jnp.clip(observations, -10.0, 10.0)
    time = jnp.broadcast_to(jnp.arange(horizon)[:, None] / 100.0, (episodes, horizon, 1))
    parts = [seen, seen**2, time, time**2, time**3, jnp.ones_like(time)]
    features = jnp.concatenate(parts, axis=-1)
    features = jnp.where(is_valid[..., None], features, 0.0).reshape(episodes * horizon, -1)
    gram = features.T @ features
    size = len(gram)
    ridge = 1e-5 * jnp.trace(gram) / size * jnp.eye(size)
    target = features.T @ jnp.where(is_valid, returns, 0.0).ravel()
    weights = jax.scipy.linalg.solve(gram + ridge, target, assume_a="pos")
    return (features @ weights).reshape(episodes, horizon)


def deviation(values: jax.Array, is_valid: jax.Array) -> jax.Array:
    """Standard deviation of the valid ones, a little above zero."""
    variance = masked_mean((values - masked_mean(values, is_valid)) ** 2, is_valid)
    return jnp.sqrt(variance) + 1e-8


def normalised(values: jax.Array, is_valid: jax.Array) -> jax.Array:
    """Shifted and scaled to mean 0 and standard deviation 1; 0 where not valid."""
    scaled = (values - masked_mean(values, is_valid)) / deviation(values, is_valid)
    return jnp.where(is_valid, scaled, 0.0)
