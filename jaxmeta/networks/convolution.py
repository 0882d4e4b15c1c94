"""A convolution that stays fast under per-task weights and second derivatives.

XLA's CPU backend does not bring the dimension order of a convolution into its fast form inside a
loop body, and the weight gradient that JAX's autodiff writes is not in that form: it then runs some
thirty times slower. Here convolution is one bilinear operation whose two transposes are the same
operation on explicitly transposed arrays, so each derivative of any order, forward or reverse,
is again an NHWC x HWIO -> NHWC convolution.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_LAYOUT = ("NHWC", "HWIO", "NHWC")


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


def _transpose_x(dy, x, kernel, *, strides, padding, lhs_dilation, rhs_dilation):
    """`dx`: the cotangent, dilated by the strides, convolved with the turned kernel."""
    ins = _dilated(x.aval.shape[1:3], lhs_dilation)
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


def _transpose_kernel(dy, x, kernel, *, strides, padding, lhs_dilation, rhs_dilation):
    """`dkernel`: the inputs convolved with the cotangent, rows of the batch as channels."""
    ins = _dilated(x.shape[1:3], lhs_dilation)
    kernels = _dilated(kernel.aval.shape[:2], rhs_dilation)
    outs = _dilated(dy.shape[1:3], strides)
    lows = [low for low, _ in padding]
    highs = [o - i + k - low - 1 for i, k, o, low in zip(ins, kernels, outs, lows, strict=True)]
    dkernel = conv_p.bind(
        x.transpose(3, 1, 2, 0),
        dy.transpose(1, 2, 0, 3),
        strides=rhs_dilation,
        padding=tuple(zip(lows, highs, strict=True)),
        lhs_dilation=lhs_dilation,
        rhs_dilation=strides,
    )
    return dkernel.transpose(1, 2, 0, 3)


def _batch(args, dims, **settings):
    """`vmap`: shared kernels join the batch axis; kernels per task run in turn on the CPU."""
    x, kernel = args
    x_dim, kernel_dim = dims
    if kernel_dim is None:
        x = jnp.moveaxis(x, x_dim, 0)
        y = conv_p.bind(x.reshape(-1, *x.shape[2:]), kernel, **settings)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    kernel = jnp.moveaxis(kernel, kernel_dim, 0)
    if x_dim is None:
        x = jnp.broadcast_to(x, (kernel.shape[0], *x.shape))
    else:
        x = jnp.moveaxis(x, x_dim, 0)
    if jax.default_backend() == "cpu":  # A grouped convolution is four times slower there.
        return lax.map(lambda pair: conv_p.bind(*pair, **settings), (x, kernel)), 0
    return jax.vmap(lambda x, kernel: _lax_conv(x, kernel, **settings))(x, kernel), 0


def _output(x, kernel, **settings):
    shape = jax.eval_shape(
        lambda x, kernel: _lax_conv(x, kernel, **settings),
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        jax.ShapeDtypeStruct(kernel.shape, kernel.dtype),
    )
    return ShapedArray(shape.shape, shape.dtype)


conv_p = Primitive("jaxmeta_conv")
conv_p.def_impl(
    jax.jit(_lax_conv, static_argnames=("strides", "padding", "lhs_dilation", "rhs_dilation"))
)
conv_p.def_abstract_eval(_output)
ad.defbilinear(conv_p, _transpose_x, _transpose_kernel)
batching.primitive_batchers[conv_p] = _batch
mlir.register_lowering(conv_p, mlir.lower_fun(_lax_conv, multiple_results=False))
