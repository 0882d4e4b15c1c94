"""Pictures of one data set in the shape of another's."""

import dataclasses

import numpy as np
from PIL import Image

from jaxmeta.checks import at_least
from jaxmeta.datasets._class_data import ClassData
from jaxmeta.datasets._pictures import pixels


def resized(class_data: ClassData, *, image_size: int, grey: bool = False) -> ClassData:
    """The same classes with images of another size and number of channels, for `tasks.mixture`.

    Args:
      class_data: images `[T, H, W, 1]` or `[T, H, W, 3]` uint8.
      image_size: height and width in pixels, to which each whole picture is resized by Lanczos.
      grey: one channel in place of three; grey images get three equal ones otherwise.

    Raises:
      ValueError: `image_size` is below 1, or these are no images of one or three channels.

    Example:
      >>> glyph = ClassData(np.zeros((2, 28, 28, 1), np.uint8), np.array([2]), ("a",))
      >>> resized(glyph, image_size=32).images.shape
      (2, 32, 32, 3)
    """
    at_least(1, image_size=image_size)
    shape = class_data.images.shape[1:]
    if not class_data.gives_images or len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(
            "images must be [T, H, W, 1] or [T, H, W, 3] uint8, got "
            f"{class_data.images.dtype} {class_data.images.shape}."
        )
    images = np.empty((len(class_data.images), image_size, image_size, 1 if grey else 3), np.uint8)
    for row, image in enumerate(class_data.images):
        whole = Image.fromarray(image[..., 0] if shape[2] == 1 else image)
        images[row] = pixels(whole, image_size=image_size, grey=grey)
    return dataclasses.replace(class_data, images=images)
