import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.datasets import ClassData


def numbered(counts, *, size=3):
    """Images whose corners tell class (top left), number (top right) and nothing else."""
    classes = {}
    for label, count in enumerate(counts):
        images = np.zeros((count, size, size, 1), np.uint8)
        images[:, 0, 0, 0] = label + 1
        images[:, 0, -1, 0] = np.arange(count) + 101
        classes[f"class {label}"] = images
    return ClassData.from_classes(classes)


def corners(x):
    """Class, number and quarter turns (anticlockwise) of each image."""
    pixels = np.rint(np.asarray(x)[..., 0] * 255).astype(int)
    found = []
    for image in pixels:
        turn = next(
            k
            for k in range(4)
            if 0 < np.rot90(image, -k)[0, 0] < 100 and np.rot90(image, -k)[0, -1] > 100
        )
        upright = np.rot90(image, -turn)
        found.append((upright[0, 0] - 1, upright[0, -1] - 101, turn))
    return found


@pytest.mark.parametrize("rotations", [False, True])
def test_episodes_hold_what_they_promise(rotations):
    data = numbered([5, 4, 6, 4, 9, 4])
    sample = jax.jit(tasks.episodes(data, n_way=3, k_shot=1, q_queries=3, rotations=rotations))
    turns, first_labels = set(), set()
    for seed in range(30):
        episode = sample(jax.random.key(seed))
        np.testing.assert_array_equal(episode.support.y, np.eye(3))
        np.testing.assert_array_equal(episode.query.y, np.repeat(np.eye(3), 3, axis=0))
        support, query = corners(episode.support.x), corners(episode.query.x)
        classes = [(label, turn) for label, _, turn in support]
        assert len(set(classes)) == 3  # Without replacement.
        # All images of a class are turned alike, and none stands in both sets or twice.
        assert [(label, turn) for label, _, turn in query] == [c for c in classes for _ in range(3)]
        assert len({*support, *query}) == 12
        turns |= {turn for _, turn in classes}
        first_labels.add(support[0][0])
    assert turns == ({0, 1, 2, 3} if rotations else {0})
    assert first_labels == set(range(6))  # Any class may have any label.


def test_episodes_of_varying_way_and_shot():
    data = numbered([6, 7, 6, 6, 6])
    sample = jax.jit(tasks.episodes(data, n_way=(2, 4), k_shot=(1, 3), q_queries=2))
    sizes = set()
    for seed in range(60):
        support, query = sample(jax.random.key(seed))
        assert support.x.shape == (12, 3, 3, 1) and query.x.shape == (8, 3, 3, 1)
        per_class = np.asarray(support.is_valid).reshape(4, 3)
        way, shot = per_class.any(1).sum(), per_class.any(0).sum()
        # The first rows of the first classes, in support and query alike.
        np.testing.assert_array_equal(per_class, np.outer(np.arange(4) < way, np.arange(3) < shot))
        np.testing.assert_array_equal(query.is_valid, np.repeat(np.arange(4) < way, 2))
        for part, rows in ((support, 3), (query, 2)):
            expected = np.repeat(np.eye(4), rows, axis=0) * np.asarray(part.is_valid)[:, None]
            np.testing.assert_array_equal(part.y, expected)
            assert (np.asarray(part.x)[~np.asarray(part.is_valid)] == 0).all()
            assert (np.asarray(part.x)[np.asarray(part.is_valid)].max((1, 2, 3)) > 0).all()
        sizes.add((int(way), int(shot)))
    assert sizes == {(way, shot) for way in (2, 3, 4) for shot in (1, 2, 3)}


def test_unlabelled_rows_of_varying_episodes():
    data = numbered([6, 7, 6])
    sample = jax.jit(tasks.episodes(data, n_way=(1, 3), k_shot=(1, 2), q_queries=2, unlabelled=2))
    for seed in range(20):
        support, query = sample(jax.random.key(seed))
        labelled, rest = np.split(np.asarray(support.is_valid), [6])
        way = labelled.reshape(3, 2).any(1).sum()
        assert rest.sum() == 2 * way and np.asarray(query.is_valid).sum() == 2 * way
        np.testing.assert_array_equal(support.y[6:], np.zeros((6, 3)))
        # Of the classes of the episode, and none of the images that stand elsewhere.
        first = corners(support.x[:6][labelled])
        extra = corners(support.x[6:][rest])
        assert {label for label, _, _ in extra} == {label for label, _, _ in first}
        everyone = [*first, *extra, *corners(query.x[np.asarray(query.is_valid)])]
        assert len(set(everyone)) == len(everyone)


