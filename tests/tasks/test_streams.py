import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_tasks import corners, numbered

from jaxmeta import Stream, losses, tasks
from jaxmeta.learners.memory import nearest_seen
from jaxmeta.training import make_evaluate, online


def test_a_stream_holds_what_it_promises():
    data = numbered([5, 4, 6, 4, 9])
    sample = jax.jit(tasks.streams(data, n_way=3, per_class=4, rotations=True))
    orders = set()
    for seed in range(10):
        stream = sample(jax.random.key(seed))
        assert isinstance(stream, Stream) and stream.is_valid is None
        assert stream.x.shape == (12, 3, 3, 1) and stream.y.shape == (12, 3)
        found = corners(stream.x)
        labels = np.asarray(stream.y).argmax(axis=1)
        orders.add(tuple(labels.tolist()))
        assert len(set(found)) == 12  # No image twice.
        for label in range(3):
            mine = {(found[i][0], found[i][2]) for i in np.flatnonzero(labels == label)}
            assert len(mine) == 1 and (labels == label).sum() == 4
        # The k-th presentation of each class, in order.
        numbers = np.asarray(losses.presentations(stream))
        for label in range(3):
            np.testing.assert_array_equal(numbers[labels == label], [1, 2, 3, 4])
    assert len(orders) > 5


def test_a_stream_cut_short():
    sample = tasks.streams(numbered([4] * 6), n_way=5, per_class=4, length=11)
    assert sample(jax.random.key(0)).x.shape[0] == 11


def test_strings_differ_and_are_drawn_anew():
    rows = tasks.string_labels(jax.random.key(0), 200)
    assert rows.shape == (200, 25)
    np.testing.assert_array_equal(rows.reshape(200, 5, 5).sum(-1), 1)
    assert len({tuple(row) for row in np.asarray(rows)}) == 200
    assert (rows != tasks.string_labels(jax.random.key(1), 200)).any()
    share = np.asarray(tasks.string_labels(jax.random.key(2), 2000)).reshape(-1, 5, 5).mean(0)
    np.testing.assert_allclose(share, 0.2, atol=5 * np.sqrt(0.16 / 2000))  # five standard errors


def test_images_are_made_smaller_turned_and_shifted():
    data = numbered([4] * 6, size=8)
    plain = tasks.streams(data, n_way=2, per_class=2, size=4)(jax.random.key(0)).x
    assert plain.shape == (4, 4, 4, 1)
    x = jnp.zeros((1, 9, 9, 1)).at[0, 4, 6, 0].set(1.0)
    from jaxmeta.tasks._streams import _bend

    moved = _bend(jax.random.key(3), x, 0.0, 0.3)[0, ..., 0]
    np.testing.assert_allclose(moved.sum(), 1, rtol=1e-5)  # Bilinear weights of one pixel.
    assert np.abs(moved - x[0, ..., 0]).max() > 0.1
    turned = _bend(jax.random.key(3), x, 1.5, 0.0)[0, ..., 0]
    rows, columns = np.nonzero(turned > 0.1)
    distances = np.hypot(rows - 4.0, columns - 4.0)
    np.testing.assert_allclose(distances, 2, atol=0.8)  # It stays on its circle, to a pixel.
    assert np.abs(turned - x[0, ..., 0]).max() > 0.1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_way": 0}, "n_way must be >= 1, got 0"),
        ({"n_way": 9}, "n_way must be at most the 3 classes, got 9"),
        ({"per_class": 6}, "per_class = 6 images or more, but 'class 1' has 4"),
        ({"length": 13}, "length must be at most the 12 images, got 13"),
        ({"max_turn": -1.0}, r"max_turn must be >= 0, got -1\.0"),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(ValueError, match=message):
        tasks.streams(numbered([5, 4, 6]), **({"n_way": 3, "per_class": 4} | changes))


def test_accuracy_by_presentation():
    # Images of a class are nearly one: the nearest that was seen is right from the second on.
    data = numbered([6] * 5)
    data.images[:, 0, -1] = 0
    sample = tasks.streams(data, n_way=3, per_class=4)
    run = make_evaluate(nearest_seen(), sample, n_episodes=50, score=online(4))
    result = run({}, jax.random.key(0))
    np.testing.assert_array_equal(result.curve[1:], 1)
    # The very first row has no neighbour: zeros, whose first place wins, right one time in three.
    # Later first presentations copy another class.
    assert 0 < result.curve[0] < 0.3
    np.testing.assert_allclose(result.mean, (result.curve[0] + 3) / 4, rtol=1e-6)
    assert result.interval > 0 and (result.curve_interval[1:] == 0).all()
    # Every class comes at each presentation, so the share of a stream is that of its classes.
    assert result.curves.shape == (50, 4) and (result.curves[:, 1:] == 1).all()
    np.testing.assert_allclose(result.curves[:, 0].mean(), result.curve[0], rtol=1e-12)
    np.testing.assert_allclose(result.per_episode, result.curves.mean(1), rtol=1e-12)
    within = jax.jit(run)({}, jax.random.key(0))
    for value, inside in zip(*map(jax.tree.leaves, (result, within)), strict=True):
        np.testing.assert_allclose(inside, value, rtol=1e-5, atol=1e-6)


def test_of_one_stream_no_interval_is_known():
    sample = tasks.streams(numbered([6] * 5), n_way=3, per_class=4)
    run = make_evaluate(nearest_seen(), sample, n_episodes=1, score=online(4))
    for result in (run({}, jax.random.key(0)), jax.jit(run)({}, jax.random.key(0))):
        assert np.isnan(result.interval) and np.isfinite(result.mean)
        assert np.isnan(result.curve_interval).all()
        assert result.curve_interval.shape == (4,)
