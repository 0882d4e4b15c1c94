"""Random changes of pictures, against the same changes written out in NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxmeta import tasks
from jaxmeta.datasets import ClassData

PICTURE = np.random.default_rng(0).uniform(size=(9, 7, 3)).astype(np.float32)
CHANGES = {
    "random_crop": tasks.random_crop(padding=2),
    "random_flip": tasks.random_flip(),
    "random_erasing": tasks.random_erasing(),
    "colour_jitter": tasks.colour_jitter(),
    "random_affine": tasks.random_affine(),
    "augment": tasks.augment(tasks.random_crop(padding=1), tasks.colour_jitter()),
}


def many(change, x, number, seed=0):
    """The picture changed under that many keys."""
    keys = jax.random.split(jax.random.key(seed), number)
    return np.asarray(jax.jit(jax.vmap(change, (0, None)))(keys, jnp.asarray(x)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", CHANGES)
def test_shape_and_dtype_stay_and_a_key_is_a_picture(name, dtype):
    change, key = CHANGES[name], jax.random.key(3)
    x = jnp.asarray(PICTURE, dtype)
    first = jax.jit(change)(key, x)
    assert first.shape == x.shape and first.dtype == dtype
    assert bool((first >= 0).all()) and bool((first <= 1).all())
    np.testing.assert_array_equal(first, jax.jit(change)(key, x))
    if dtype == jnp.float32:
        found = many(change, x, 16)
        assert len({picture.tobytes() for picture in found}) > 1


def test_crops_are_every_window_of_the_padded_picture():
    padded = np.pad(PICTURE, ((2, 2), (2, 2), (0, 0)))
    windows = {padded[i : i + 9, j : j + 7].tobytes(): (i, j) for i in range(5) for j in range(5)}
    found = [windows[picture.tobytes()] for picture in many(CHANGES["random_crop"], PICTURE, 2000)]
    counts = np.array([found.count((i, j)) for i in range(5) for j in range(5)])
    # Each of 25 places has 80 of 2000, with a standard deviation of 8.8.
    assert (np.abs(counts - 80) < 4.5 * 8.8).all()
    whole = np.arange(63, dtype=np.uint8).reshape(9, 7, 1)
    assert tasks.random_crop(padding=1)(jax.random.key(0), jnp.asarray(whole)).dtype == jnp.uint8


def test_flips():
    found = many(tasks.random_flip(probability=0.3), PICTURE, 2000)
    mirrored = (found == PICTURE[:, ::-1]).all((1, 2, 3))
    assert ((found == PICTURE).all((1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.21 / 2000)
    np.testing.assert_array_equal(many(tasks.random_flip(probability=0.0), PICTURE, 9)[8], PICTURE)


def test_erasing_fills_one_rectangle():
    picture = np.full((40, 30, 2), 2.0, np.float32)  # Never a number of the noise.
    change = tasks.random_erasing(probability=0.8, area=(0.1, 0.2), aspect=(0.5, 2.0))
    found = many(change, picture, 500)
    shares, places = [], set()
    for one in found:
        erased = (one != 2).any(-1)
        np.testing.assert_array_equal(erased, (one != 2).all(-1))
        if not erased.any():
            continue
        rows, columns = np.nonzero(erased.any(1))[0], np.nonzero(erased.any(0))[0]
        high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert erased.sum() == high * wide  # A rectangle.
        # Rounding moves each side by half a pixel.
        assert 0.45 < (high + 0.5) / (wide - 0.5) and (high - 0.5) / (wide + 0.5) < 2.0
        shares.append(high * wide / 1200)
        places.add((rows[0], columns[0]))
        assert 0 <= one[erased].min() and one[erased].max() < 1 and one[erased].std() > 0.2
    assert abs(len(shares) / 500 - 0.8) < 4 * np.sqrt(0.16 / 500)
    # Half a pixel on sides of up to 22 and 11 is 17 pixels of 1200.
    assert 0.085 < min(shares) < 0.115 and 0.185 < max(shares) < 0.215 and len(places) > 200
    # A side that is too long is cut to the picture's.
    tall = many(tasks.random_erasing(probability=1.0, area=(1, 1), aspect=(4, 4)), picture, 1)[0]
    assert (tall[..., 0] != 2).sum() == 40 * round(np.sqrt(1200 / 4))


def test_the_noise_of_an_erasing_is_uniform_and_unlike_its_neighbours():
    picture = np.full((64, 64, 3), 2.0, np.float32)
    whole = tasks.random_erasing(probability=1.0, area=(1.0, 1.0), aspect=(1.0, 1.0))
    noise = many(whole, picture, 40)
    counts, _ = np.histogram(noise, 50, (0, 1))
    expected = noise.size / 50
    # Chi squared of 49 degrees of freedom: mean 49, standard deviation 9.9.
    assert counts.sum() == noise.size and ((counts - expected) ** 2 / expected).sum() < 49 + 4 * 9.9
    centred = noise - 0.5
    for one, other in (
        (centred[:, 1:], centred[:, :-1]),
        (centred[:, :, 1:], centred[:, :, :-1]),
        (centred[..., 1:], centred[..., :-1]),
        (centred[1:], centred[:-1]),  # Pictures of other keys.
    ):
        correlation = 12 * (one * other).mean()
        assert abs(correlation) < 4.5 / np.sqrt(one.size)


def test_colours_against_numpy():
    change = tasks.colour_jitter(brightness=0.5, contrast=0.3, saturation=0.9)
    for seed in range(5):
        key = jax.random.key(seed)
        distances = np.asarray(jax.random.uniform(key, (3,), minval=-1, maxval=1), np.float64)
        b, c, s = 1 + np.array([0.5, 0.3, 0.9]) * distances
        weights = [0.299, 0.587, 0.114]
        x = np.clip(b * np.float64(PICTURE), 0, 1)
        mean = (x @ weights).mean()
        x = np.clip(mean + c * (x - mean), 0, 1)
        grey = (x @ weights)[..., None]
        x = np.clip(grey + s * (x - grey), 0, 1)
        np.testing.assert_allclose(jax.jit(change)(key, jnp.asarray(PICTURE)), x, atol=2e-6)
    still = tasks.colour_jitter(brightness=0.0, contrast=0.0, saturation=0.0)
    np.testing.assert_allclose(still(key, jnp.asarray(PICTURE)), PICTURE, atol=1e-6)
    # One channel: brightness and contrast alone.
    grey = many(tasks.colour_jitter(saturation=1.0), PICTURE[..., :1], 2)
    other = many(tasks.colour_jitter(saturation=0.0), PICTURE[..., :1], 2)
    np.testing.assert_allclose(grey, other, atol=1e-6)


def drawn(key, low, high, still, probability):
    key_numbers, key_hit = jax.random.split(key)
    numbers = jax.random.uniform(key_numbers, (7,), minval=jnp.array(low), maxval=jnp.array(high))
    hit = jax.random.bernoulli(key_hit, probability, (7,))
    return np.asarray(jnp.where(hit, numbers, jnp.array(still)), np.float64)


def test_affine_maps_against_scipy():
    """The ranges are Koch et al.'s; 10 degrees are pi / 18."""
    picture = np.random.default_rng(1).uniform(size=(21, 15, 2)).astype(np.float32)
    low = [-np.pi / 18, -0.3, -0.3, 0.8, 0.8, -2 / 105, -2 / 105]
    high = [np.pi / 18, 0.3, 0.3, 1.2, 1.2, 2 / 105, 2 / 105]
    kept, bend = 0, jax.jit(tasks.random_affine())
    for seed in range(12):
        key = jax.random.key(seed)
        numbers = drawn(key, low, high, [0.0, 0, 0, 1, 1, 0, 0], 0.5)
        kept += (numbers == [0, 0, 0, 1, 1, 0, 0]).sum()
        turn, shear_y, shear_x, scale_y, scale_x, *shift = numbers
        rotation = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        matrix = rotation @ np.array([[1, shear_y], [shear_x, 1]]) @ np.diag([scale_y, scale_x])
        inverse = np.linalg.inv(matrix)
        middle = np.array([10.0, 7.0])
        offset = middle - inverse @ (middle + np.array(shift) * [21, 15])
        expected = [
            # With a margin of zeros, as SciPy does not interpolate across the border.
            ndimage.affine_transform(
                np.pad(np.float64(picture[..., channel]), 9),
                inverse,
                offset + 9 - inverse @ [9, 9],
                order=1,
            )[9:-9, 9:-9]
            for channel in range(2)
        ]
        found = bend(key, jnp.asarray(picture))
        np.testing.assert_allclose(found, np.stack(expected, -1), atol=2e-5)
    assert abs(kept / 84 - 0.5) < 4 * np.sqrt(0.25 / 84)


