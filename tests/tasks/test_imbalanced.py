"""Meta-Dataset's law of way and shots, against NumPy, and mixtures of data sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.datasets import ClassData
from jaxmeta.tasks._imbalanced import composition

SIZES = [4, 5, 9, 30, 2, 17, 3, 12]


def numbered(sizes, first=0):
    """Image r of class c is the pair (first + c, r)."""
    classes = {
        f"{first + c}": np.stack([np.full(n, first + c), np.arange(n)], 1).astype(np.float32)
        for c, n in enumerate(sizes)
    }
    return ClassData.from_classes(classes)


def in_numpy(sizes, b, a, q_queries, k_shot, max_support):
    """Appendix A.3 in float64: query rows of each class, and support rows."""
    sizes = np.asarray(sizes)
    q = min(q_queries, min(int(n) // 2 for n in sizes))
    total = min(max_support, sum(int(np.ceil(b * min(k_shot, n - q))) for n in sizes))
    weights = np.exp(np.float64(a)) * sizes
    shares = weights / weights.sum()
    wanted = [int(np.floor(share * (total - len(sizes)))) + 1 for share in shares]
    return q, [min(k, int(n) - q) for k, n in zip(wanted, sizes, strict=True)]


def test_the_law_is_that_of_the_paper():
    """Over sizes up to 1000 and caps that bind and do not, from the very numbers drawn."""
    rng = np.random.default_rng(0)
    settings = {"q_queries": 10, "k_shot": 100, "max_support": 500}
    ways = rng.integers(5, 51, 300)
    sizes = np.where(
        np.arange(50) < ways[:, None],
        rng.integers(2, rng.choice([20, 200, 1000], (300, 1)), (300, 50)),
        rng.integers(2, 9, (300, 50)),
    )
    keys = jax.random.split(jax.random.key(0), 300)

    @jax.jit
    @jax.vmap
    def law(key, sizes, way):
        # Also what it draws: b, and the logarithms of weights.
        key_size, key_weights = jax.random.split(key)
        b = jax.random.uniform(key_size)
        a = jax.random.uniform(key_weights, (50,), minval=np.log(0.5), maxval=np.log(2))
        return *composition(key, sizes, jnp.arange(50) < way, **settings), b, a

    reached_cap = small_query = 0
    told = map(np.asarray, law(keys, jnp.asarray(sizes), jnp.asarray(ways)))
    for way, size, q, k, b, a in zip(ways, sizes, *told, strict=True):
        # Ceilings of numbers in (0, 1] are floors and one of those in [0, 1).
        b = np.nextafter(np.float64(b), 1)
        expected_q, expected_k = in_numpy(size[:way], b, a[:way], 10, 100, 500)
        assert q == expected_q
        np.testing.assert_array_equal(k[:way], expected_k)
        assert (k[way:] == 0).all() and k[:way].min() >= 1 and k.sum() <= 500
        reached_cap += k.sum() > 450
        small_query += q < 10
    assert reached_cap > 10 and 10 < small_query < 290


def parts(episode):
    for part in episode:
        valid = np.asarray(part.is_valid)
        x, y = np.asarray(part.x), np.asarray(part.y)
        assert (x[~valid] == 0).all() and (y[~valid] == 0).all()
        assert (y[valid].sum(1) == 1).all()
        yield x[valid], y[valid].argmax(1), valid


def test_episodes_hold_what_the_law_says():
    data = numbered(SIZES, first=1)
    settings = {"q_queries": 4, "k_shot": 6, "max_support": 15}
    traced = []
    sample = tasks.episodes(data, n_way=(3, 6), shots="imbalanced", **settings)

    def counted(key):
        traced.append(key)
        return sample(key)

    sample_many = jax.jit(jax.vmap(counted))
    ways, supports = [], []
    many = jax.tree.map(np.asarray, sample_many(jax.random.split(jax.random.key(0), 400)))
    sample_many(jax.random.split(jax.random.key(1), 400))
    assert len(traced) == 1  # One program, whatever the sizes.
    assert many.support.x.shape == (400, 15, 2) and many.query.y.shape == (400, 24, 6)
    for i in range(400):
        support, query = parts(jax.tree.map(lambda leaf, i=i: leaf[i], many))
        x, labels, valid = support
        # Support rows are packed, class by class; queries are balanced.
        assert (np.diff(valid.astype(int)) <= 0).all() and (np.diff(labels) >= 0).all()
        way = labels.max() + 1
        k = np.bincount(labels, minlength=way)
        q = np.bincount(query[1])
        assert len(q) == way and len(set(q)) == 1
        class_of = [int(x[labels == n][0, 0]) for n in range(way)]
        assert len(set(class_of)) == way
        np.testing.assert_array_equal(x[:, 0], np.array(class_of)[labels])
        np.testing.assert_array_equal(query[0][:, 0], np.array(class_of)[query[1]])
        sizes = np.array([SIZES[c - 1] for c in class_of])
        assert q[0] == min(4, (sizes // 2).min())
        assert (k >= 1).all() and (k <= sizes - q[0]).all() and k.sum() <= 15
        rows = [tuple(row) for row in np.concatenate([x, query[0]])]
        assert len(set(rows)) == len(rows)  # No image twice.
        assert all(0 <= r < SIZES[int(c) - 1] for c, r in rows)
        ways.append(way)
        supports.append(k.sum())
    assert set(ways) == {3, 4, 5, 6} and len(set(supports)) > 5


def test_sizes_are_distributed_as_meta_dataset_draws_them():
    """Means over 20 000 episodes against the law written out with NumPy's own generator."""
    data = numbered(SIZES, first=1)
    settings = {"q_queries": 4, "k_shot": 6, "max_support": 15}
    sample = tasks.episodes(data, n_way=(3, 6), shots="imbalanced", **settings)

    @jax.jit
    @jax.vmap
    def told(key):
        episode = sample(key)
        way = (episode.query.y.sum(0) > 0).sum()
        largest = episode.support.y.sum(0).max()
        return way, episode.support.is_valid.sum(), episode.query.is_valid.sum(), largest

    ours = np.stack(told(jax.random.split(jax.random.key(3), 20_000)), 1).astype(float)
    rng = np.random.default_rng(3)
    theirs = []
    for _ in range(20_000):
        way = rng.integers(3, 7)
        sizes = np.array(SIZES)[rng.choice(len(SIZES), way, replace=False)]
        a = rng.uniform(np.log(0.5), np.log(2), way)
        q, k = in_numpy(sizes, 1 - rng.uniform(), a, 4, 6, 15)
        theirs.append((way, sum(k), way * q, max(k)))
    theirs = np.array(theirs, float)
    error = np.sqrt((ours.var(0) + theirs.var(0)) / 20_000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error).all()
    for column in range(4):  # And whole histograms, a bin at a time.
        for value in np.unique(theirs[:, column]):
            p, r = (ours[:, column] == value).mean(), (theirs[:, column] == value).mean()
            assert abs(p - r) < 5 * np.sqrt((p + r) / 20_000) + 1e-3


