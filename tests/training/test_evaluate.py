import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.training import evaluate, few_shot, make_evaluate, online

LABELS = jnp.eye(2)


def sample(key):
    """Two classes, shifted apart, three support and four query rows each."""
    x = jax.random.normal(key, (2, 7, 3)) + jnp.array([[[0.0]], [[1.0]]])

    def part(x):
        return jaxmeta.Examples(x.reshape(-1, 3), jnp.repeat(LABELS, x.shape[1], axis=0))

    return jaxmeta.Episode(part(x[:, :3]), part(x[:, 3:]))


def test_mean_and_interval_of_the_episodes_of_the_keys():
    learner = jaxmeta.learners.metric.nearest_neighbour()
    result = evaluate(learner, {}, sample, n_episodes=5, key=jax.random.key(3))
    by_hand = []
    for i in range(5):
        key_episode, _ = jax.random.split(jax.random.fold_in(jax.random.key(3), i))
        support, query = jax.tree.map(np.asarray, sample(key_episode))
        distances = ((query.x[:, None] - support.x) ** 2).sum(-1)
        nearest = support.y.argmax(1)[distances.argmin(1)]
        by_hand.append((nearest == query.y.argmax(1)).mean())
    np.testing.assert_allclose(result.per_episode, by_hand, rtol=1e-6)
    np.testing.assert_allclose(result.mean, np.mean(by_hand), rtol=1e-6)
    np.testing.assert_allclose(result.interval, 1.96 * np.std(by_hand) / 5**0.5, rtol=1e-6)
    assert not result.transductive


def test_of_one_episode_no_interval_is_known():
    """0 would claim certainty. The derivative of the mean is as finite as that of many episodes."""
    run = make_evaluate(
        jaxmeta.learners.metric.nearest_neighbour(), lambda key: sample(key), n_episodes=1
    )
    for result in (run({}, jax.random.key(3)), jax.jit(run)({}, jax.random.key(3))):
        assert np.isnan(result.interval) and np.isfinite(result.mean)

    def mean_and_interval(scale):
        def scaled(outputs, query):
            return jnp.mean((scale * query.x) ** 2)

        learner = jaxmeta.learners.metric.nearest_neighbour()
        run = make_evaluate(learner, sample, n_episodes=1, metric=scaled)
        return run({}, jax.random.key(3))[:2]

    slope, interval = jax.grad(jax.jit(mean_and_interval), has_aux=True)(2.0)
    np.testing.assert_allclose(slope, mean_and_interval(2.0)[0], rtol=1e-5)  # d(s^2 c) at s = 2
    assert np.isnan(interval)


def test_two_learners_meet_the_same_episodes_whatever_their_number():
    seen = []

    def watching(tag):
        learner = jaxmeta.learners.metric.nearest_neighbour()

        def adapt(params, key, support):
            jax.debug.callback(lambda x: seen.append((tag, float(x))), support.x.sum())
            return learner.adapt(params, key, support)

        return learner._replace(adapt=adapt)

    for tag, n_episodes in (("a", 3), ("b", 5)):
        evaluate(watching(tag), {}, sample, n_episodes=n_episodes, key=jax.random.key(0))
    jax.effects_barrier()
    first, second = ([x for t, x in seen if t == tag] for tag in "ab")
    assert len(first) == 3 and sorted(first) == sorted(second[:3])


def with_batch_norm():
    net = jaxmeta.networks.conv4(2, width=4, strided=True)
    learner = jaxmeta.maml(net, rule=jaxmeta.rules.sgd(0.1), inner_steps=1)

    def images(key):
        x = jax.random.normal(key, (2, 5, 8, 8, 1)) + jnp.arange(2.0)[:, None, None, None, None]

        def part(x):
            return jaxmeta.Examples(x.reshape(-1, 8, 8, 1), jnp.repeat(LABELS, x.shape[1], axis=0))

        return jaxmeta.Episode(part(x[:, :2]), part(x[:, 2:]))

    params = learner.init(jax.random.key(0), images(jax.random.key(1)))
    return learner, params, images