def test_every_image_is_drawn():
    sample = jax.jit(tasks.episodes(numbered([3, 5]), n_way=2, k_shot=1, q_queries=1))
    seen = set()
    for seed in range(60):
        episode = sample(jax.random.key(seed))
        seen |= {(label, number) for label, number, _ in corners(episode.support.x)}
    assert seen == {(0, i) for i in range(3)} | {(1, i) for i in range(5)}


def test_images_are_in_the_unit_range():
    data = ClassData.from_classes({c: np.full((2, 2, 2, 1), 255, np.uint8) for c in "ab"})
    x = tasks.episodes(data, n_way=2, k_shot=1, q_queries=1)(jax.random.key(0)).support.x
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, 1.0)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"k_shot": 0}, "k_shot must be >= 1, got 0"),
        ({"n_way": 3}, "n_way must be at most the 2 classes, got 3"),
        ({"n_way": (1, 3)}, "n_way must be at most the 2 classes, got 3"),
        ({"n_way": (2, 1)}, r"n_way must go from the smaller to the larger, got \(2, 1\)"),
        ({"k_shot": (0, 2)}, "k_shot must be >= 1, got 0"),
        ({"q_queries": 0}, "q_queries must be >= 1, got 0"),
        ({"unlabelled": -1}, "unlabelled must be >= 0, got -1"),
        ({"unlabelled": 3}, r"k_shot \+ q_queries \+ unlabelled = 5 images or more, but 'class 1'"),
        ({"k_shot": 2, "q_queries": 3}, r"k_shot \+ q_queries = 5 images or more, but 'class 1'"),
    ],
)
def test_episodes_refuse(settings, message):
    arguments = {"n_way": 2, "k_shot": 1, "q_queries": 1, **settings}
    with pytest.raises(ValueError, match=message):
        tasks.episodes(numbered([5, 4]), **arguments)


def test_rotations_need_square_images():
    data = ClassData.from_classes({c: np.zeros((2, 2, 3, 1), np.uint8) for c in "ab"})
    with pytest.raises(ValueError, match="rotations need square images"):
        tasks.episodes(data, n_way=2, k_shot=1, q_queries=1, rotations=True)


def test_sinusoid_follows_its_formula():
    # Three points of one task fix amplitude and phase; all others must lie on that curve.
    episode = tasks.sinusoid(k_shot=20, q_queries=30)(jax.random.key(0))
    assert episode.support.x.shape == (20, 1) and episode.query.y.shape == (30, 1)
    x, y = np.asarray(episode.support.x[:, 0], float), np.asarray(episode.support.y[:, 0], float)
    (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], 1), y)
    query = np.asarray(episode.query.x[:, 0])
    np.testing.assert_allclose(
        episode.query.y[:, 0], a * np.sin(query) + b * np.cos(query), atol=1e-5
    )


def test_sinusoid_ranges():
    episodes = jax.vmap(tasks.sinusoid(k_shot=50))(jax.random.split(jax.random.key(0), 500))
    x, y = np.asarray(episodes.support.x), np.asarray(episodes.support.y)
    assert -5 <= x.min() < -4.9 and 4.9 < x.max() <= 5
    largest = np.abs(y).max((1, 2))
    assert largest.max() <= 5 and largest.max() > 4.8 and largest.min() < 0.3
    with pytest.raises(ValueError, match="k_shot must be >= 1, got 0"):
        tasks.sinusoid(k_shot=0)