def test_affine_maps_by_hand():
    same = tasks.random_affine(probability=0.0)
    np.testing.assert_array_equal(many(same, PICTURE, 1)[0], PICTURE)
    # A turn by a right angle, anticlockwise as rows go down, is one of two of a square.
    square = PICTURE[:7]
    settings = {"max_shear": 0.0, "scale": (1.0, 1.0), "max_shift": 0.0, "probability": 1.0}
    for one in many(tasks.random_affine(max_turn=np.pi, **settings), square, 20):
        inner = one[2:5, 2:5]  # The middle stays within, whatever the angle.
        assert inner.shape == (3, 3, 3) and (inner > 0).all()
        np.testing.assert_allclose(one[3, 3], square[3, 3], atol=1e-5)
    # Doubled: the pixel in the middle and those two away from it.
    settings |= {"scale": (2.0, 2.0), "max_turn": 0.0}
    double = many(tasks.random_affine(**settings), square, 1)[0]
    np.testing.assert_allclose(double[1::2, 1::2], square[2:5, 2:5], atol=1e-6)
    np.testing.assert_allclose(double[2, 1], square[2:4, 2].mean(0), atol=1e-6)


def data():
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    return ClassData(images, np.full(3, 4), ("a", "b", "c"))


def test_episodes_with_changes_have_the_rows_of_those_without():
    settings = {"n_way": 2, "k_shot": 1, "q_queries": 2}
    plain = jax.jit(tasks.episodes(data(), **settings))
    same = jax.jit(tasks.episodes(data(), **settings, augment=lambda key, x: x))
    change = tasks.augment(tasks.random_crop(padding=2), tasks.random_flip())
    changed = jax.jit(tasks.episodes(data(), **settings, augment=change))
    again = jax.jit(tasks.episodes(data(), **settings, augment=change))
    for seed in range(5):
        key = jax.random.key(seed)
        for ours, theirs in zip(*map(jax.tree.leaves, (plain(key), same(key))), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(*map(jax.tree.leaves, (changed(key), again(key))), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for before, after in zip(plain(key), changed(key), strict=True):
            np.testing.assert_array_equal(before.y, after.y)
            for old, new in zip(np.asarray(before.x), np.asarray(after.x), strict=True):
                frame = np.pad(old, ((2, 2), (2, 2), (0, 0)))
                windows = [frame[i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
                fits = [np.array_equal(new, w) or np.array_equal(new, w[:, ::-1]) for w in windows]
                assert any(fits)


def test_every_image_has_a_key_of_its_own_and_padding_stays_zero():
    def stamp(key, x):
        return jnp.full_like(x, jax.random.uniform(key, minval=0.1))

    for settings in (
        {"n_way": (2, 3), "k_shot": (1, 2)},
        {"n_way": (2, 3), "shots": "imbalanced", "k_shot": 2},
    ):
        sample = jax.jit(tasks.episodes(data(), **settings, q_queries=2, augment=stamp))
        stamps, padding = [], 0
        for seed in range(6):
            for part in sample(jax.random.key(seed)):
                x, valid = np.asarray(part.x), np.asarray(part.is_valid)
                assert (x[~valid] == 0).all()
                padding += (~valid).sum()
                stamps += x[valid][:, 0, 0, 0].tolist()
        assert len(set(stamps)) == len(stamps) and padding > 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tasks.augment(), "augment needs one change or more"),
        (lambda: tasks.random_crop(padding=0), "padding must be >= 1, got 0"),
        (lambda: tasks.random_flip(probability=1.5), r"probability must be in \[0, 1\], got 1.5"),
        (lambda: tasks.random_erasing(area=(0.5, 0.1)), "area must be .* got"),
        (lambda: tasks.random_erasing(aspect=(0, 1)), "aspect must be .* got"),
        (lambda: tasks.colour_jitter(contrast=-0.1), r"contrast must be in \[0, 1\], got -0.1"),
        (lambda: tasks.random_affine(max_shift=-1.0), "max_shift must be >= 0, got -1.0"),
        (lambda: tasks.random_affine(max_shear=1.0), "max_shear must be below 1, got 1.0"),
        (lambda: tasks.random_affine(scale=(0.0, 1.0)), "scale must be .* got"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_does_not_fit_is_refused_before_compilation():
    settings = {"n_way": 2, "k_shot": 1, "q_queries": 2}
    with pytest.raises(ValueError, match=r"keep .* \(8, 8, 3\) float32, but gives \(4, 8, 3\) flo"):
        tasks.episodes(data(), **settings, augment=lambda key, x: x[:4])
    with pytest.raises(ValueError, match=r"float32, but gives .* bfloat16"):
        tasks.episodes(data(), **settings, augment=lambda key, x: x.astype(jnp.bfloat16))
    ids = ClassData(np.zeros((6, 4), np.int32), np.array([3, 3]), ("a", "b"))
    with pytest.raises(ValueError, match=r"random_flip takes a picture \[H, W, C\], got shape"):
        tasks.episodes(ids, **settings, augment=tasks.random_flip())
    whole = ClassData(np.zeros((6, 4, 4, 1), np.int32), np.array([3, 3]), ("a", "b"))
    with pytest.raises(TypeError, match=r"colour_jitter takes .* floats in \[0, 1\], got int32"):
        tasks.episodes(whole, **settings, augment=tasks.colour_jitter())
    with pytest.raises(TypeError, match=r"must be a function \(key, x\) -> x, got 4"):
        tasks.augment(tasks.random_flip(), 4)