def outputs_seen(learner, params, sample, **settings):
    """The outputs on which the metric is taken."""
    kept = []

    def metric(outputs, query):
        jax.debug.callback(lambda outputs: kept.append(np.asarray(outputs)), outputs)
        return jnp.zeros(())

    evaluate(
        learner, params, sample, n_episodes=1, key=jax.random.key(5), metric=metric, **settings
    )
    jax.effects_barrier()
    return kept[0]


def test_inductive_uses_the_support_set_s_statistics_and_transductive_the_query_set_s():
    learner, params, images = with_batch_norm()
    key_episode, key_learner = jax.random.split(jax.random.fold_in(jax.random.key(5), 0))
    episode = images(key_episode)
    adapted = learner.adapt(params, key_learner, episode.support)
    one_by_one = np.concatenate(
        [learner.predict(params, adapted, x[None]) for x in episode.query.x]
    )
    inductive = outputs_seen(learner, params, images)
    np.testing.assert_allclose(inductive, one_by_one, rtol=1e-4, atol=1e-5)
    weights = {"params": adapted["params"]}
    together = jaxmeta.networks.conv4(2, width=4, strided=True).apply(weights, episode.query.x)
    transductive = outputs_seen(learner, params, images, transductive=True)
    np.testing.assert_allclose(transductive, together, rtol=1e-4, atol=1e-5)
    assert np.abs(inductive - transductive).max() > 0.01


