import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import rl
from jaxmeta.rl._transformer import CausalTransformer

LAYERS, HEADS, WIDTH, LENGTH = 2, 2, 8, 7


def drawn(net, length=LENGTH, width=5):
    """Inputs, and parameters all of whose entries are random, biases too, in float64."""
    inputs = jnp.array(np.random.default_rng(0).normal(size=(length, width)))
    params = net.init(jax.random.key(0), inputs)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    leaves = [jnp.array(leaf + 0.3 * rng.normal(size=leaf.shape)) for leaf in leaves]
    return jax.tree.unflatten(tree, leaves), inputs


def in_numpy(params, x, context=None, is_valid=None):
    """The whole forward pass, written again."""
    w = jax.tree.map(np.asarray, params["params"])

    def norm(layer, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * layer["scale"] + layer["bias"]

    def rotate(rows):
        half = rows.shape[-1] // 2
        turned = np.empty_like(rows)
        for t in range(len(rows)):
            for i in range(half):
                angle = t * 10_000 ** (-i / half)
                a, b = rows[t, :, i], rows[t, :, half + i]
                turned[t, :, i] = a * np.cos(angle) - b * np.sin(angle)
                turned[t, :, half + i] = a * np.sin(angle) + b * np.cos(angle)
        return turned

    x = x @ w["embed"]["kernel"] + w["embed"]["bias"]
    maps = []
    for n in range(LAYERS):
        seen = norm(w[f"norm_a_{n}"], x)
        query, key, value = (
            np.einsum("ti,ihd->thd", seen, w[f"{part}_{n}"]["kernel"]) + w[f"{part}_{n}"]["bias"]
            for part in ("query", "key", "value")
        )
        query, key = rotate(query), rotate(key)
        weights = np.zeros((HEADS, len(x), len(x)))
        for head in range(HEADS):
            for t in range(len(x)):
                first = 0 if context is None else max(t - context + 1, 0)
                rows = [s for s in range(first, t + 1) if is_valid is None or is_valid[s]]
                logits = key[rows, head] @ query[t, head] / np.sqrt(WIDTH / HEADS)
                shares = np.exp(logits - logits.max())
                weights[head, t, rows] = shares / shares.sum()
        maps.append(weights)
        attended = np.einsum("hts,shd->thd", weights, value)
        out = w[f"out_{n}"]
        x = x + np.einsum("thd,hdo->to", attended, out["kernel"]) + out["bias"]
        first, second = w[f"dense_a_{n}"], w[f"dense_b_{n}"]
        hidden = np.maximum(norm(w[f"norm_b_{n}"], x) @ first["kernel"] + first["bias"], 0)
        x = x + hidden @ second["kernel"] + second["bias"]
    return norm(w["norm"], x), maps


@pytest.mark.parametrize("context, padded", [(None, False), (3, False), (None, True)])
def test_the_forward_pass_and_its_mask_are_those_of_numpy(x64, context, padded):
    net = CausalTransformer(LAYERS, HEADS, WIDTH, context)
    params, inputs = drawn(net)
    is_valid = np.arange(LENGTH) != 2 if padded else None
    (features, _), state = net.apply(params, inputs, is_valid, mutable=["intermediates"])
    expected, maps = in_numpy(params, np.asarray(inputs), context, is_valid)
    np.testing.assert_allclose(features, expected, rtol=1e-9, atol=1e-10)
    for n, weights in enumerate(maps):
        (attention,) = state["intermediates"][f"attention_{n}"]
        np.testing.assert_allclose(attention, weights, rtol=1e-9, atol=1e-12)


def test_padding_changes_nothing(x64):
    net = CausalTransformer(LAYERS, HEADS, WIDTH)
    params, inputs = drawn(net)
    is_valid = jnp.arange(LENGTH) != 2
    features = net.apply(params, inputs, is_valid)[0]
    other = net.apply(params, inputs.at[2].set(100.0), is_valid)[0]
    np.testing.assert_array_equal(features[is_valid], other[is_valid])
    assert jnp.abs(features[2] - other[2]).max() > 0.1


@pytest.mark.parametrize("context", [None, 3])
def test_acting_with_the_cache_is_the_whole_forward_pass(context):
    # In float32, as users do; to 1e-9 in float64 beside the other memories in test_rl2.
    policy = rl.transformer(width=WIDTH, layers=LAYERS, heads=HEADS, context=context)
    params, inputs = drawn(policy)
    memory = policy.start(params, LENGTH)
    steps = jax.lax.scan(lambda memory, x: policy.step(params, memory, x), memory, inputs)[1]
    np.testing.assert_allclose(steps, policy.apply(params, inputs), rtol=1e-5, atol=1e-5)


def test_a_window_is_read_alike_wherever_it_is_cut(x64):
    # One layer that looks 3 steps back: the last of 3 steps alone is that of the whole trial.
    net = CausalTransformer(1, HEADS, WIDTH, context=3)
    params, inputs = drawn(net)
    whole, part = net.apply(params, inputs)[0], net.apply(params, inputs[-3:])[0]
    np.testing.assert_allclose(part[-1], whole[-1], rtol=1e-10)
    assert jnp.abs(part[0] - whole[-3]).max() > 1e-3


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"layers": 0}, "layers must be >= 1, got 0"),
        ({"context": 0}, "context must be >= 1, got 0"),
        ({"width": 6, "heads": 2}, r"width must be a multiple of 2 \* heads = 4"),
    ],
)
def test_wrong_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        rl.transformer(**sizes)
