"""Everything that `hypertransformer` computes, once more in numpy float64 (recipes: section 4)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.networks import Encoder

N_WAY, LABEL_SIZE, CHANNELS = 3, 4, 3
LABELS = np.array([0, 1, 2, 3, 0, 3])  # 3: none
SETTINGS = {
    "channels": CHANNELS,
    "blocks": 2,
    "local_features": 2,
    "shared_features": 3,
    "label_size": LABEL_SIZE,
    "transformer_layers": 2,
}


def conv(x, kernel, bias=0.0, strides=1, padding="SAME"):
    size = kernel.shape[0]
    if padding == "SAME":
        outs = [-(-n // strides) for n in x.shape[1:3]]
        spans = [strides * (out - 1) + size for out in outs]
        pads = [max(span - n, 0) for span, n in zip(spans, x.shape[1:3], strict=True)]
        x = np.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    rows, columns = (strides * ((n - size) // strides) + 1 for n in x.shape[1:3])
    return bias + sum(
        x[:, i : i + rows : strides, j : j + columns : strides] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def block(x, kernel, norm, statistics=None):
    """Convolution, ReLU, pooling, normalisation."""
    y = np.maximum(conv(x, kernel), 0)
    half = y.shape[1] // 2
    y = y[:, : 2 * half, : 2 * half].reshape(len(y), half, 2, half, 2, -1).max((2, 4))
    if statistics is None:
        statistics = y.mean((0, 1, 2)), y.var((0, 1, 2))
    y = (y - statistics[0]) / np.sqrt(statistics[1] + 1e-5)
    return y * norm["scale"] + norm["bias"], statistics


def encode(x, p, is_valid):
    """Attention, then two linear maps, each added to its input and normalised after."""

    def normalised(x, norm):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * norm["scale"] + norm["bias"]

    for layer in range(2):
        a, total = p[f"attention_{layer}"], p[f"attention_{layer}"]["out"]["bias"]
        for head in range(2):
            q, k, v = (
                x @ a[name]["kernel"][:, head] + a[name]["bias"][head]
                for name in ("query", "key", "value")
            )
            scores = q @ k.T / np.sqrt(q.shape[1])
            scores = np.exp(scores - scores.max(1, keepdims=True)) * is_valid
            total = total + scores / scores.sum(1, keepdims=True) @ v @ a["out"]["kernel"][head]
        x = normalised(x + total, p[f"norm_a_{layer}"])
        first, second = p[f"dense_a_{layer}"], p[f"dense_b_{layer}"]
        hidden = np.maximum(x @ first["kernel"] + first["bias"], 0)
        x = normalised(x + hidden @ second["kernel"] + second["bias"], p[f"norm_b_{layer}"])
    return x


def local_features(x, p, strides):
    """Means of the maps before their ReLU; what the map has no room for is left out."""
    taps = []
    for number, step in enumerate(strides):
        c = p[f"conv_{number}"]
        x = conv(x, c["kernel"], c["bias"], step, "VALID")
        taps.append(x.mean((1, 2)))
        x = np.maximum(x, 0)
    assert len(p) == len(strides)
    return np.concatenate(taps, 1)


def slices(x, shared, generator, size, strides):
    """What a layer's weight tokens become."""
    p = generator["params"]
    features = np.concatenate([local_features(x, p["local"], strides), shared], axis=1)
    tokens = len(p["weights"])
    sequence = np.zeros((tokens + len(x), LABEL_SIZE + max(size, features.shape[1])))
    sequence[:tokens, :LABEL_SIZE] = p["weights"]
    sequence[tokens:, :LABEL_SIZE] = p["labels"][LABELS]
    sequence[tokens:, LABEL_SIZE : LABEL_SIZE + features.shape[1]] = features
    encoded = encode(sequence, p["encoder"], np.ones(len(sequence)))
    return encoded[:tokens, LABEL_SIZE : LABEL_SIZE + size]


@pytest.mark.parametrize("allocation, trained_blocks", [("output", 0), ("spatial", 1)])
def test_the_whole_of_adapt_and_predict(x64, allocation, trained_blocks):
    """Images of 9 pixels: maps of 9, 4, 2, on which features have room for 2, 1, 1 convolutions."""
    learner = jaxmeta.hypertransformer(
        **SETTINGS, allocation=allocation, trained_blocks=trained_blocks
    )
    rng = np.random.default_rng(0)
    images, queries = rng.normal(size=(6, 9, 9, 2)), rng.normal(size=(4, 9, 9, 2))
    support = jaxmeta.Examples(jnp.asarray(images), jnp.asarray(np.eye(N_WAY + 1, N_WAY)[LABELS]))
    shapes = jax.eval_shape(learner.init, jax.random.key(0), jaxmeta.Episode(support, support))
    p = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    params = jax.tree.map(jnp.asarray, p)
    adapted = jax.jit(learner.adapt)(params, None, support)

    shared = images
    for number, strides in enumerate((2, 2, 2, 1)):
        c = p["shared"]["params"][f"conv_{number}"]
        shared = np.maximum(conv(shared, c["kernel"], c["bias"], strides), 0)
    shared = shared.mean((1, 2))
    kernels, x, y = [], images, queries
    for number, strides in enumerate([(2, 1), (2,)]):
        layer, channels = p["blocks"][f"block_{number}"], x.shape[-1]
        if number < trained_blocks:
            kernel = layer["kernel"]
        elif allocation == "output":
            columns = slices(x, shared, layer["generator"], 9 * channels, strides)
            kernel = np.stack(columns, axis=-1).reshape(3, 3, channels, CHANNELS)
        else:
            places = slices(x, shared, layer["generator"], channels * CHANNELS, strides)
            kernel = places.reshape(3, 3, channels, CHANNELS)
        if number >= trained_blocks:
            kernels.append(kernel)
        norm = layer["norm"]["params"]["norm"]
        x, statistics = block(x, kernel, norm)
        y, _ = block(y, kernel, norm, statistics)
    assert p["head"]["params"]["local"]["conv_0"]["kernel"].shape[:2] == (2, 2)  # It shrinks.
    last = slices(x, shared, p["head"], 2 * 2 * CHANNELS + 1, (1,))
    assert len(adapted.kernels) == len(kernels)
    for found, kernel in zip(adapted.kernels, kernels, strict=True):
        np.testing.assert_allclose(found, kernel, rtol=0, atol=1e-11)
    np.testing.assert_allclose(adapted.head, last[:, :-1].T, rtol=0, atol=1e-11)
    np.testing.assert_allclose(adapted.bias, last[:, -1], rtol=0, atol=1e-11)
    logits = y.reshape(4, -1) @ last[:, :-1].T + last[:, -1]
    np.testing.assert_allclose(
        jax.jit(learner.predict)(params, adapted, queries), logits, rtol=0, atol=1e-10
    )


def test_the_encoder_with_a_masked_token(x64):
    rng = np.random.default_rng(1)
    tokens, is_valid = rng.normal(size=(4, 6)), np.array([True, True, False, True])
    encoder = Encoder(layers=2, heads=2)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), jnp.array(tokens))["params"]
    p = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    out = encoder.apply({"params": p}, jnp.array(tokens), jnp.array(is_valid))
    np.testing.assert_allclose(out, encode(tokens, p, is_valid), rtol=1e-9)
