"""Calibration error and log-loss of a whole test, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

import jaxmeta
from jaxmeta.training import evaluate, make_evaluate, online

N_EPISODES = 6
KEY = jax.random.key(4)


def given():
    """Its outputs are its inputs."""
    return jaxmeta.Learner(
        lambda key, episode: {},
        lambda params, key, support: {},
        lambda params, adapted, x: x,
        lambda params, key, stream: (jnp.zeros(()), stream.x),
    )


def episodes(n_columns, padded=False, dtype=jnp.float32):
    """Episode i of `KEY`: 20 queries, whose largest logit is often the label's."""

    def sample(key):
        key_x, key_y = jax.random.split(key)
        label = jax.random.randint(key_y, (20,), 0, max(n_columns, 2))
        y = label[:, None].astype(dtype) if n_columns == 1 else jax.nn.one_hot(label, n_columns)
        x = 2 * jax.random.normal(key_x, (20, n_columns)) + 1.5 * y
        x = (jnp.round(16 * x) / 16).astype(dtype)  # Numbers that 16 bits hold exactly.
        is_valid = None
        if padded:  # Two rows that are not there, and two without a label.
            is_valid = jnp.arange(20) < 18
            x = jnp.where(is_valid[:, None], x, jnp.nan)
            y = y.at[3:5].set(0).at[18:].set(jnp.nan)
        support = jaxmeta.Examples(x[:4], jnp.zeros((4, n_columns)).at[:, 0].set(1))
        return jaxmeta.Episode(support, jaxmeta.Examples(x, y, is_valid))

    return sample


def by_hand(sample):
    """Both numbers over the labelled queries of all episodes."""
    logits, labels = [], []
    for i in range(N_EPISODES):
        query = sample(jax.random.split(jax.random.fold_in(KEY, i))[0]).query
        x, y = (np.asarray(part, np.float64) for part in query[:2])
        keep = np.full(20, True) if query.is_valid is None else np.array(query.is_valid)
        if y.shape[1] == 1:  # One logit z is the two logits 0 and z.
            x, y = np.hstack([0 * x, x]), np.hstack([1 - y, y])
        keep &= (y > 0).any(axis=1)
        logits.append(x[keep])
        labels.append(y[keep].argmax(axis=1))
    log_p, labels = log_softmax(np.concatenate(logits), axis=1), np.concatenate(labels)
    confidence, right = np.exp(log_p).max(1), log_p.argmax(1) == labels
    error = 0.0
    for low in np.arange(15) / 15:
        belongs = (confidence >= low) & (confidence < low + 1 / 15)
        if belongs.any():
            error += belongs.mean() * abs(right[belongs].mean() - confidence[belongs].mean())
    return error, -log_p[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize(
    "n_columns, padded, episodes_at_once", [(1, False, 1), (3, False, 4), (3, True, 1)]
)
def test_both_are_of_all_queries_together(n_columns, padded, episodes_at_once):
    sample = episodes(n_columns, padded)
    settings = {"n_episodes": N_EPISODES, "episodes_at_once": episodes_at_once}
    result = evaluate(given(), {}, sample, key=KEY, **settings)
    error, log_loss = by_hand(sample)
    np.testing.assert_allclose(result.calibration_error, error, rtol=1e-5)
    np.testing.assert_allclose(result.log_loss, log_loss, rtol=1e-5)
    assert isinstance(result.log_loss, float) and 0.05 < error < 0.5 < log_loss


def test_in_a_compiled_program_they_are_the_same():
    sample = episodes(3)
    within = jax.jit(make_evaluate(given(), sample, n_episodes=N_EPISODES))({}, KEY)
    found = (within.calibration_error, within.log_loss)
    np.testing.assert_allclose(found, by_hand(sample), rtol=1e-4)


def test_they_are_those_of_16_bit_outputs_in_float32():
    sample = episodes(3, dtype=jnp.bfloat16)
    result = evaluate(given(), {}, sample, n_episodes=N_EPISODES, key=KEY)
    np.testing.assert_allclose(
        (result.calibration_error, result.log_loss), by_hand(sample), rtol=1e-5
    )


def test_they_stay_beside_another_metric():
    settings = {"n_episodes": N_EPISODES, "key": KEY}
    plain = evaluate(given(), {}, episodes(3), **settings)
    other = evaluate(given(), {}, episodes(3), metric=jaxmeta.losses.squared_error, **settings)
    assert other[5:7] == plain[5:7] and other.mean != plain.mean


def changed(change):
    """Episodes whose query sets are changed, and whose inputs are those of the query set."""

    def sample(key):
        query = change(episodes(3)(key).query)
        return jaxmeta.Episode(jaxmeta.Examples(query.x[:4], jnp.eye(3)[jnp.arange(4) % 3]), query)

    return sample


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query._replace(y=0.9 * query.y + 0.1 / 3),  # Soft labels.
        lambda query: query._replace(y=query.y + jnp.eye(3)[0]),  # Two ones, and a two.
        lambda query: query._replace(y=-query.y),
        lambda query: query._replace(y=jnp.zeros_like(query.y)),  # No label at all.
        lambda query: query._replace(x=jnp.hstack([query.x, query.x])),  # Outputs of two columns
    ],
)
def test_they_are_not_known_without_one_hot_labels(change):
    def metric(outputs, query):
        return jnp.zeros(())

    result = evaluate(given(), {}, changed(change), n_episodes=2, key=KEY, metric=metric)
    assert np.isnan(result.calibration_error) and np.isnan(result.log_loss) and result.mean == 0


def test_one_episode_without_one_hot_labels_is_enough():
    plain = episodes(3)

    def sample(key):
        episode = plain(key)
        first = jax.random.split(jax.random.fold_in(KEY, 0))[0]
        is_first = jnp.all(jax.random.key_data(key) == jax.random.key_data(first))
        y = jnp.where(is_first, 0.5 * episode.query.y, episode.query.y)
        return episode._replace(query=episode.query._replace(y=y))

    result = evaluate(given(), {}, sample, n_episodes=3, key=KEY)
    assert np.isnan(result.calibration_error) and np.isfinite(result.mean)


def test_a_regression_has_none():
    learner = jaxmeta.maml(jaxmeta.networks.mlp(1), inner_steps=1, loss_fn=optax.squared_error)
    sample = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)
    params = learner.init(jax.random.key(0), sample(KEY))
    settings = {"n_episodes": 2, "key": KEY, "metric": jaxmeta.losses.squared_error}
    result = evaluate(learner, params, sample, **settings)
    assert np.isnan(result.calibration_error) and np.isnan(result.log_loss)


def test_of_streams_they_are_of_all_steps():
    sample = episodes(3)

    def stream(key):
        return jaxmeta.Stream(*sample(key).query)

    result = evaluate(given(), {}, stream, n_episodes=N_EPISODES, key=KEY, score=online())
    np.testing.assert_allclose(
        (result.calibration_error, result.log_loss), by_hand(sample), rtol=1e-5
    )
    strings = jaxmeta.tasks.string_labels(KEY, 20)

    def stream_of_strings(key):
        return jaxmeta.Stream(strings, strings)

    score = online(is_right=jaxmeta.losses.letters_are_right)
    result = evaluate(given(), {}, stream_of_strings, n_episodes=2, key=KEY, score=score)
    assert result.mean == 1 and np.isnan(result.calibration_error) and np.isnan(result.log_loss)
