"""Losses whose gradient is the policy gradient, and whose second derivatives differ.

All three have the gradient `-mean_t grad log pi(a_t) A_t` in the policy that acted. A meta-gradient
differentiates it once more, and there the expectation of plain REINFORCE's derivative lacks a term:
the states and actions themselves depend on the policy (Al-Shedivat et al. 2018; Stadie et al.
2018).

Each takes `log_probs` `[E, H]` of the actions under the weights, `acted` `[E, H]`, the same under
the policy that acted (constants), `advantages` `[E, H]` and `is_valid` `[E, H]`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.losses import masked_mean

InnerLoss = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def surrogate(log_probs, acted, advantages, is_valid):
    """`-mean log pi(a_t) A_t`, REINFORCE as it stands; that of MAML's released code.

    Its second derivative lacks `grad log pi (grad log pi)^T` for every pair of steps: biased for
    the gradient step on the expected return, right for a step on these very samples.

    Example:
      >>> log_probs, advantages = jnp.log(jnp.array([0.5])), jnp.array([2.0])
      >>> round(float(surrogate(log_probs, log_probs, advantages, jnp.ones(1, bool))), 4)
      1.3863
    """
    del acted
    return -masked_mean(log_probs * advantages, is_valid)


def dice(log_probs, acted, advantages, is_valid):
    """DiCE: every derivative is an unbiased estimate of that of the expected return.

    `-mean_t exp(sum_{s <= t} log pi(a_s) - log pi_acted(a_s)) (A_t - A_{t+1})`. Without discount
    and baseline `A_t - A_{t+1}` is the reward, and this is the paper's; a baseline, zero after the
    end, is a potential added to the rewards, which changes no derivative's expectation.

    Foerster, Farquhar, Al-Shedivat, Rocktaeschel, Xing & Whiteson, "DiCE: The Infinitely
    Differentiable Monte Carlo Estimator", ICML 2018, https://arxiv.org/abs/1802.05098.

    Example:
      >>> log_probs, advantages = jnp.log(jnp.array([0.5])), jnp.array([2.0])
      >>> float(dice(log_probs, log_probs, advantages, jnp.ones(1, bool)))
      -2.0
    """
    log_ratio = jnp.cumsum(jnp.where(is_valid, log_probs - acted, 0.0), axis=-1)
    advantages = jnp.where(is_valid, advantages, 0.0)
    after = jnp.concatenate([advantages[..., 1:], jnp.zeros_like(advantages[..., :1])], axis=-1)
    return -masked_mean(jnp.exp(log_ratio) * (advantages - after), is_valid)


def low_variance_curvature(log_probs, acted, advantages, is_valid):
    """`-mean_t pi(a_t) / pi_acted(a_t) A_t`: of DiCE's second derivative the terms of one step.

    Terms of two different steps are left out, which lowers the variance and vanishes near a local
    optimum of the expected return; for episodes of one step there are none.

    Rothfuss, Lee, Clavera, Asfour & Abbeel, "ProMP: Proximal Meta-Policy Search", ICLR 2019,
    https://arxiv.org/abs/1810.06784, section 5.

    Example:
      >>> log_probs, advantages = jnp.log(jnp.array([0.5])), jnp.array([2.0])
      >>> float(low_variance_curvature(log_probs, log_probs, advantages, jnp.ones(1, bool)))
      -2.0
    """
    ratio = jnp.exp(jnp.where(is_valid, log_probs - acted, 0.0))
    return -masked_mean(ratio * advantages, is_valid)
