"""Small affine maps of one picture, on the device: turned, sheared, scaled and shifted."""

import jax
import jax.numpy as jnp

from jaxmeta.checks import at_least
from jaxmeta.tasks._augment import Augment, check_picture, check_probability


def random_affine(
    *,
    max_turn: float = jnp.pi / 18,
    max_shear: float = 0.3,
    scale: tuple[float, float] = (0.8, 1.2),
    max_shift: float = 2 / 105,
    probability: float = 0.5,
) -> Augment:
    """Bends a picture about its middle, zero outside; for characters.

    A pixel at p, from the middle, goes to `R(turn) [[1, shear_y], [shear_x, 1]] diag(scale) p +
    shift`, and pixels between are interpolated. Every one of the seven numbers is drawn with
    `probability`, and otherwise leaves the picture as it is. The defaults are the ranges of Koch et
    al. 2015, section 4.2, for Omniglot: 10 degrees, 0.3, 0.8 to 1.2, and 2 of 105 pixels. The order
    of the maps is ours, as the paper has none.

    Args:
      max_turn: largest angle in radians, either way.
      max_shear: largest shear along each axis, either way.
      scale: smallest and largest scale along each axis.
      max_shift: largest shift along each axis, as a share of the picture's side, either way.
      probability: of each number.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> import jax
      >>> picture = jax.random.uniform(jax.random.key(0), (8, 8, 3))
      >>> random_affine(max_turn=10.0)(jax.random.key(1), picture).shape
      (8, 8, 3)
    """
    check_probability(probability)
    at_least(0, max_turn=max_turn, max_shear=max_shear, max_shift=max_shift)
    if max_shear >= 1:
        raise ValueError(f"max_shear must be below 1, got {max_shear}.")
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f"scale must be (least, most) with 0 < least <= most, got {scale}.")
    least = jnp.array([-max_turn, *[-max_shear] * 2, *[scale[0]] * 2, *[-max_shift] * 2])
    most = jnp.array([max_turn, *[max_shear] * 2, *[scale[1]] * 2, *[max_shift] * 2])
    still = jnp.array([0.0, 0, 0, 1, 1, 0, 0])

    def bend(key, x):
        check_picture(x, "random_affine", floating=True)
        key_numbers, key_hit = jax.random.split(key)
        numbers = jax.random.uniform(key_numbers, (7,), minval=least, maxval=most)
        numbers = jnp.where(jax.random.bernoulli(key_hit, probability, (7,)), numbers, still)
        turn, shear_y, shear_x, scale_y, scale_x, *shift = numbers
        cos, sin = jnp.cos(turn), jnp.sin(turn)
        # The inverse of each map, the last one first.
        unscaled = jnp.diag(1 / jnp.array([scale_y, scale_x]))
        unsheared = jnp.array([[1, -shear_y], [-shear_x, 1]]) / (1 - shear_y * shear_x)
        inverse = unscaled @ unsheared @ jnp.array([[cos, sin], [-sin, cos]])
        high, wide = x.shape[:2]
        sides = jnp.array([high, wide])
        middle = (sides - 1) / 2
        grid = jnp.stack(jnp.meshgrid(jnp.arange(high), jnp.arange(wide), indexing="ij"), -1)
        offset = grid - middle - jnp.array(shift) * sides
        # As a sum of two products: exact where the map is the identity, on every device.
        return interpolated(
            x, offset[..., :1] * inverse[:, 0] + offset[..., 1:] * inverse[:, 1] + middle
        )

    return bend


def interpolated(x: jax.Array, where: jax.Array) -> jax.Array:
    """The pixels of `x` `[H, W, C]` at the rows and columns `where` `[*, 2]`.

    Bilinear between pixels, zero outside.
    """
    high, wide = x.shape[:2]
    corner = jnp.floor(where)
    share = (where - corner).astype(x.dtype)
    corner = corner.astype(jnp.int32)
    total = jnp.zeros((*where.shape[:-1], x.shape[-1]), x.dtype)
    for down in (0, 1):
        for right in (0, 1):
            row, column = corner[..., 0] + down, corner[..., 1] + right
            weight = jnp.abs(1 - down - share[..., 0]) * jnp.abs(1 - right - share[..., 1])
            inside = (0 <= row) & (row < high) & (0 <= column) & (column < wide)
            values = x[jnp.clip(row, 0, high - 1), jnp.clip(column, 0, wide - 1)]
            total += jnp.where(inside, weight, 0)[..., None] * values
    return total