def test_the_papers_episodes_are_the_defaults():
    rng = np.random.default_rng(0)
    data = numbered(rng.integers(10, 700, 60))
    sample = tasks.episodes(data, n_way=(5, 50), q_queries=10, shots="imbalanced")
    support, query = jax.eval_shape(sample, jax.random.key(0))
    assert support.x.shape == (500, 2) and query.x.shape == (500, 2) and query.y.shape == (500, 50)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"shots": "uneven"}, "shots must be 'balanced' or 'imbalanced', got 'uneven'"),
        ({"k_shot": (1, 5)}, r"k_shot must be one number if shots are imbalanced, got \(1, 5\)"),
        ({"k_shot": 0}, "k_shot must be >= 1, got 0"),
        ({"max_support": 2}, "max_support must be at least n_way, a row for each class, got 2 for"),
        ({"unlabelled": 1}, "unlabelled must be 0 if shots are imbalanced, got 1"),
        ({"n_way": (3, 9)}, "n_way must be at most the 8 classes, got 9"),
        ({"shots": "balanced"}, "k_shot must be a number of support rows, got None"),
    ],
)
def test_what_is_refused(changes, message):
    settings = {"n_way": (2, 3), "q_queries": 2, "shots": "imbalanced"} | changes
    with pytest.raises(ValueError, match=message):
        tasks.episodes(numbered(SIZES), **settings)
    with pytest.raises(ValueError, match="every class must have 2 images or more, but '1' has 1"):
        tasks.episodes(numbered([2, 1, 3]), n_way=3, q_queries=2, shots="imbalanced")


