import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import networks

STEPS, WIDTH = 9, 4


def blocks():
    return {
        "dense": networks.DenseBlock(2, 3),
        "temporal": networks.temporal_block(STEPS, 3),
        "attention": networks.causal_attention(5, 3),
    }


def sequence(*shape, dtype=None):
    return jax.random.normal(jax.random.key(7), shape, dtype)


@pytest.mark.parametrize("name", blocks())
def test_a_block_is_causal_to_the_bit(name):
    block, x = blocks()[name], sequence(STEPS, WIDTH)
    params = block.init(jax.random.key(0), x)
    apply = jax.jit(block.apply)
    before = np.asarray(apply(params, x))
    for t in range(STEPS):
        after = np.asarray(apply(params, x.at[t].add(1.0)))
        np.testing.assert_array_equal(after[:t], before[:t])
        changed = np.abs(after - before)[:, WIDTH:].max(axis=1) > 0
        if name == "dense":  # Two taps.
            assert changed.nonzero()[0].tolist() == [s for s in (t, t + 2) if s < STEPS]
        else:  # At t and everywhere after it.
            assert changed[t:].all()


@pytest.mark.parametrize("name", blocks())
def test_a_row_that_follows_is_the_last_step_of_a_longer_sequence(x64, name):
    block, x = blocks()[name], sequence(STEPS, WIDTH, dtype=float)
    params = block.init(jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: leaf.astype(float), params)
    whole = block.apply(params, x)
    outputs, last = block.apply(params, x[:-1], jnp.stack([x[-1], 2 * x[-1]]))
    np.testing.assert_allclose(outputs, whole[:-1], rtol=1e-12)
    np.testing.assert_allclose(last[0], whole[-1], rtol=1e-12)


def test_blocks_in_numpy(x64):
    x = sequence(5, 2, dtype=float)
    dense, attention = networks.DenseBlock(2, 3), networks.causal_attention(4, 3)
    params = dense.init(jax.random.key(0), x)
    kernel = np.asarray(params["params"]["kernel"]).astype(float)
    padded = np.concatenate([np.zeros((2, 2)), x])
    mixed = np.asarray(x) @ kernel[2:] + padded[:5] @ kernel[:2]
    expected = np.tanh(mixed[:, :3]) / (1 + np.exp(-mixed[:, 3:]))
    np.testing.assert_allclose(
        dense.apply(params, x), np.concatenate([x, expected], axis=1), rtol=1e-6
    )

    params = attention.init(jax.random.key(0), x)
    q, k, v = (
        np.asarray(x) @ np.asarray(params["params"][part]["kernel"]).astype(float)
        for part in ("query", "key", "value")
    )
    expected = []
    for t in range(5):
        weights = np.exp(k[: t + 1] @ q[t] / 2.0)  # sqrt(4)
        expected.append(weights @ v[: t + 1] / weights.sum())
    np.testing.assert_allclose(attention.apply(params, x)[:, 2:], expected, rtol=1e-6)


def episode(n_way, k_shot, size=6):
    key_s, key_q = jax.random.split(jax.random.key(3))
    return jaxmeta.Episode(
        jaxmeta.Examples(
            jax.random.normal(key_s, (n_way * k_shot, size)),
            jnp.repeat(jnp.eye(n_way), k_shot, axis=0),
        ),
        jaxmeta.Examples(jax.random.normal(key_q, (n_way, size)), jnp.eye(n_way)),
    )


@pytest.mark.parametrize(
    "n_way, k_shot, layers",
    [(5, 1, 3), (5, 5, 5), (20, 1, 5), (20, 5, 7)],  # ceil(log2 T) of T = 6, 26, 21, 101
)
def test_the_papers_block_counts_and_channels(n_way, k_shot, layers):
    learner = jaxmeta.snail(networks.mlp(64, hidden=(2,)))
    shapes = jax.eval_shape(learner.init, jax.random.key(0), episode(n_way, k_shot))
    net = shapes["net"]["params"]
    channels = 64 + n_way  # embedding and label
    assert set(net) == {
        "attention_0", "temporal_0", "attention_1", "temporal_1", "attention_2", "head",
    }  # fmt: skip
    for block, (key_size, value_size) in enumerate(((64, 32), (256, 128), (512, 256))):
        attention = net[f"attention_{block}"]
        for part, size in (("query", key_size), ("key", key_size), ("value", value_size)):
            assert attention[part]["kernel"].shape == (channels, size)
        channels += value_size
        if block < 2:
            temporal = net[f"temporal_{block}"]
            assert set(temporal) == {f"dense_{layer}" for layer in range(layers)}
            for layer in range(layers):
                assert temporal[f"dense_{layer}"]["kernel"].shape == (2 * channels, 2 * 128)
                channels += 128
    assert channels == 64 + n_way + 32 + 128 + 256 + 2 * 128 * layers
    assert net["head"]["kernel"].shape == (channels, n_way)


def test_the_learner_is_the_whole_sequence_with_one_query_at_its_end(x64):
    embed = networks.mlp(4, hidden=(5,))
    learner = jaxmeta.snail(embed, filters=3, attention=((4, 3), (4, 5)))
    task = jax.tree.map(lambda leaf: leaf.astype(float), episode(3, 2))
    params = jax.jit(learner.init)(jax.random.key(0), task)
    params = jax.tree.map(lambda leaf: leaf.astype(float), params)
    adapted = jax.jit(learner.adapt)(params, jax.random.key(1), task.support)
    outputs = jax.jit(learner.predict)(params, adapted, task.query.x)

    query = jnp.concatenate([embed.apply(params["embed"], task.query.x[:1]), jnp.zeros((1, 3))], 1)
    x = jnp.concatenate([adapted.steps, query])  # [T, D + N]
    net = params["net"]["params"]
    x = networks.causal_attention(4, 3).apply({"params": net["attention_0"]}, x)
    x = networks.temporal_block(7, 3).apply({"params": net["temporal_0"]}, x)
    x = networks.causal_attention(4, 5).apply({"params": net["attention_1"]}, x)
    expected = x[-1] @ net["head"]["kernel"] + net["head"]["bias"]
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-9)


def test_another_length_than_that_of_the_parameters():
    learner = jaxmeta.snail(networks.mlp(4, hidden=(5,)), filters=3, attention=((4, 3), (4, 5)))
    params = jax.jit(learner.init)(jax.random.key(0), episode(3, 2))
    with pytest.raises(ValueError, match="are for 4 to 7 support rows, got 9"):
        learner.adapt(params, jax.random.key(0), episode(3, 3).support)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"filters must be >= 1, got 0\."):
        jaxmeta.snail(networks.mlp(4), filters=0)
    with pytest.raises(ValueError, match=r"key_size must be >= 1, got 0\."):
        jaxmeta.snail(networks.mlp(4), attention=((0, 1),))
    with pytest.raises(ValueError, match=r"length must be >= 2, got 1\."):
        networks.temporal_block(1, 4)