class Centred(nn.Module):
    """Mixes its rows, in a way that the library knows nothing of."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x - x.mean(0))


def test_a_net_that_mixes_its_rows_sees_one_query_at_a_time():
    """A query in the company of the support set only: other queries cannot tell it anything."""
    learner = jaxmeta.maml(Centred(), inner_steps=0)
    episode = sample(jax.random.key(0))
    params = learner.init(jax.random.key(0), episode)
    outputs = outputs_seen(learner, params, sample)
    key_episode, _ = jax.random.split(jax.random.fold_in(jax.random.key(5), 0))
    support, query = sample(key_episode)
    expected = [
        Centred().apply(params.net, jnp.concatenate([support.x, x[None]]))[-1] for x in query.x
    ]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_many_episodes_at_once_are_the_same_episodes():
    learner = jaxmeta.prototypical(jaxmeta.networks.mlp(4))
    params = learner.init(jax.random.key(0), sample(jax.random.key(1)))
    settings = {"n_episodes": 7, "key": jax.random.key(2), "metric": jaxmeta.losses.squared_error}
    alone = evaluate(learner, params, sample, **settings)
    together = evaluate(learner, params, sample, episodes_at_once=3, **settings)
    np.testing.assert_allclose(together.per_episode, alone.per_episode, rtol=1e-4)


def test_a_prediction_that_is_not_finite_is_said():
    learner = jaxmeta.maml(
        jaxmeta.networks.mlp(1, hidden=()),
        rule=jaxmeta.rules.sgd(1e30),
        inner_steps=3,
        loss_fn=optax.squared_error,
    )
    sinusoid = jaxmeta.tasks.sinusoid()
    params = learner.init(jax.random.key(0), sinusoid(jax.random.key(0)))
    run = make_evaluate(learner, sinusoid, n_episodes=2, metric=jaxmeta.losses.squared_error)
    with pytest.raises(FloatingPointError, match="predictions of episode 0 are not finite"):
        run(params, jax.random.key(0))


def test_bad_numbers():
    learner = jaxmeta.learners.metric.nearest_neighbour()
    with pytest.raises(ValueError, match="n_episodes must be >= 1, got 0"):
        evaluate(learner, {}, sample, n_episodes=0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="episodes_at_once must be >= 1, got 0"):
        evaluate(learner, {}, sample, n_episodes=1, key=jax.random.key(0), episodes_at_once=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_five_thousand_episodes_of_16_bit_outputs(dtype):
    def sample_16(key):
        right = jax.random.bernoulli(key, 0.82, (4,))
        x = jnp.where(right, 1.0, -1.0)[:, None].astype(dtype)
        part = jaxmeta.Examples(x, jnp.tile(jnp.array([[0, 1]], dtype), (4, 1)))
        return jaxmeta.Episode(part, part)

    learner = jaxmeta.Learner(
        lambda key, episode: {},
        lambda params, key, support: {},
        lambda params, adapted, x: jnp.concatenate([-x, x], axis=1),
        lambda params, key, episode: (jnp.zeros(()), episode.query.x),
    )
    settings = {"n_episodes": 5000, "key": jax.random.key(0), "episodes_at_once": 500}
    result = evaluate(learner, {}, sample_16, **settings)
    keys = jax.vmap(lambda i: jax.random.fold_in(settings["key"], i))(jnp.arange(5000))
    xs = jax.vmap(lambda key: sample_16(jax.random.split(key)[0]).query.x)(keys)
    by_hand = (np.float64(xs[..., 0]) > 0).mean(1)
    assert result.per_episode.dtype == np.float64 and abs(by_hand.mean() - 0.82) < 0.01
    np.testing.assert_allclose(result.mean, by_hand.mean(), rtol=1e-12)
    np.testing.assert_allclose(result.interval, 1.96 * by_hand.std() / 5000**0.5, rtol=1e-12)

    # Also of a metric of the user's own, which stays in 16 bits.
    def error(outputs, query):
        return jnp.mean((outputs - query.y)[:, 1] ** 2)

    result = evaluate(learner, {}, sample_16, metric=error, **settings)
    np.testing.assert_allclose(result.mean, 4 * (1 - by_hand.mean()), rtol=1e-12)


def test_accuracy_of_a_regression_says_what_to_take():
    learner = jaxmeta.maml(jaxmeta.networks.mlp(1), inner_steps=1, loss_fn=optax.squared_error)
    sinusoids = jaxmeta.tasks.sinusoid(k_shot=5, q_queries=5)
    params = learner.init(jax.random.key(0), sinusoids(jax.random.key(1)))
    with pytest.raises(FloatingPointError, match=r"the metric of episode \d is nan.*squared_error"):
        evaluate(learner, params, sinusoids, n_episodes=2, key=jax.random.key(2))


def test_a_metric_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"metric must give one number for an episode.*\(8,\)"):
        evaluate(
            jaxmeta.learners.metric.nearest_neighbour(),
            {},
            sample,
            n_episodes=2,
            key=jax.random.key(0),
            metric=lambda outputs, query: jaxmeta.losses.is_right(outputs, query.y),
        )


def test_a_score_says_what_is_measured():
    learner = jaxmeta.learners.metric.nearest_neighbour()
    settings = {"n_episodes": 3, "key": jax.random.key(0)}
    error = jaxmeta.losses.squared_error
    short = evaluate(learner, {}, sample, metric=error, **settings)
    whole = evaluate(learner, {}, sample, score=few_shot(error), **settings)
    np.testing.assert_array_equal(short.per_episode, whole.per_episode)
    assert short.curve is None and short.curves is None
    with pytest.raises(ValueError, match=r"give metric or score, not both"):
        evaluate(learner, {}, sample, metric=error, score=few_shot(error), **settings)
    with pytest.raises(TypeError, match=r"score must be a Score.*got squared_error.*is a metric"):
        evaluate(learner, {}, sample, score=error, **settings)
    with pytest.raises(ValueError, match=r"transductive=True is for .*score=online\(\) has none"):
        evaluate(learner, {}, sample, score=online(), transductive=True, **settings)
    with pytest.raises(ValueError, match="n_presentations must be >= 1, got 0"):
        online(0)


def test_padding_of_the_query_set_enters_nothing():
    """What it holds was predicted too, and refused for not being finite."""

    def padded(key):
        support, query = sample(key)
        x, y = (jnp.concatenate([part, jnp.full_like(part[:2], jnp.nan)]) for part in query[:2])
        return jaxmeta.Episode(support, jaxmeta.Examples(x, y, jnp.arange(len(x)) < len(query.x)))

    learner = jaxmeta.learners.metric.nearest_neighbour()
    settings = {"n_episodes": 3, "key": jax.random.key(0)}
    plain = evaluate(learner, {}, sample, **settings)
    np.testing.assert_array_equal(evaluate(learner, {}, padded, **settings)[2], plain.per_episode)
