import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.datasets import ClassData, resized, split_classes


def images(count, *, size=2):
    return np.zeros((count, size, size, 1), np.uint8)


def test_from_classes_keeps_order_and_counts():
    data = ClassData.from_classes({"b": images(3), "a": images(2) + 7})
    assert data.class_names == ("b", "a")
    np.testing.assert_array_equal(data.counts, [3, 2])
    assert (data.images[3:] == 7).all() and (data.images[:3] == 0).all()
    assert data.n_classes == 2


@pytest.mark.parametrize(
    "classes, message",
    [
        ({}, "at least one class"),
        ({"a": images(0), "b": images(1)}, "every class must have an image, but 'a' has 0"),
        ({"a": images(1), "b": images(1, size=3)}, "those of 'a' are .* those of 'b'"),
        (
            {"a": images(1), "b": images(1) / 255},
            "one dtype, but those of 'a' are uint8 and those of 'b' float64",
        ),
        (
            {"a": np.zeros((1, 2)), "b": np.array([[0.0, 1.0], [np.nan, 0.0]])},
            "image 1 of class 'b' has NaN",
        ),
    ],
)
def test_bad_classes_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        ClassData.from_classes(classes)


def test_other_numbers_are_refused():
    for dtype in (bool, complex, "U3", object):
        with pytest.raises(TypeError, match="images must be integers or floating, got"):
            ClassData(np.zeros((1, 2, 2, 1), dtype), np.array([1]), ("a",))
    ids = np.array([[1, 2], [3, 2**31]])
    with pytest.raises(ValueError, match=r"in -2147483648..2147483647, but image 0 of class 'b' "):
        ClassData(ids, np.array([1, 1]), ("a", "b"))
    with pytest.raises(ValueError, match="add up to the 3 images, got 2"):
        ClassData(images(3), np.array([2]), ("a",))
    with pytest.raises(ValueError, match="'a' stands twice"):
        ClassData(images(2), np.array([1, 1]), ("a", "a"))


def test_splits_are_disjoint():
    classes = {name: images(1) for name in "abc"}
    splits = split_classes(classes, (["a"], ["b"], ["c"]))
    assert [split.class_names for split in splits] == [("a",), ("b",), ("c",)]
    with pytest.raises(ValueError, match="class 'a' stands in two"):
        split_classes(classes, (["a"], ["b"], ["a"]))
    with pytest.raises(ValueError, match="1 classes of the split are not in the data, such as 'd'"):
        split_classes(classes, (["a"], ["b"], ["d"]))


@pytest.mark.parametrize(
    "dtype, as_image, gives_images",
    [
        (np.uint8, True, True),
        (np.uint8, False, False),
        (np.int32, True, False),
        (np.float32, True, False),
    ],
)
def test_uint8_alone_are_images_unless_said(dtype, as_image, gives_images):
    data = ClassData.from_classes({"a": np.ones((2, 3), dtype)}, as_image=as_image)
    assert data.gives_images == gives_images
    splits = split_classes(
        {name: np.ones((2, 3), dtype) for name in "abc"}, (["a"], ["b"], ["c"]), as_image=as_image
    )
    assert [split.gives_images for split in splits] == [gives_images] * 3


def test_images_in_another_shape():
    steps = np.kron(np.uint8([[0, 255], [255, 0]]), np.ones((8, 8), np.uint8))
    grey = ClassData.from_classes(
        {"a": np.stack([steps, steps.T])[..., None], "b": images(1, size=16)}
    )
    colour = resized(grey, image_size=4)
    assert colour.images.shape == (3, 4, 4, 3) and colour.class_names == ("a", "b")
    np.testing.assert_array_equal(colour.images[..., 0], colour.images[..., 2])
    np.testing.assert_allclose(colour.images[0, ::3, ::3, 1], [[0, 255], [255, 0]], atol=12)
    red = ClassData.from_classes({"a": np.full((1, 2, 2, 3), [255, 0, 0], np.uint8)})
    np.testing.assert_array_equal(resized(red, image_size=2).images, red.images)
    np.testing.assert_array_equal(resized(red, image_size=3, grey=True).images, 76)
    with pytest.raises(ValueError, match="image_size must be >= 1, got 0"):
        resized(red, image_size=0)
    for wrong in (
        images(2)[..., 0],
        images(2).astype(np.float32),
        np.zeros((2, 4, 4, 2), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"must be \[T, H, W, 1\] or \[T, H, W, 3\] uint8"):
            resized(ClassData.from_classes({"a": wrong}), image_size=2)


def test_halves_of_floats_are_rows_too():
    for dtype in (np.float16, jnp.bfloat16):
        data = ClassData.from_classes({"a": np.ones((2, 3), dtype)})
        assert data.images.dtype == dtype and not data.gives_images
        with pytest.raises(ValueError, match="image 1 of class 'a' has NaN"):
            ClassData.from_classes({"a": np.array([[0.0], [np.nan]], dtype)})


def test_numbers_beyond_float32_are_refused():
    with pytest.raises(ValueError, match=r"images must be finite in float32, but .*beyond it"):
        ClassData.from_classes({"a": np.array([[1e300]]), "b": np.array([[0.0]])})
