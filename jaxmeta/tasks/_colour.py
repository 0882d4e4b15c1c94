"""Random colours of one picture, on the device."""

import jax
import jax.numpy as jnp

from jaxmeta.tasks._augment import Augment, check_picture

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue, ITU-R 601


def colour_jitter(
    *, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4
) -> Augment:
    """Scales brightness, contrast and saturation, in this order, each by a number around 1.

    With g the grey of a pixel and m the mean grey of the picture: `b x`, `m + c (x - m)` and
    `g + s (x - g)`, each cut to `[0, 1]`. A picture that has not three channels is grey already,
    and saturation leaves it as it is. The defaults are those of the few-shot literature (Lee et al.
    2019).

    Args:
      brightness, contrast, saturation: the largest distance of b, c and s from 1, uniform either
        way; 0 leaves a picture as it is.

    Raises:
      ValueError: a number is not in `[0, 1]`.

    Example:
      >>> import jax
      >>> picture = jax.random.uniform(jax.random.key(0), (8, 8, 3))
      >>> colour_jitter(brightness=0.4)(jax.random.key(1), picture).shape
      (8, 8, 3)
    """
    ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in ranges.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}.")
    widths = jnp.array(list(ranges.values()))

    def jitter(key, x):
        check_picture(x, "colour_jitter", floating=True)
        distances = jax.random.uniform(key, (3,), minval=-1, maxval=1)
        b, c, s = (1 + widths * distances).astype(x.dtype)
        x = jnp.clip(b * x, 0, 1)
        mean = _grey(x).mean(dtype=jnp.float32).astype(x.dtype)
        x = jnp.clip(mean + c * (x - mean), 0, 1)
        if x.shape[-1] != len(GREY):
            return x
        grey = _grey(x)[..., None]
        return jnp.clip(grey + s * (x - grey), 0, 1)

    return jitter


def _grey(x):
    if x.shape[-1] != len(GREY):
        return x.mean(-1)
    return x @ jnp.array(GREY, x.dtype)
