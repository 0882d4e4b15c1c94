import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.rl import bandits


def test_the_best_of_two_arms_and_two_pulls_by_hand():
    # First pull: 1/2. Having won (1/2), stay at 2/3; having lost, the other arm at 1/2.
    np.testing.assert_allclose(bandits.bayes_optimal(2, 2), [1 / 2, (2 / 3 + 1 / 2) / 2])


def test_the_best_of_three_pulls_by_enumeration():
    # All deterministic strategies of two arms and three pulls: an arm for each history.
    histories = [*itertools.product((0, 1), repeat=1), *itertools.product((0, 1), repeat=2)]

    def chance(counts):  # Of the next success.
        return (1 + counts[0]) / (2 + sum(counts))

    def value(second, third):
        total = 0.0
        for rewards in itertools.product((0, 1), repeat=3):
            counts, probability = [[0, 0], [0, 0]], 1.0
            arms = (0, second[rewards[0]], third[rewards[:2]])
            for arm, reward in zip(arms, rewards, strict=True):
                p = chance(counts[arm])
                probability *= p if reward else 1 - p
                counts[arm][1 - reward] += 1
            total += probability * sum(rewards)
        return total

    best = max(
        value(
            dict(zip((0, 1), arms[:2], strict=True)),
            dict(zip(histories[2:], arms[2:], strict=True)),
        )
        for arms in itertools.product((0, 1), repeat=6)
    )
    np.testing.assert_allclose(bandits.bayes_optimal(2, 3).sum(), best, rtol=1e-12)


def test_the_known_values_of_ten_pulls():
    # Recipes of the literature: 6.660 with 5 arms, 6.714 with ten or more.
    np.testing.assert_allclose(bandits.bayes_optimal(5, 10).sum(), 6.660, atol=5e-4)
    np.testing.assert_allclose(bandits.bayes_optimal(10, 10).sum(), 6.714, atol=5e-4)
    with pytest.raises(ValueError, match=r"n_pulls in 1\.\.12, got 5 and 100"):
        bandits.bayes_optimal(5, 100)


@pytest.mark.parametrize(
    "strategy", [bandits.thompson, bandits.greedy, bandits.ucb1(0.5)], ids=lambda s: s.__name__
)
def test_strategies_stand_between_chance_and_the_optimum(strategy):
    def total(key):
        key_arms, key_play = jax.random.split(key)
        arms = jax.random.uniform(key_arms, (5,))
        pulled = bandits.play(strategy, key_play, arms, 10)
        regret = bandits.expected_regret(arms, pulled)
        np.testing.assert_allclose(regret.shape, (10,))
        return 10 * jnp.max(arms) - regret[-1]

    totals = jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(0), 4000))
    error = totals.std() / np.sqrt(4000)
    assert 5.5 < totals.mean() < 6.66 + 3 * error


def test_what_strategies_do_with_counts():
    key = jax.random.key(0)
    successes, failures = jnp.array([3.0, 0.0, 1.0]), jnp.array([1.0, 5.0, 1.0])
    assert bandits.greedy(successes, failures, key) == 0  # 4/6 against 1/7 and 2/4.
    assert bandits.ucb1(0.0)(successes, failures, key) == 0
    assert bandits.ucb1(10.0)(successes, failures, key) == 2  # The least pulled.
    # Bounds 4/6 + 0.97 c, 1/7 + 0.90 c, 2/4 + 1.19 c: sqrt(2 log 17) = 2.38.
    assert bandits.ucb1(0.7)(successes, failures, key) == 0
    assert bandits.ucb1(1.0)(successes, failures, key) == 2
    picks = jax.vmap(lambda key: bandits.thompson(successes, failures, key))(
        jax.random.split(key, 500)
    )
    shares = np.bincount(picks, minlength=3) / 500
    assert shares[0] > shares[2] > shares[1]


def test_regret_by_hand():
    arms = jnp.array([0.25, 0.75, 0.5])
    regret = bandits.expected_regret(arms, jnp.array([0, 1, 2, 1]))
    np.testing.assert_allclose(regret, [0.5, 0.5, 0.75, 0.75])


def test_the_posterior_of_the_best_arm():
    # By hand: P(a > b) for a ~ Beta(2, 1), b ~ Beta(1, 1) is the mean of a, 2/3; nothing seen, 1/n.
    shares = bandits.best_arm_posterior(np.array([1, 0]), np.array([0, 0]))
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3], rtol=1e-14)
    nothing = np.zeros((2, 5), int)
    np.testing.assert_allclose(bandits.best_arm_posterior(*nothing), 1 / 5, rtol=1e-13)
    # Against draws from the posterior, four standard errors of 400 000.
    won, lost = np.array([[3, 1, 0, 2], [0, 0, 1, 4]]), np.array([[1, 0, 0, 5], [9, 0, 1, 2]])
    shares = bandits.best_arm_posterior(won, lost)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-13)
    rng, n = np.random.default_rng(0), 400_000
    for row in range(2):
        best = rng.beta(1 + won[row], 1 + lost[row], size=(n, 4)).argmax(1)
        drawn = np.bincount(best, minlength=4) / n
        np.testing.assert_allclose(drawn, shares[row], atol=4 * 0.5 / np.sqrt(n))


def test_a_posterior_of_impossible_counts_is_refused():
    for wrong in (-1, 0.5):
        with pytest.raises(ValueError, match="whole numbers of at least 0"):
            bandits.best_arm_posterior(np.array([wrong, 0]), np.zeros(2))
