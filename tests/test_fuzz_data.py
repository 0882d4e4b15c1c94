"""Arrays and files from a stranger: taken, or refused with what is wrong."""

import io
import os
import warnings
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import jaxmeta
from jaxmeta import losses
from jaxmeta.datasets._cache import cached
from jaxmeta.datasets._omniglot import read_classes

# NumPy knows bfloat16 from JAX; hypothesis draws it by way of float32.
NUMBERS = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]
DTYPES = st.sampled_from([*NUMBERS, "complex64", "U3", "S2", "O", "datetime64[s]"])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def arrays_of(dtype, shapes, **settings):
    if dtype == "bfloat16":
        return arrays.arrays("float32", shapes, **settings).map(lambda x: x.astype(jnp.bfloat16))
    if dtype == "O":
        settings = {"elements": st.none()}
    return arrays.arrays(dtype, shapes, **settings)


ARRAYS = DTYPES.flatmap(lambda dtype: arrays_of(dtype, SHAPES))
LABELS = arrays.arrays(np.int64, arrays.array_shapes(max_dims=2, max_side=4))
THINGS = st.one_of(
    ARRAYS,
    LABELS,
    st.none(),
    st.text(max_size=3),
    st.lists(st.lists(st.integers(), max_size=3), max_size=3),
    st.lists(st.floats(), max_size=4),
)


@given(THINGS, THINGS, THINGS, THINGS, st.one_of(st.none(), st.integers()))
def test_arrays_of_an_episode(support_x, support_y, query_x, query_y, n_way):
    try:
        episode = jaxmeta.make_episode(support_x, support_y, query_x, query_y, n_way=n_way)
    except (ValueError, TypeError) as error:
        assert str(error)
        return
    for examples in episode:
        assert np.isfinite(np.float64(examples.x)).all()
        assert np.isfinite(np.float64(examples.y)).all() and examples.y.ndim == 2
        assert len(examples.x) == len(examples.y) > 0


@given(
    st.sampled_from(NUMBERS).flatmap(
        lambda dtype: arrays_of(dtype, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6))
    ),
    arrays.arrays(np.int64, st.just((6,)), elements=st.integers(-3, 8)),
    st.integers(-3, 8),
)
def test_nearly_right_arrays(x, y, n_way):
    y = y[: len(x)]
    try:
        episode = jaxmeta.make_episode(x, y, x, y, n_way=n_way)
    except (ValueError, TypeError):
        return
    assert episode.support.y.shape == (len(x), n_way) and n_way > 1
    np.testing.assert_array_equal(np.argmax(episode.support.y, 1), y)


@given(st.data())
def test_outputs_and_labels_of_any_type_and_shape(data):
    """Losses and metrics equal NumPy's in float64, or outputs and labels differ in shape."""
    rows = data.draw(st.integers(1, 4))
    shape = (rows, data.draw(st.integers(1, 3)))  # single columns among them
    other = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=4))
    outputs_type = data.draw(st.sampled_from([t for t in NUMBERS if "float" in t]))
    y_type = data.draw(st.sampled_from(NUMBERS))
    quarters = st.integers(-8, 8).map(lambda n: n / 4)  # exact in every type
    outputs_shape = data.draw(st.sampled_from([shape, other]))
    outputs = data.draw(arrays.arrays("float64", outputs_shape, elements=quarters))
    y = data.draw(arrays.arrays("int64", shape, elements=st.integers(0, 1)))
    is_valid = data.draw(st.one_of(st.none(), arrays.arrays(bool, rows)))
    given = jnp.asarray(outputs.astype(outputs_type))
    examples = jaxmeta.Examples(
        given, jnp.asarray(y.astype(y_type)), None if is_valid is None else jnp.asarray(is_valid)
    )
    metrics = (losses.accuracy, losses.squared_error, losses.calibration_error)
    if outputs_shape != shape:
        for metric in metrics:
            with pytest.raises(ValueError, match="outputs must have the shape of y"):
                metric(given, examples)
        return
    counts = np.ones(rows, bool) if is_valid is None else is_valid
    squares = ((outputs - y) ** 2).mean(1)[counts]
    error = losses.squared_error(given, examples)
    np.testing.assert_allclose(error, squares.mean() if counts.any() else 0, rtol=1e-6)
    if shape[1] == 1:
        right = ((outputs > 0) == (y > 0.5))[:, 0]
    else:
        counts = counts & y.any(1)
        right = outputs.argmax(1) == y.argmax(1)
    share = right[counts].mean() if counts.any() else 0
    np.testing.assert_allclose(losses.accuracy(given, examples), share, rtol=1e-6)
    assert 0 <= losses.calibration_error(given, examples) <= 1
    np.testing.assert_array_equal(losses.presentations(examples) > 0, counts)