def test_turned_images_keep_their_class():
    images = {
        name: np.arange(16).reshape(4, 2, 2, 1) + np.float32(100 * c)
        for c, name in enumerate("abc")
    }
    data = ClassData.from_classes(images)
    sample = tasks.episodes(data, n_way=5, q_queries=1, shots="imbalanced", rotations=True)
    turns = set()
    many = jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), 20))
    many = jax.tree.map(np.asarray, many)
    for i in range(20):
        episode = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        of_class = {}
        for part in episode:
            for x, y, valid in zip(*part, strict=True):
                if valid:
                    corner = next(k for k in range(4) if np.rot90(x, -k).argmin() == 0)
                    of_class.setdefault(int(y.argmax()), set()).add((int(x.min()) // 100, corner))
        assert len(of_class) == 5 and all(len(kinds) == 1 for kinds in of_class.values())
        turns |= {corner for kinds in of_class.values() for _, corner in kinds}
    assert turns == {0, 1, 2, 3}


SOURCES = {"few": [6] * 4, "many": [9] * 20, "large": [40] * 5}


def mixed(**changes):
    first, sources = 0, {}
    for name, sizes in SOURCES.items():
        sources[name] = numbered(sizes, first=first)
        first += 100
    settings = {"n_way": 3, "k_shot": 1, "q_queries": 2} | changes
    return tasks.mixture(sources, **settings)


@pytest.mark.parametrize(
    "weights, expected",
    [
        (None, [1 / 3, 1 / 3, 1 / 3]),
        ({"large": 1, "few": 2, "many": 5}, [2 / 8, 5 / 8, 1 / 8]),
        ([0.1, 0.1, 0.2], [1 / 4, 1 / 4, 1 / 2]),
    ],
)
def test_a_mixture_draws_each_episode_from_one_source(weights, expected):
    many = jax.jit(jax.vmap(mixed(weights=weights)))(jax.random.split(jax.random.key(0), 3000))
    source = np.asarray(many.support.x)[..., 0] // 100
    query_source = np.asarray(many.query.x)[..., 0] // 100
    assert (source == source[:, :1]).all() and (query_source == source[:, :1]).all()
    classes = np.sort(np.asarray(many.support.x)[..., 0], axis=1)
    assert (np.diff(classes, axis=1) > 0).all()  # Without replacement.
    assert {int(c) for c in classes.ravel()} == {
        100 * g + c for g, sizes in enumerate(SOURCES.values()) for c in range(len(sizes))
    }
    shares = np.bincount(source[:, 0].astype(int), minlength=3) / 3000
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / 3000))


def test_a_mixture_of_one_is_the_data_set_itself():
    data = numbered([5, 6, 7, 8])
    settings = {"n_way": 3, "k_shot": 1, "q_queries": 2}
    for key in jax.random.split(jax.random.key(0), 3):
        ours = tasks.mixture({"one": data}, **settings)(key)
        theirs = tasks.episodes(data, **settings)(key)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_imbalanced_mixture():
    sample = mixed(n_way=(2, 4), k_shot=None, shots="imbalanced", max_support=20)
    many = jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), 300))
    valid = np.asarray(many.support.is_valid)
    source = np.asarray(many.support.x)[..., 0] // 100
    assert (np.where(valid, source, source[:, :1]) == source[:, :1]).all()
    assert set(source[:, 0].astype(int)) == {0, 1, 2}


def test_mixtures_that_are_refused():
    few, many = numbered([4] * 3), numbered([4] * 9)
    settings = {"n_way": 3, "k_shot": 1, "q_queries": 2}
    for sources, changes, message in (
        ({}, {}, "at least one data set"),
        ({"few": few, "many": many}, {"n_way": 5}, "most the 3 classes of source 'few', got 5"),
        ({"few": few, "many": many}, {"k_shot": 3}, "every class of source 'few' must have"),
        ({"few": few, "many": many}, {"weights": {"few": 1}}, "weights must name each source once"),
        ({"few": few, "many": many}, {"weights": [1]}, "for each of 2 sources, got"),
        ({"few": few, "many": many}, {"weights": [1, 0]}, "for each of 2 sources, got"),
        ({"few": few, "many": many}, {"weights": [1, np.nan]}, "for each of 2 sources, got"),
    ):
        with pytest.raises(ValueError, match=message):
            tasks.mixture(sources, **settings | changes)
    other = ClassData(np.zeros((12, 2), np.int32), np.array([4, 4, 4]), ("a", "b", "c"))
    with pytest.raises(ValueError, match="images of one dtype, but those of 'few' have float32"):
        tasks.mixture({"few": few, "other": other}, **settings)
    other = ClassData(np.zeros((12, 3), np.float32), np.array([4, 4, 4]), ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"images of one shape, .* have \(2,\) and .* \(3,\)"):
        tasks.mixture({"few": few, "other": other}, **settings)
    with pytest.raises(TypeError, match="q_querys"):
        tasks.mixture({"few": few}, **settings, q_querys=1)