def test_gaussian_process_has_the_covariance_it_says():
    sample = tasks.gaussian_process(k_shot=1, q_queries=1, length_scale=0.5, scale=2.0, noise=0.3)
    episodes = jax.vmap(sample)(jax.random.split(jax.random.key(0), 40_000))
    x = np.concatenate([episodes.support.x[:, :, 0], episodes.query.x[:, :, 0]], axis=1)
    y = np.concatenate([episodes.support.y[:, :, 0], episodes.query.y[:, :, 0]], axis=1)
    assert -2 <= x.min() < -1.99 and 1.99 < x.max() <= 2
    # Variance 4 + 0.09; the standard error of a sample variance is sqrt(2 / n) of it.
    np.testing.assert_allclose((y**2).mean(0), 4.09, rtol=4 * np.sqrt(2 / 40_000))
    distance = np.abs(x[:, 0] - x[:, 1])
    for low, high in ((0.0, 0.1), (0.4, 0.5), (1.9, 2.1)):
        near = (low <= distance) & (distance < high)
        expected = 4 * np.exp(-0.5 * distance[near] ** 2 / 0.25).mean()
        products = y[near].prod(1)
        error = products.std() / np.sqrt(len(products))
        assert abs(products.mean() - expected) < 4 * error


def test_gaussian_process_draws_how_many_points_count():
    episodes = jax.vmap(tasks.gaussian_process(k_shot=(2, 4)))(
        jax.random.split(jax.random.key(0), 300)
    )
    assert episodes.support.x.shape == (300, 4, 1) and episodes.query.y.shape == (300, 50, 1)
    counts = np.asarray(episodes.support.is_valid.sum(1))
    assert set(counts) == {2, 3, 4} and min((counts == n).sum() for n in (2, 3, 4)) > 70
    assert (np.diff(episodes.support.is_valid.astype(int), axis=1) <= 0).all()
    fixed = tasks.gaussian_process(k_shot=5)(jax.random.key(0))
    assert fixed.support.is_valid is None and fixed.support.x.shape == (5, 1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"k_shot": (3, 2)}, r"k_shot must be >= 1 and increasing, got \(3, 2\)"),
        ({"q_queries": 0}, "q_queries must be >= 1, got 0"),
        ({"noise": 0.0}, "noise must be > 0, got 0.0"),
        ({"x_range": (1.0, 1.0)}, "x_range must be .* low < high"),
    ],
)
def test_gaussian_process_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.gaussian_process(**settings)


def test_unlabelled_rows_join_the_support_set_and_change_nothing_else():
    data = numbered([5, 6, 7, 8])
    settings = {"n_way": 3, "k_shot": 1, "q_queries": 2, "rotations": True}
    plain = jax.jit(tasks.episodes(data, **settings))
    semi = jax.jit(tasks.episodes(data, **settings, unlabelled=2))
    orders = set()
    for seed in range(20):
        before, after = plain(jax.random.key(seed)), semi(jax.random.key(seed))
        np.testing.assert_array_equal(after.query.x, before.query.x)
        np.testing.assert_array_equal(after.query.y, before.query.y)
        np.testing.assert_array_equal(after.support.x[:3], before.support.x)
        np.testing.assert_array_equal(after.support.y, np.eye(9, 3))
        support, query = corners(after.support.x), corners(after.query.x)
        assert len({*support, *query}) == 3 + 6 + 6
        classes = [(label, turn) for label, _, turn in support]
        extra = [classes.index(c) for c in classes[3:]]
        assert sorted(extra) == [0, 0, 1, 1, 2, 2]  # Two of each class, turned like it.
        orders.add(tuple(extra))
    assert len(orders) > 10  # In no order that would tell their class.
    with pytest.raises(ValueError, match=r"k_shot \+ q_queries \+ unlabelled = 6 images or more"):
        tasks.episodes(data, **settings | {"q_queries": 3}, unlabelled=2)
    with pytest.raises(ValueError, match="unlabelled must be >= 0, got -1"):
        tasks.episodes(data, **settings, unlabelled=-1)


def test_episodes_are_the_same_whatever_the_version():
    """The rows of one episode as JAX 0.10.1, 0.10.2 and 0.12.0 draw them."""
    images = np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1)
    data = ClassData(images, np.full(8, 5), tuple("abcdefgh"))
    sample = tasks.episodes(data, n_way=3, k_shot=1, q_queries=2)
    episode = sample(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 7), 1))
    support, query = (np.rint(255 * np.asarray(part.x).ravel()).tolist() for part in episode)
    assert support == [35, 28, 14]
    assert query == [39, 36, 29, 27, 13, 12]