def test_a_label_far_out_fills_no_memory():
    with pytest.raises(ValueError, match="n_way must be at most 65536, got 2000000001"):
        jaxmeta.make_episode([[0.0], [1.0]], [0, 2_000_000_000], [[0.0]], [0])


def png(size=(5, 5)):
    content = io.BytesIO()
    Image.new("1", size, 1).save(content, "png")
    return content.getvalue()


NAMES = st.one_of(
    st.sampled_from(
        [
            "images/Greek/character01/0001_01.png",
            "../../../outside/Greek/character01/0001_02.png",
            "/absolute/Greek/character01/0001_03.png",
            "0001_01.png",
            "character01/0001_01.png",
            "a/b/c/d/e/f/g.png",
            "..\\..\\outside\\0001.png",
            "images/Greek/character01/.png",
            "images/Greek/character01/x\x00.png",
        ]
    ),
    st.text(max_size=8).map(lambda text: f"images/Greek/{text}/1.png"),
)
CONTENTS = st.one_of(
    st.just(png()),
    st.binary(max_size=60),
    st.tuples(st.just(png()), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
    st.just(png((3000, 2000))),
)


@given(
    st.lists(st.tuples(NAMES, CONTENTS), max_size=4),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
    st.one_of(st.none(), st.tuples(st.floats(0, 1), st.integers(0, 255)), st.floats(0, 1)),
)
def test_zip_archives(tmp_path_factory, members, compression, damage):
    folder = tmp_path_factory.mktemp("zip")
    path = folder / "images_background.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # Two members of one name.
        for name, content in members:
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    if isinstance(damage, tuple):
        content[int(damage[0] * (len(content) - 1))] = damage[1]
    elif damage is not None:
        content = content[: int(damage * len(content))]
    path.write_bytes(content)
    try:
        classes = read_classes(path, 7)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(images.shape[1:] == (7, 7, 1) for images in classes.values())
    assert os.listdir(folder) == [path.name]  # Nothing is ever unpacked.


def test_archives_that_would_fill_the_memory_are_refused_unread(tmp_path):
    path = tmp_path / "images_background.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/Greek/character01/0001_01.png", bytes(200_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=r"0001_01\.png .* 200000000 bytes"):
        read_classes(path, 7)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/Greek/character01/0001_01.png", png((20_000, 20_000)))
    with pytest.raises(ValueError, match=r"0001_01\.png .* pixels"):
        read_classes(path, 7)


def test_folders_with_links_and_pipes(tmp_path):
    folder = tmp_path / "images_background" / "Greek" / "character01"
    folder.mkdir(parents=True)
    (folder / "0001_01.png").write_bytes(png())
    (folder / "0001_02.png").symlink_to(folder / "0001_01.png")
    root = tmp_path / "images_background"
    assert read_classes(root, 7)["Greek/character01"].shape == (2, 7, 7, 1)
    (folder / "0001_03.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"0001_03\.png is not a file"):
        read_classes(root, 7)
    (folder / "0001_03.png").unlink()
    os.mkfifo(folder / "0001_03.png")  # Reading it would wait for ever.
    with pytest.raises(ValueError, match=r"0001_03\.png is not a file"):
        read_classes(root, 7)


class Malice:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


@given(st.binary(max_size=80), st.floats(0, 1), st.integers(0, 255), st.integers(0, 3))
def test_the_cache_is_read_or_made_again_and_never_unpickled(
    tmp_path_factory, content, place, byte, kind
):
    folder = tmp_path_factory.mktemp("cache")
    path = folder / "arrays.npz"
    if kind == 0:
        path.write_bytes(content)
    elif kind == 1:
        np.savez(path, images=np.array([Malice()], dtype=object), allow_pickle=True)
    else:
        np.savez_compressed(path, images=np.arange(50))
        whole = bytearray(path.read_bytes())
        whole[int(place * (len(whole) - 1))] = byte
        path.write_bytes(whole if kind == 2 else whole[: int(place * len(whole))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cached(path, lambda: {"images": np.arange(50)})
    assert not (folder / "unpickled").exists() and not os.path.exists("unpickled")
    np.testing.assert_array_equal(found["images"], np.arange(50))
