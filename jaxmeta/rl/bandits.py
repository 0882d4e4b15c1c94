"""What is known about bandits: strategies to compare with, and the best that can be done.

A strategy is `(successes, failures, key) -> arm` from counts `[n_arms]`.
"""

import math
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

Strategy = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

MOST_PULLS = 12  # for which all counts are gone through


def thompson(successes, failures, key):
    """Pulls the best arm of a draw from the posterior Beta(1 + successes, 1 + failures)."""
    return jnp.argmax(jax.random.beta(key, 1 + successes, 1 + failures))


def greedy(successes, failures, key):
    """Pulls the arm of the best posterior mean; ties are broken at random."""
    return _best((1 + successes) / (2 + successes + failures), key)


def ucb1(scale: float = 1.0) -> Strategy:
    """Pulls the arm of the best upper bound `mean + scale * sqrt(2 log t / n)`.

    Auer, Cesa-Bianchi & Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", Machine
    Learning 47, 2002, with its constant for scale 1; the counts begin with one success and one
    failure of every arm, as in Duan et al. 2016.
    """

    def strategy(successes, failures, key):
        pulls = successes + failures + 2
        width = scale * jnp.sqrt(2 * jnp.log(jnp.sum(pulls)) / pulls)
        return _best((1 + successes) / pulls + width, key)

    return strategy


def _best(values, key):
    return jax.random.categorical(key, jnp.where(values == jnp.max(values), 0.0, -jnp.inf))


def play(strategy: Strategy, key: jax.Array, arms: jax.Array, n_pulls: int) -> jax.Array:
    """The arms `[n_pulls]` that a strategy pulls in a Bernoulli bandit.

    Example:
      >>> play(greedy, jax.random.key(0), jnp.array([0.1, 0.9]), 5).shape
      (5,)
    """

    def pull(counts, key):
        key_arm, key_reward = jax.random.split(key)
        successes, failures = counts
        arm = strategy(successes, failures, key_arm)
        won = jax.random.bernoulli(key_reward, arms[arm])
        return (successes.at[arm].add(won), failures.at[arm].add(~won)), arm

    zeros = jnp.zeros_like(arms)
    return jax.lax.scan(pull, (zeros, zeros), jax.random.split(key, n_pulls))[1]


def expected_regret(arms: jax.Array, pulled: jax.Array) -> jax.Array:
    """What the best arm would have paid more on average, summed up to each pull: `[n_pulls]`.

    Example:
      >>> expected_regret(jnp.array([0.2, 0.9]), jnp.array([0, 1, 0])).round(2).tolist()
      [0.699999988079071, 0.699999988079071, 1.399999976158142]
    """
    return jnp.cumsum(jnp.max(arms) - arms[pulled])


def bayes_optimal(n_arms: int, n_pulls: int) -> np.ndarray:
    """Expected reward at each pull under the best strategy there is, `[n_pulls]`; exact.

    Bernoulli arms with probabilities from U[0, 1], by dynamic programming over the counts of all
    arms, whose order does not matter.

    Raises:
      ValueError: `n_arms` or `n_pulls` is below 1, or `n_pulls` above 12: too many counts.

    Example:
      >>> bayes_optimal(2, 2).round(4).tolist()  # After a win the same arm again, else the other.
      [0.5, 0.5833]
    """
    if n_arms < 1 or not 1 <= n_pulls <= MOST_PULLS:
        raise ValueError(
            f"n_arms must be >= 1 and n_pulls in 1..{MOST_PULLS}, got {n_arms} and {n_pulls}."
        )

    @cache
    def best(counts, left):  # counts: of the arms pulled so far, sorted (successes, failures)
        if not left:
            return np.zeros(0)
        choices = set(counts) | ({(0, 0)} if len(counts) < n_arms else set())
        futures = []
        for successes, failures in choices:
            rest = list(counts)
            if (successes, failures) in rest:
                rest.remove((successes, failures))
            mean = (1 + successes) / (2 + successes + failures)
            won = tuple(sorted([*rest, (successes + 1, failures)]))
            lost = tuple(sorted([*rest, (successes, failures + 1)]))
            after = mean * best(won, left - 1) + (1 - mean) * best(lost, left - 1)
            futures.append(np.concatenate([[mean], after]))
        return max(futures, key=np.sum)

    return best((), n_pulls)


def best_arm_posterior(successes: np.ndarray, failures: np.ndarray) -> np.ndarray:
    """Probability that each arm is the best one after what was seen; exact, in double precision.

    Bernoulli arms with probabilities from U[0, 1]: the density of arm i times the chance that all
    others pay less is a polynomial, which Gauss-Legendre quadrature integrates without error.

    Args:
      successes, failures: counts `[..., n_arms]`, whole numbers.

    Returns shares `[..., n_arms]` that sum to 1.

    Raises:
      ValueError: a count is negative or no whole number.

    Example:
      >>> best_arm_posterior(np.array([1, 0]), np.array([0, 0])).round(4).tolist()
      [0.6667, 0.3333]
    """
    successes, failures = np.broadcast_arrays(successes, failures)
    counts = np.stack([successes, failures], axis=-1)
    if (counts < 0).any() or (counts != np.round(counts)).any():
        raise ValueError("successes and failures must be whole numbers of at least 0.")
    n_arms = successes.shape[-1]
    degree = int(counts.sum((-1, -2)).max(initial=0)) + n_arms
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    x, weights = (nodes + 1) / 2, weights / 2
    densities, chances = np.empty((2, *successes.shape, len(x)))
    for won, lost in np.unique(counts.reshape(-1, 2).astype(int), axis=0):
        here = (successes == won) & (failures == lost)
        pulls = int(won + lost) + 1
        terms = [math.comb(pulls, t) * x**t * (1 - x) ** (pulls - t) for t in range(pulls + 1)]
        densities[here] = pulls * math.comb(pulls - 1, int(won)) * x**won * (1 - x) ** lost
        chances[here] = sum(terms[won + 1 :])
    shares = np.empty(successes.shape)
    for arm in range(n_arms):
        others = np.delete(chances, arm, axis=-2).prod(-2)
        shares[..., arm] = (densities[..., arm, :] * others) @ weights
    return shares
