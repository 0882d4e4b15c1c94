"""The two kinds of intervals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxmeta
from jaxmeta.training import evaluate, make_evaluate, online
from jaxmeta.training.intervals import estimator

RNG = np.random.default_rng(3)
SKEWED = RNG.exponential(size=60) ** 2


def test_the_bootstrap_s_bounds_are_scipy_s():
    """Two draws of 10 000 resamples: a percentile's error is some hundredths of the spread."""
    mean, interval, low, high = estimator("bootstrap")(SKEWED)
    assert mean == SKEWED.mean()
    expected = stats.bootstrap(
        [SKEWED], np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    )
    error = 0.05 * expected.standard_error
    np.testing.assert_allclose([low, high], expected.confidence_interval, atol=error)
    assert high - mean > 1.1 * (mean - low)  # The normal one would be symmetric.
    np.testing.assert_allclose(interval, (high - low) / 2)
    assert estimator("bootstrap")(SKEWED) == (mean, interval, low, high)


def test_of_ratios_it_draws_both_sums_together():
    counts = RNG.integers(1, 9, size=(60, 2))
    right = RNG.binomial(counts, [0.3, 0.8])
    mean, interval, low, high = estimator("bootstrap")(right, counts)
    np.testing.assert_allclose(mean, right.sum(0) / counts.sum(0), rtol=1e-12)
    expected = stats.bootstrap(
        [right[:, 0], counts[:, 0]],
        lambda right, counts, axis: right.sum(axis) / counts.sum(axis),
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    error = 0.05 * expected.standard_error
    np.testing.assert_allclose([low[0], high[0]], expected.confidence_interval, atol=error)
    normal = estimator("normal")(right, counts)
    np.testing.assert_allclose(interval, normal.interval, rtol=0.1)
    np.testing.assert_allclose(normal.mean, mean, rtol=1e-12)


def sample(key):
    x = jax.random.normal(key, (4, 2))
    part = jaxmeta.Examples(x, jnp.tile(jnp.eye(2), (2, 1)))
    return jaxmeta.Episode(part, part._replace(x=jax.random.normal(key, (6, 2))[2:]))


NEAREST = jaxmeta.learners.metric.nearest_neighbour()


def test_an_evaluation_has_the_interval_that_was_asked_for():
    settings = {"n_episodes": 40, "key": jax.random.key(0)}
    normal = evaluate(NEAREST, {}, sample, **settings)
    bootstrap = evaluate(NEAREST, {}, sample, ci="bootstrap", **settings)
    np.testing.assert_array_equal(bootstrap.per_episode, normal.per_episode)
    assert bootstrap.mean == normal.mean and bootstrap.interval != normal.interval
    np.testing.assert_allclose(bootstrap.interval, normal.interval, rtol=0.1)
    wanted = (normal.mean - normal.interval, normal.mean + normal.interval)
    np.testing.assert_allclose(normal.bounds, wanted, rtol=1e-12)
    assert bootstrap.bounds == tuple(estimator("bootstrap")(normal.per_episode)[2:])
    again = evaluate(NEAREST, {}, sample, ci="bootstrap", **settings)
    assert again.bounds == bootstrap.bounds


def test_of_one_episode_it_is_not_known_either():
    seen = jaxmeta.learners.memory.nearest_seen()

    def stream(key):
        return jaxmeta.Stream(*sample(key).query)

    settings = {"n_episodes": 1, "key": jax.random.key(0), "ci": "bootstrap"}
    for result in (
        evaluate(NEAREST, {}, sample, **settings),
        evaluate(seen, {}, stream, score=online(2), **settings),
    ):
        assert np.isnan(result.interval) and np.isnan(result.bounds).all()
        assert np.isfinite(result.mean)
    assert np.isnan(result.curve_interval).all() and result.curve_interval.shape == (2,)


def test_words_that_are_none():
    with pytest.raises(ValueError, match='ci must be "normal" or "bootstrap", got \'t\''):
        make_evaluate(NEAREST, sample, n_episodes=2, ci="t")
    run = make_evaluate(NEAREST, sample, n_episodes=2, ci="bootstrap")
    with pytest.raises(ValueError, match=r'computed on the host.*take ci="normal" there'):
        jax.jit(run)({}, jax.random.key(0))
