"""Random changes of one picture, on the device: crop, flip, erasing, and their composition.

Each is a pure function `(key, x) -> x` of one picture `[H, W, C]` that keeps its shape and dtype;
the same key gives the same picture. `tasks.episodes(..., augment=...)` maps it over the pictures of
an episode, each with a key of its own. Episodes for tests are sampled without it.

Our own code and not dm-pix's (0.4.5), which adds brightness where the papers scale it, takes the
mean of a contrast for each channel, goes through HSV for saturation, and has neither erasing nor
affine maps over random ranges.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least

Augment = Callable[[jax.Array, jax.Array], jax.Array]


def augment(*changes: Augment) -> Augment:
    """One change after the other, each with a key of its own.

    Raises:
      ValueError: there is none.
      TypeError: one is no function.

    Example:
      >>> change = augment(random_crop(padding=4), random_flip())
      >>> change(jax.random.key(0), jnp.ones((32, 32, 3))).shape
      (32, 32, 3)
    """
    if not changes:
        raise ValueError("augment needs one change or more, got none.")
    for change in changes:
        if not callable(change):
            raise TypeError(f"a change must be a function (key, x) -> x, got {change!r}.")

    def composed(key, x):
        for part, change in zip(jax.random.split(key, len(changes)), changes, strict=True):
            x = change(part, x)
        return x

    return composed


def random_crop(*, padding: int) -> Augment:
    """Pads a picture with zeros and cuts its size out again at a random place.

    Args:
      padding: pixels on each side; 4 of 32 and 8 of 84 are usual.

    Raises:
      ValueError: `padding` is below 1.

    Example:
      >>> import jax
      >>> picture = jax.random.uniform(jax.random.key(0), (8, 8, 3))
      >>> random_crop(padding=2)(jax.random.key(1), picture).shape
      (8, 8, 3)
    """
    at_least(1, padding=padding)

    def crop(key, x):
        check_picture(x, "random_crop")
        padded = jnp.pad(x, ((padding, padding), (padding, padding), (0, 0)))
        place = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(padded, (*place, 0), x.shape)

    return crop


def random_flip(*, probability: float = 0.5) -> Augment:
    """Mirrors a picture left to right.

    Raises:
      ValueError: `probability` is not in `[0, 1]`.

    Example:
      >>> import jax
      >>> picture = jax.random.uniform(jax.random.key(0), (8, 8, 3))
      >>> flipped = random_flip(probability=1.0)(jax.random.key(1), picture)
      >>> bool((flipped == picture[:, ::-1]).all())
      True
    """
    check_probability(probability)

    def flip(key, x):
        check_picture(x, "random_flip")
        return jnp.where(jax.random.bernoulli(key, probability), x[:, ::-1], x)

    return flip


def random_erasing(
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
) -> Augment:
    """Fills a random rectangle with noise, uniform in `[0, 1]` (Zhong et al. 2020, algorithm 1).

    Where the paper draws again until a rectangle fits, here a side that is too long becomes the
    picture's; so is the aspect's logarithm uniform, not itself.

    Args:
      probability: of a rectangle.
      area: smallest and largest share of the picture.
      aspect: smallest and largest height by width.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> import jax
      >>> picture = jax.random.uniform(jax.random.key(0), (8, 8, 3))
      >>> random_erasing(probability=1.0)(jax.random.key(1), picture).shape
      (8, 8, 3)
    """
    check_probability(probability)
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area must be (least, most) with 0 < least <= most <= 1, got {area}.")
    if not 0 < aspect[0] <= aspect[1]:
        raise ValueError(f"aspect must be (least, most) with 0 < least <= most, got {aspect}.")

    def erase(key, x):
        check_picture(x, "random_erasing", floating=True)
        key_hit, key_area, key_aspect, key_place, key_noise = jax.random.split(key, 5)
        high, wide = x.shape[:2]
        pixels = high * wide * jax.random.uniform(key_area, minval=area[0], maxval=area[1])
        log_aspect = jax.random.uniform(
            key_aspect, minval=jnp.log(aspect[0]), maxval=jnp.log(aspect[1])
        )
        ratio = jnp.exp(log_aspect)
        sides = jnp.rint(jnp.stack([jnp.sqrt(pixels * ratio), jnp.sqrt(pixels / ratio)]))
        sides = jnp.clip(sides, 1, jnp.array([high, wide])).astype(jnp.int32)
        top, left = jax.random.randint(key_place, (2,), 0, jnp.array([high, wide]) - sides + 1)
        rows, columns = jnp.arange(high)[:, None], jnp.arange(wide)
        inside = (top <= rows) & (rows < top + sides[0])
        inside &= (left <= columns) & (columns < left + sides[1])
        inside &= jax.random.bernoulli(key_hit, probability)
        return jnp.where(inside[..., None], _noise(key_noise, x.shape).astype(x.dtype), x)

    return erase


def _noise(key, shape):
    """Uniform float32 in `[0, 1)`.

    JAX's generator took nine tenths of the time of an erasing, for numbers that only have to look
    like noise. This is a hash of 32 bits ("lowbias32", https://github.com/skeeto/hash-prospector,
    public domain) of each value's place, from a start that the key draws.
    """
    place = jax.lax.iota(jnp.uint32, math.prod(shape))
    bits = jax.random.bits(key) + place * jnp.uint32(0x9E3779B9)  # 2^32 by the golden ratio
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    bits ^= bits >> 16
    return ((bits >> 8).astype(jnp.float32) * 2.0**-24).reshape(shape)


def check_picture(x: jax.Array, name: str, *, floating: bool = False) -> None:
    """Raises ValueError or TypeError where `x` is no picture that the change `name` takes."""
    if x.ndim != 3:
        raise ValueError(f"{name} takes a picture [H, W, C], got shape {x.shape}.")
    if floating and not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name} takes a picture of floats in [0, 1], got {x.dtype}.")


def check_probability(probability: float) -> None:
    """Raises ValueError where it is none."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}.")


def check_augment(augment, shape, dtype):
    given = jax.ShapeDtypeStruct(shape, dtype)
    key = jax.eval_shape(lambda: jax.random.key(0))
    got = jax.eval_shape(augment, key, given)
    if (got.shape, got.dtype) != (given.shape, given.dtype):
        raise ValueError(
            f"augment must keep an image's shape and dtype, {given.shape} {given.dtype}, but gives "
            f"{got.shape} {got.dtype}."
        )
