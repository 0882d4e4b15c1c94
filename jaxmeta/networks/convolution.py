"""A convolution that stays fast under per-task weights and second derivatives.

XLA's CPU backend does not bring the dimension order of a convolution into its fast form inside a
loop body, and the weight gradient that JAX's autodiff writes is not in that form: it then runs some
thirty times slower. Here a convolution and the gradient of its kernel are a pair of bilinear
operations, each written in the fast form, whose transposes are the pair again: so are derivatives
of any order, forward or reverse.
"""

import math
from contextlib import AbstractContextManager
from typing import Literal

import jax
import jax.export
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# Measured on two AVX-512 cores, 14x14 and 7x7 maps of 64 channels, 42x42 of 32.
_CHUNK_BYTES = 2**18
_WINDOWS_BYTES = 2**22
_FEW_CHANNELS = 4
TASKS = ("auto", "in_turn", "together")
_tasks = jax.make_user_context("auto")
_SETTINGS = ("kernel_size", "strides", "padding", "lhs_dilation", "rhs_dilation")


def conv(x: jax.Array, kernel: jax.Array, *, strides: int = 1, padding: str = "SAME") -> jax.Array:
    """Two-dimensional convolution (cross-correlation, as everywhere in deep learning).

    Args:
      x: `[M, H, W, I]`.
      kernel: `[h, w, I, O]`.
      strides: step in both directions.
      padding: `"SAME"` or `"VALID"`, with XLA's meaning.

    Returns `[M, H', W', O]`. Linear in each argument; all derivatives are convolutions again.

    Raises:
      ValueError: the channels of `x` and `kernel` differ, or a rank is not 4.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2]:
        raise ValueError(
            "conv needs x [M, H, W, I] and kernel [h, w, I, O], "
            f"got shapes {x.shape} and {kernel.shape}."
        )
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (strides, strides), padding)
    return conv_p.bind(
        x.astype(dtype),
        kernel.astype(dtype),
        strides=(strides, strides),
        padding=tuple((int(low), int(high)) for low, high in pads),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
    )


def convolve_tasks(how: Literal["auto", "in_turn", "together"]) -> AbstractContextManager:
    """Within it, how convolutions under `vmap` treat a kernel per task.

    A context, for it is the batching rule that chooses, where no argument of a net arrives.

    Args:
      how: `"in_turn"`, one task after another; `"together"`, one grouped convolution; `"auto"`, the
        first on the CPU, where XLA's grouped convolution is four times slower, else the second.

    The numbers are the same to rounding. A program is compiled for the setting that it is first
    called under, and anew for another one.

    Raises:
      ValueError: `how` is none of these.
    """
    if how not in TASKS:
        raise ValueError(f"how must be one of {TASKS}, got {how!r}.")
    return _tasks(how)


def _lax_conv(x, kernel, *, strides, padding, lhs_dilation, rhs_dilation):
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _dilated(sizes, factors):
    return [(size - 1) * factor + 1 for size, factor in zip(sizes, factors, strict=True)]


def _input_gradient(x_shape, dy, kernel, *, strides, padding, lhs_dilation, rhs_dilation):
    """`dx`: the cotangent, dilated by the strides, convolved with the turned kernel."""
    ins = _dilated(x_shape[1:3], lhs_dilation)
    kernels = _dilated(kernel.shape[:2], rhs_dilation)
    outs = _dilated(dy.shape[1:3], strides)
    lows = [k - low - 1 for k, (low, _) in zip(kernels, padding, strict=True)]
    highs = [i + k - 1 - o - low for i, k, o, low in zip(ins, kernels, outs, lows, strict=True)]
    return conv_p.bind(
        dy,
        jnp.flip(kernel, (0, 1)).swapaxes(2, 3),
        strides=lhs_dilation,
        padding=tuple(zip(lows, highs, strict=True)),
        lhs_dilation=strides,
        rhs_dilation=rhs_dilation,
    )


def _kernel_gradient(x, dy, *, kernel_size, strides, padding, lhs_dilation, rhs_dilation):
    """`dkernel`: the inputs convolved with the cotangent, rows of the batch as channels."""
    ins = _dilated(x.shape[1:3], lhs_dilation)
    kernels = _dilated(kernel_size, rhs_dilation)
    outs = _dilated(dy.shape[1:3], strides)
    lows = [low for low, _ in padding]
    highs = [o - i + k - low - 1 for i, k, o, low in zip(ins, kernels, outs, lows, strict=True)]
    dkernel = _lax_conv(
        x.transpose(3, 1, 2, 0),
        dy.transpose(1, 2, 0, 3),
        strides=rhs_dilation,
        padding=tuple(zip(lows, highs, strict=True)),
        lhs_dilation=lhs_dilation,
        rhs_dilation=strides,
    )
    return dkernel.transpose(1, 2, 0, 3)


def _kernel_gradient_on_cpu(x, dy, **settings):
    """The same, a few images at a time: their transposed copies then stay in the cache."""
    gradient, chunk_bytes = _kernel_gradient, _CHUNK_BYTES
    numbers = max(math.prod(x.shape[1:]), math.prod(dy.shape[1:]))  # of one image
    if x.shape[3] <= _FEW_CHANNELS and settings["lhs_dilation"] == (1, 1):
        gradient, chunk_bytes = _kernel_gradient_of_few_channels, _WINDOWS_BYTES
        numbers = math.prod(dy.shape[1:3]) * math.prod(settings["kernel_size"]) * x.shape[3]
    rows = max(1, chunk_bytes // (numbers * x.dtype.itemsize))
    if jax.export.is_symbolic_dim(x.shape[0]) or len(x) < 2 * rows:
        return gradient(x, dy, **settings)
    full = len(x) // rows * rows
    chunks = [part[:full].reshape(-1, rows, *part.shape[1:]) for part in (x, dy)]
    zeros = jnp.zeros((*settings["kernel_size"], x.shape[3], dy.shape[3]), x.dtype)

    def add(total, chunk):
        return total + gradient(*chunk, **settings), None

    total, _ = lax.scan(add, zeros, chunks)
    return total if full == len(x) else total + gradient(x[full:], dy[full:], **settings)


def _kernel_gradient_of_few_channels(
    x, dy, *, kernel_size, strides, padding, lhs_dilation, rhs_dilation
):
    """The same, as one matrix product: `[h * w * I, M * H' * W']` windows by the cotangent."""
    del lhs_dilation
    padded = lax.pad(
        x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
    )
    spans = _dilated(dy.shape[1:3], strides)
    rows, columns = _dilated(kernel_size, rhs_dilation)
    windows = [
        padded[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1], channel].reshape(-1)
        for i in range(0, rows, rhs_dilation[0])
        for j in range(0, columns, rhs_dilation[1])
        for channel in range(x.shape[3])
    ]
    dkernel = jnp.stack(windows) @ dy.reshape(-1, dy.shape[3])
    return dkernel.reshape(*kernel_size, x.shape[3], dy.shape[3])


def _transpose_x(dy, x, kernel, **settings):
    return _input_gradient(x.aval.shape, dy, kernel, **settings)


def _transpose_kernel(dy, x, kernel, **settings):
    return kernel_gradient_p.bind(x, dy, kernel_size=kernel.aval.shape[:2], **settings)


def _transpose_gradient_x(dkernel, x, dy, *, kernel_size, **settings):
    del kernel_size
    return _input_gradient(x.aval.shape, dy, dkernel, **settings)


def _transpose_gradient_dy(dkernel, x, dy, *, kernel_size, **settings):
    del kernel_size
    return conv_p.bind(x, dkernel, **settings)


def _batch(args, dims, **settings):
    """`vmap`: images that share a kernel join the batch axis."""
    x, kernel = args
    if dims[1] is not None:
        return _batch_each(conv_p, _lax_conv, args, dims, settings)
    x = jnp.moveaxis(x, dims[0], 0)
    y = conv_p.bind(x.reshape(-1, *x.shape[2:]), kernel, **settings)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


def _batch_gradient(args, dims, **settings):
    return _batch_each(kernel_gradient_p, _kernel_gradient, args, dims, settings)


def _batch_each(primitive, function, args, dims, settings):
    """A kernel per task: see `convolve_tasks`."""
    (size,) = {arg.shape[dim] for arg, dim in zip(args, dims, strict=True) if dim is not None}
    args = [
        jnp.broadcast_to(arg, (size, *arg.shape)) if dim is None else jnp.moveaxis(arg, dim, 0)
        for arg, dim in zip(args, dims, strict=True)
    ]
    in_turn = {"auto": jax.default_backend() == "cpu", "in_turn": True, "together": False}
    if in_turn[_tasks.value]:
        return lax.map(lambda pair: primitive.bind(*pair, **settings), args), 0
    return jax.vmap(lambda *pair: function(*pair, **settings))(*args), 0


def _primitive(name, function, transposes, batch):
    """A bilinear primitive that is lowered as the function."""
    primitive = Primitive(name)

    def output(*args, **settings):
        shapes = (jax.ShapeDtypeStruct(arg.shape, arg.dtype) for arg in args)
        shape = jax.eval_shape(lambda *args: function(*args, **settings), *shapes)
        return ShapedArray(shape.shape, shape.dtype)

    primitive.def_impl(jax.jit(primitive.bind, static_argnames=_SETTINGS))
    primitive.def_abstract_eval(output)
    ad.defbilinear(primitive, *transposes)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


conv_p = _primitive("jaxmeta_conv", _lax_conv, (_transpose_x, _transpose_kernel), _batch)
kernel_gradient_p = _primitive(
    "jaxmeta_conv_kernel_gradient",
    _kernel_gradient,
    (_transpose_gradient_x, _transpose_gradient_dy),
    _batch_gradient,
)
mlir.register_lowering(
    kernel_gradient_p,
    mlir.lower_fun(_kernel_gradient_on_cpu, multiple_results=False),
    platform="cpu",
)
