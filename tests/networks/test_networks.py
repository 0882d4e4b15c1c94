import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxmeta.learner import Examples
from jaxmeta.net import as_net
from jaxmeta.networks import (
    Encoder,
    _conv4,
    conv,
    conv4,
    convolution,
    convolve_tasks,
    max_pool,
    mlp,
    resnet12,
)
from jaxmeta.networks.normalisation import BatchNorm

pytestmark = pytest.mark.usefixtures("optimised")
ONE_PASS = pytest.mark.parametrize("many_channels", [1, 100], ids=["one pass", "pairwise"])


def loops(x, kernel, strides, lows):
    """Cross-correlation in plain numpy, "SAME"."""
    size = kernel.shape[0]
    outs = [-(-n // strides) for n in x.shape[1:3]]
    padded = np.zeros((x.shape[0], *(n + 2 * size for n in x.shape[1:3]), x.shape[3]))
    padded[:, lows[0] : lows[0] + x.shape[1], lows[1] : lows[1] + x.shape[2]] = x
    y = np.zeros((x.shape[0], *outs, kernel.shape[3]))
    for i in range(outs[0]):
        for j in range(outs[1]):
            window = padded[:, i * strides : i * strides + size, j * strides : j * strides + size]
            y[:, i, j] = np.einsum("bhwi,hwio->bo", window, kernel)
    return y


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(6, 5), (7, 4)])
def test_conv_against_loops(x64, strides, size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *size, 3)), rng.normal(size=(3, 3, 3, 4))
    outs = [-(-n // strides) for n in size]
    lows = [max((o - 1) * strides + 3 - n, 0) // 2 for o, n in zip(outs, size, strict=True)]
    np.testing.assert_allclose(
        conv(x, kernel, strides=strides), loops(x, kernel, strides, lows), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [2, 5])
def test_conv_derivatives_of_second_order(x64, strides, channels):
    key_x, key_kernel = jax.random.split(jax.random.key(0))
    x = jax.random.normal(key_x, (2, 5, 6, channels))
    kernel = jax.random.normal(key_kernel, (3, 3, channels, 3))
    function = jax.jit(lambda x, kernel: jnp.sum(jnp.sin(conv(x, kernel, strides=strides))))
    check_grads(function, (x, kernel), order=2)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [2, 5])
def test_kernel_gradient_against_loops(x64, monkeypatch, strides, channels):
    monkeypatch.setattr(convolution, "_CHUNK_BYTES", 3000)  # Of seven images, two or three.
    monkeypatch.setattr(convolution, "_WINDOWS_BYTES", 9000)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 6, 5, channels))
    dy = rng.normal(size=(7, -(-6 // strides), -(-5 // strides), 4))
    kernel = jnp.zeros((3, 3, channels, 4))
    found = jax.jit(jax.grad(lambda k: jnp.sum(conv(x, k, strides=strides) * dy)))(kernel)
    lows = [0, 1] if strides == 2 else [1, 1]
    padded = np.pad(x, [(0, 0), (lows[0], 2), (lows[1], 2), (0, 0)])
    expected = np.zeros(kernel.shape)
    for n, i, j in np.ndindex(dy.shape[:3]):
        window = padded[n, i * strides : i * strides + 3, j * strides : j * strides + 3]
        expected += window[..., None] * dy[n, i, j]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("how", convolution.TASKS)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_kernel_gradient_under_vmap(axes, how):
    key_x, key_dy = jax.random.split(jax.random.key(0))
    x, dy = jax.random.normal(key_x, (3, 2, 5, 5, 6)), jax.random.normal(key_dy, (3, 2, 5, 5, 4))
    x, dy = x[0] if axes[0] is None else x, dy[0] if axes[1] is None else dy

    def gradient(x, dy):
        return jax.grad(lambda kernel: jnp.sum(conv(x, kernel) * dy))(jnp.zeros((3, 3, 6, 4)))

    with convolve_tasks(how):
        together = jax.vmap(gradient, in_axes=axes)(x, dy)
    for task in range(3):
        alone = gradient(x if axes[0] is None else x[task], dy if axes[1] is None else dy[task])
        np.testing.assert_allclose(together[task], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", convolution.TASKS)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 3)])
def test_conv_under_vmap(axes, how):
    keys = jax.random.split(jax.random.key(0))
    tasks = 3
    x = jax.random.normal(keys[0], (tasks, 2, 5, 5, 2))
    kernel = jax.random.normal(keys[1], (tasks, 3, 3, 2, 4))
    xs = x[0] if axes[0] is None else jnp.moveaxis(x, 0, axes[0])
    kernels = kernel[0] if axes[1] is None else jnp.moveaxis(kernel, 0, axes[1])
    with convolve_tasks(how):
        together = jax.vmap(conv, in_axes=axes)(xs, kernels)
    for task in range(tasks):
        alone = conv(x[0 if axes[0] is None else task], kernel[0 if axes[1] is None else task])
        np.testing.assert_allclose(together[task], alone, rtol=1e-4, atol=1e-5)


def test_how_tasks_are_convolved_is_chosen_or_said():
    x, kernels = jnp.zeros((3, 2, 5, 5, 2)), jnp.zeros((3, 3, 3, 2, 4))
    convolve = jax.jit(jax.vmap(conv))
    loops = {}
    for how in convolution.TASKS:
        with convolve_tasks(how):
            loops[how] = "while" in convolve.lower(x, kernels).as_text()
    assert loops == {"auto": jax.default_backend() == "cpu", "in_turn": True, "together": False}
    with pytest.raises(ValueError, match=r"how must be one of .* got 'grouped'"):
        convolve_tasks("grouped")


def test_conv_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"got shapes \(1, 5, 5, 2\) and \(3, 3, 1, 4\)"):
        conv(jnp.zeros((1, 5, 5, 2)), jnp.zeros((3, 3, 1, 4)))


def test_max_pool_by_hand():
    x = jnp.arange(30.0).reshape(1, 5, 6, 1)
    np.testing.assert_array_equal(max_pool(x)[0, :, :, 0], [[7, 9, 11], [19, 21, 23]])


@ONE_PASS
def test_derivatives_of_max_pool(x64, monkeypatch, many_channels):
    monkeypatch.setattr(_conv4, "_MANY_CHANNELS", many_channels)
    # One winner each, ties to the first.
    grads = jax.grad(lambda x: max_pool(x).sum())(jnp.zeros((1, 2, 2, 1)))
    np.testing.assert_array_equal(grads[0, :, :, 0], [[1, 0], [0, 0]])
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    found = jax.grad(lambda x: jnp.sum(jnp.sin(max_pool(x))))(x)
    expected = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(2, 2, 2, 3):
        block = np.array(x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c])
        row, column = np.unravel_index(block.argmax(), (2, 2))
        expected[n, 2 * i + row, 2 * j + column, c] = np.cos(block.max())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    check_grads(lambda x: jnp.sin(max_pool(x)), (x,), order=3)


@pytest.mark.parametrize(
    "settings, size, width",
    [
        ({}, 28, 64),
        ({"width": 32}, 84, 800),
        ({"strided": True}, 28, 256),
        ({"strided": True, "spatial_mean": True}, 28, 64),
    ],
)
def test_conv4_has_the_sizes_of_the_papers(settings, size, width):
    net = conv4(**settings)
    shape = jax.eval_shape(net.init_with_output, jax.random.key(0), jnp.zeros((2, size, size, 3)))
    assert shape[0].shape == (2, width)
    head = jax.eval_shape(
        conv4(5, **settings).init, jax.random.key(0), jnp.zeros((2, size, size, 3))
    )
    assert head["params"]["head"]["kernel"].shape == (width, 5)


def test_batch_norm_against_numpy(x64):
    rng = np.random.default_rng(0)
    x, support = rng.normal(2.0, 3.0, (4, 3, 3, 2)), rng.normal(size=(5, 3, 3, 2))
    norm = BatchNorm()
    params = {"params": {"scale": jnp.array([2.0, 3.0]), "bias": jnp.array([1.0, -1.0])}}

    def by(statistics_set):
        mean, variance = statistics_set.mean((0, 1, 2)), statistics_set.var((0, 1, 2))
        return (x - mean) / np.sqrt(variance + 1e-5) * [2.0, 3.0] + [1.0, -1.0]

    np.testing.assert_allclose(norm.apply(params, x), by(x), rtol=1e-10, atol=1e-12)
    net = as_net(norm)
    named = net.under(params, net.observe(params, Examples(jnp.asarray(support), None))[1])
    np.testing.assert_allclose(norm.apply(named, x), by(support), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(net.apply(params, x), norm.apply(params, x))
    np.testing.assert_array_equal(net.apply(named, x), norm.apply(named, x))
    outputs, again = net.observe(named, Examples(jnp.asarray(x), None))  # Of another set.
    np.testing.assert_allclose(outputs, by(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(again["statistics"]["mean"], x.mean((0, 1, 2)), rtol=1e-10)


@pytest.mark.parametrize("settings, width", [({}, 640), ({"spatial_mean": False}, 16000)])
def test_resnet12_has_the_sizes_of_the_papers(settings, width):
    images = jax.ShapeDtypeStruct((2, 84, 84, 3), jnp.float32)
    outputs, params = jax.eval_shape(
        resnet12(**settings).init_with_output, jax.random.key(0), images
    )
    assert outputs.shape == (2, width)
    # 3x3 convolutions 3-64-64-64, 64-160-160-160, ..., 1x1 across, two numbers per channel.
    expected, before = 0, 3
    for channels in (64, 160, 320, 640):
        expected += 9 * (before + 2 * channels) * channels + before * channels + 4 * 2 * channels
        before = channels
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected
    head = jax.eval_shape(resnet12(5, **settings).init, jax.random.key(0), images)
    assert head["params"]["head"]["kernel"].shape == (width, 5)


def test_a_block_of_resnet12_against_numpy(x64):
    net = resnet12(widths=(2, 1, 1, 1), spatial_mean=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 16, 16, 1))
    params = net.init(jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
    block = jax.tree.map(np.asarray, params["params"]["block_0"])

    def normalised(x, name):
        kernel = block[f"{name}_kernel"]
        low = kernel.shape[0] // 2
        if low:
            y = loops(x, kernel, 1, (low, low))
        else:
            y = x @ kernel[0, 0]
        y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
        return y * block[f"{name}_norm"]["scale"] + block[f"{name}_norm"]["bias"]

    def leaky(x):
        return np.where(x > 0, x, 0.1 * x)

    y = normalised(leaky(normalised(leaky(normalised(x, "layer_0")), "layer_1")), "layer_2")
    y = leaky(y + normalised(x, "across")).reshape(3, 8, 2, 8, 2, 2).max((2, 4))
    _, seen = net.apply(params, x, capture_intermediates=True)
    (output,) = seen["intermediates"]["block_0"]["__call__"]
    np.testing.assert_allclose(output, y, rtol=1e-9, atol=1e-10)


def test_padding_does_not_count_in_batch_norm(x64):
    rng = np.random.default_rng(1)
    x, is_valid = rng.normal(size=(5, 3, 3, 2)), np.array([True, False, True, True, False])
    norm = BatchNorm()
    params = norm.init(jax.random.key(0), x)
    net = as_net(norm)
    expected, statistics = net.observe(params, Examples(jnp.asarray(x[is_valid]), None))
    holes = np.where(is_valid[:, None, None, None], x, np.nan)
    outputs, same = net.observe(
        params, Examples(jnp.asarray(holes), jnp.zeros((5, 1)), jnp.asarray(is_valid))
    )
    np.testing.assert_allclose(outputs[is_valid], expected, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), same, statistics)


@ONE_PASS
@pytest.mark.parametrize("recorded", [False, True])
def test_pooling_before_the_normalisation_is_pooling_after_it(
    x64, monkeypatch, recorded, many_channels
):
    """Values and gradients, second order too, with factors of both signs."""
    monkeypatch.setattr(_conv4, "_MANY_CHANNELS", many_channels)
    x, other = jax.random.normal(jax.random.key(0), (2, 3, 5, 4, 6))
    is_valid = jnp.array([True, True, False])
    plain, pooled = BatchNorm(), BatchNorm(pool=max_pool)
    params = {
        "params": {
            "scale": jnp.array([1.0, -0.5, 2.0, -1.5, 0.3, -1.0]),
            "bias": jnp.linspace(-1, 1, 6),
        }
    }
    if recorded:
        net = as_net(plain)
        params = net.under(params, net.observe(params, Examples(other, None))[1])

    def after(params, x):
        return jnp.sum(jnp.sin(max_pool(plain.apply(params, x, is_valid))))

    def before(params, x):
        return jnp.sum(jnp.sin(pooled.apply(params, x, is_valid)))

    def slope(function):  # Of a step along the gradient: a derivative of second order.
        def moved(params, x):
            by_params, by_x = jax.grad(function, (0, 1))(params, x)
            step = jax.tree.map(lambda a, b: a - 0.1 * b, params, by_params)
            return function(step, x - 0.1 * by_x)

        return jax.grad(moved, (0, 1))(params, x)

    np.testing.assert_allclose(before(params, x), after(params, x), rtol=1e-12)
    for found, expected in zip(
        jax.tree.leaves(slope(before)), jax.tree.leaves(slope(after)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_derivatives_of_batch_norm(x64):
    x = jax.random.normal(jax.random.key(0), (5, 3, 2))
    norm = BatchNorm()
    params = norm.init(jax.random.key(1), x)
    check_grads(lambda x: jnp.sin(norm.apply(params, x)), (x,), order=3, modes=["rev"])


def test_init_has_parameters_only():
    params = conv4(5, width=2).init(jax.random.key(0), jnp.zeros((2, 28, 28, 1)))
    assert set(params) == {"params"}


def test_sinusoid_net_has_the_paper_s_sizes():
    params = mlp(1).init(jax.random.key(0), jnp.zeros((3, 1)))["params"]
    kernels = [params[layer]["kernel"] for layer in ("dense_0", "dense_1", "head")]
    assert [kernel.shape for kernel in kernels] == [(1, 40), (40, 40), (40, 1)]
    assert 0.007 < kernels[1].std() < 0.01  # A normal of 0.01, cut at two deviations: 0.0088.
    assert all((params[layer]["bias"] == 0).all() for layer in params)


@pytest.mark.parametrize(
    "make", [lambda: conv4(5, width=0), lambda: conv4(0), lambda: mlp(0), lambda: resnet12(0)]
)
def test_bad_sizes_are_refused(make):
    with pytest.raises(ValueError, match="must be >= 1"):
        make()


@pytest.mark.parametrize("shape", [(2, 15, 20, 1), (2, 28, 28)])
def test_images_that_pooling_would_leave_nothing_of_are_refused(shape):
    with pytest.raises(ValueError, match=r"conv4 needs images \[M, H, W, C\], of 16 pixels"):
        conv4(5).init(jax.random.key(0), jnp.zeros(shape))


def test_an_encoder_needs_layers_heads_and_some_width():
    for settings in ({"layers": 0, "heads": 1}, {"layers": 1, "heads": 0}):
        with pytest.raises(ValueError, match="layers and heads must be >= 1"):
            Encoder(**settings)
    with pytest.raises(ValueError, match="width_factor positive, got 1, 1 and nan"):
        Encoder(layers=1, heads=1, width_factor=float("nan"))
    assert Encoder(layers=1, heads=2, width_factor=0.005).inner_width(80) == 2


@pytest.mark.parametrize("widths", [(1, 2, 3), (0, 1, 1, 1)])
def test_resnet12_has_four_blocks(widths):
    with pytest.raises(ValueError, match="widths must be four numbers >= 1"):
        resnet12(widths=widths)
