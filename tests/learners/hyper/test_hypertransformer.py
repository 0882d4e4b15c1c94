import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxmeta
from jaxmeta.learners.hyper._hypertransformer import drop
from jaxmeta.networks import Encoder

N_WAY, K_SHOT, SIZE = 3, 2, 5
SMALL = {
    "channels": 3,
    "blocks": 2,
    "local_features": 2,
    "shared_features": 3,
    "label_size": 4,
    "transformer_layers": 2,
}
VARIANTS = {
    "output": {},
    "spatial": {"allocation": "spatial"},
    "first block trained": {"trained_blocks": 1},
    "logits alone": {"trained_blocks": 2, "local_features": 0},
    "local alone": {"shared_features": 0, "width_factor": 0.5},
}
variants = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, marks=() if name == "output" else pytest.mark.slow)
        for name, settings in VARIANTS.items()
    ],
    ids=VARIANTS,
)


def support_of(labels, seed=0):
    """Images with labels `0..N-1`, or N where there is none."""
    x = np.random.default_rng(seed).normal(size=(len(labels), SIZE, SIZE, 1))
    return jaxmeta.Examples(jnp.asarray(x), jnp.asarray(np.eye(N_WAY + 1, N_WAY)[labels]))


def build(settings):
    """The learner, its `adapt` compiled once, and parameters that are random in every entry."""
    adapt, learner, params = made(tuple(settings.items()))
    return adapt, learner, jax.tree.map(jnp.asarray, params)


@functools.cache
def made(items):
    learner = jaxmeta.hypertransformer(**SMALL | dict(items))
    part = jax.eval_shape(lambda: support_of([0, 1, 2]))
    shapes = jax.eval_shape(learner.init, jax.random.key(0), jaxmeta.Episode(part, part))
    rng = np.random.default_rng(5)
    return jax.jit(learner.adapt), learner, jax.tree.map(lambda s: rng.normal(size=s.shape), shapes)


def assert_close(one, other, atol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), one, other)


@variants
def test_neither_order_nor_what_is_not_valid_matters(x64, settings):
    adapt, _, params = build(settings)
    support = support_of([0, 0, 1, 2, 3])
    expected = adapt(params, None, support)
    order = jnp.array([4, 2, 0, 6, 5, 3, 1])
    padded = jaxmeta.Examples(
        jnp.concatenate([support.x, jnp.full((2, SIZE, SIZE, 1), jnp.nan)]),
        jnp.concatenate([support.y, jnp.full((2, N_WAY), jnp.nan)]),
        jnp.array([True] * 5 + [False] * 2),
    )
    shuffled = jax.tree.map(lambda leaf: leaf[order], padded)
    assert_close(adapt(params, None, shuffled), expected)
    order = jnp.array([4, 2, 0, 3, 1])
    assert_close(adapt(params, None, jax.tree.map(lambda leaf: leaf[order], support)), expected)


def test_gradients_reach_unlabelled_rows_and_no_masked_ones(x64):
    _, learner, params = build({})
    support = support_of([0, 1, 2, 3, 3])
    support = support._replace(is_valid=jnp.array([True] * 4 + [False]))
    query = support_of([0, 1, 2], seed=1)

    def query_loss(x):
        episode = jaxmeta.Episode(support._replace(x=x), query)
        return learner.loss(params, None, episode)[0]

    gradient = np.asarray(jax.jit(jax.grad(query_loss))(support.x))
    assert np.abs(gradient[:4]).max((1, 2, 3)).min() > 1e-6
    np.testing.assert_array_equal(gradient[4], 0.0)

    # No batch statistics lie before the first kernel: what reaches it goes through the tokens.
    def first_kernel(params, x):
        return jnp.sum(jnp.sin(learner.adapt(params, None, support._replace(x=x)).kernels[0]))

    of_params, of_x = jax.jit(jax.grad(first_kernel, (0, 1)))(params, support.x)
    assert np.abs(of_x[:4]).max((1, 2, 3)).min() > 1e-6
    np.testing.assert_array_equal(of_x[4], 0.0)
    # The vector that an unlabelled row wears is learned too.
    labels = of_params["blocks"]["block_0"]["generator"]["params"]["labels"]
    assert np.abs(labels).max(1).min() > 1e-6


@pytest.mark.slow
def test_the_gradient_against_finite_differences(x64):
    _, learner, params = build({})
    episode = jaxmeta.Episode(support_of([0, 1, 2, 3, 3]), support_of([0, 1, 2], seed=1))
    loss = jax.jit(lambda params: learner.loss(params, None, episode)[0])
    # Closer than the kinks of ReLU and maximum.
    check_grads(loss, (params,), order=1, modes=["rev"], eps=1e-6, rtol=1e-5)


def permuted(params, order):
    """Label vectors of every layer and the logits' weight tokens in another order."""

    def permute(path, leaf):
        names = [key.key for key in path]
        if names[-1] == "labels":
            return jnp.concatenate([leaf[:-1][order], leaf[-1:]])
        if names[-1] == "weights" and names[0] == "head":
            return leaf[order]
        return leaf

    return jax.tree_util.tree_map_with_path(permute, params)


def test_permuting_label_vectors_and_logit_tokens_permutes_the_logits(x64):
    adapt, learner, params = build({})
    order = jnp.array([2, 0, 1])
    support, query = support_of([0, 0, 1, 2, 3]), support_of([0] * 4, seed=1)
    # Where class n wears the vector of class order[n], it is the support set under other names.
    renamed = support._replace(y=jnp.zeros_like(support.y).at[:, order].set(support.y))
    other = permuted(params, order)
    logits = jax.jit(learner.predict)(params, adapt(params, None, renamed), query.x)
    again = jax.jit(learner.predict)(other, adapt(other, None, support), query.x)
    assert_close(again, logits[:, order])
    assert np.abs(np.diff(logits, axis=1)).min() > 1e-4


def shapes_of(image, n_way, rows, **settings):
    learner = jaxmeta.hypertransformer(observe=True, **settings)
    part = jaxmeta.Examples(
        jax.ShapeDtypeStruct((rows, *image), jnp.float32),
        jax.ShapeDtypeStruct((rows, n_way), jnp.float32),
    )
    params = jax.eval_shape(learner.init, jax.random.key(0), jaxmeta.Episode(part, part))
    adapted = jax.eval_shape(learner.adapt, params, jax.random.key(0), part)
    return params, adapted


def encoder_width(generator):
    attention = generator["params"]["encoder"]["attention_0"]
    width, heads, size = attention["query"]["kernel"].shape
    return width, heads * size, generator["params"]["encoder"]["dense_a_0"]["kernel"].shape[1]


def test_the_sizes_of_the_authors_omniglot_setting():
    """20-way 1-shot, 8 channels, features 8 and 32, labels 32, three layers, two heads."""
    params, adapted = shapes_of((28, 28, 1), 20, 20)
    # 28 -> 14 -> 7 -> 3 -> 1: on 3x3 the second convolution of the features has no room.
    features = [2 * 8 + 32, 2 * 8 + 32, 2 * 8 + 32, 8 + 32]
    sizes = [9, 72, 72, 72]
    for number, (feature, size) in enumerate(zip(features, sizes, strict=True)):
        generator = params["blocks"][f"block_{number}"]["generator"]
        width = max(32 + feature, 32 + size)
        assert width == [80, 104, 104, 104][number]
        assert encoder_width(generator) == (width, width, width)
        assert generator["params"]["weights"].shape == (8, 32)
        assert generator["params"]["labels"].shape == (21, 32)
        assert adapted.kernels[number].shape == (3, 3, size // 9, 8)
        # Three layers, two heads, 8 weight tokens that look at 20 samples.
        assert adapted.attention[f"block_{number}"].shape == (3, 2, 8, 20)
    head = params["head"]["params"]
    assert head["weights"].shape == (20, 32) and head["labels"].shape == (21, 32)
    assert encoder_width(params["head"]) == (72, 72, 72)  # 32 + 8 local + 32 shared
    assert head["local"]["conv_0"]["kernel"].shape == (1, 1, 8, 8)
    assert adapted.attention["head"].shape == (3, 2, 20, 20)
    assert adapted.head.shape == (8, 20) and adapted.bias.shape == (20,)
    shared = params["shared"]["params"]
    assert [shared[f"conv_{n}"]["kernel"].shape[2:] for n in range(4)] == [(1, 32)] + [(32, 32)] * 3


def test_the_sizes_of_the_authors_mini_imagenet_setting():
    """5-way 1-shot, 16 channels, eight heads, half the width inside."""
    params, adapted = shapes_of(
        (84, 84, 3), 5, 5, channels=16, shared_features=16, heads=8, width_factor=0.5
    )
    assert encoder_width(params["blocks"]["block_0"]["generator"]) == (80, 40, 40)  # 32 + 2 16 + 16
    assert encoder_width(params["blocks"]["block_1"]["generator"]) == (176, 88, 88)  # 32 + 9 16
    # 84 -> 42 -> 21 -> 10 -> 5: 25 places of 16 channels and a bias, 32 + 401 = 433; half of it
    # is 216, a multiple of eight.
    assert encoder_width(params["head"]) == (433, 216, 216)
    assert adapted.head.shape == (400, 5)
    # 0.5 of 82 = 41 goes up to 48.
    assert Encoder(layers=1, heads=8, width_factor=0.5).inner_width(82) == 48


@pytest.mark.parametrize("channels", [8, 16, 32, 64])
def test_spatial_allocation_and_learned_blocks(channels):
    params, adapted = shapes_of(
        (28, 28, 1), 5, 5, channels=channels, allocation="spatial", trained_blocks=2
    )
    assert set(params["blocks"]["block_1"]) == {"norm", "kernel"}
    assert params["blocks"]["block_1"]["kernel"].shape == (3, 3, channels, channels)
    generator = params["blocks"]["block_2"]["generator"]
    assert generator["params"]["weights"].shape == (9, 32)
    assert encoder_width(generator)[0] == 32 + channels**2
    assert [kernel.shape for kernel in adapted.kernels] == [(3, 3, channels, channels)] * 2
    _, alone = shapes_of((28, 28, 1), 5, 5, channels=channels, trained_blocks=4)
    assert alone.kernels == () and set(alone.attention) == {"head"}


@pytest.mark.parametrize("allocation", ["output", "spatial"])
def test_a_slice_lies_where_its_token_says(x64, allocation):
    """The encoder turned off, a slice is its token's vector normalised: constant per token."""
    adapt, _, params = build({"allocation": allocation})
    tokens = 3 if allocation == "output" else 9

    def mark(path, leaf):
        names = [key.key for key in path]
        if "encoder" not in names or "block_1" not in names:
            return leaf
        if names[-2:] == ["norm_b_1", "bias"]:
            return jnp.ones_like(leaf)
        return leaf if names[-1] == "scale" and names[-2] != "norm_b_1" else 0 * leaf

    # Scale 0 and shift 1 in the last normalisation: every entry generated is one.
    assert_close(
        adapt(jax.tree_util.tree_map_with_path(mark, params), None, support_of([0, 1, 2])).kernels[
            1
        ],
        jnp.ones((3, 3, 3, 3)),
    )
    # One weight token moved: only its own slice moves, when nobody looks at anybody.
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if any("attention" in str(key) for key in path) else leaf,
        params,
    )
    moved = jax.tree.map(lambda leaf: leaf, silent)
    generator = moved["blocks"]["block_1"]["generator"]["params"]
    generator["weights"] = generator["weights"].at[1].add(1.0)
    before, after = (adapt(p, None, support_of([0, 1, 2])).kernels[1] for p in (silent, moved))
    change = np.abs(after - before) > 1e-9
    where = change.any((0, 1, 2)) if allocation == "output" else change.any((2, 3)).ravel()
    assert where.tolist() == [number == 1 for number in range(tokens)]


def test_one_attention_with_label_matched_keys_gives_class_means(x64):
    """The paper's construction: weight token n asks for label n and takes the features' mean.

    The logits' weights are then the class means, and one attention is one step of gradient descent
    on the logits from zero, up to the part that all classes share.
    """
    n_way, d, features = 3, 3, 4
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 1, 2, 2, 2])
    x = rng.normal(size=(6, features))
    width = d + features
    sharp = 200.0
    sequence = np.zeros((n_way + 6, width))
    sequence[:n_way, :d] = np.eye(n_way)
    sequence[n_way:, :d] = np.eye(n_way)[labels]
    sequence[n_way:, d:] = x
    encoder = Encoder(layers=1, heads=1)
    params = jax.jit(encoder.init)(jax.random.key(0), jnp.array(sequence))["params"]
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), params)
    select = np.diag([1.0] * d + [0.0] * features)
    attention = params["attention_0"]
    attention["query"]["kernel"] = jnp.array(select[:, None] * sharp)
    attention["key"]["kernel"] = jnp.array(select[:, None])
    attention["value"]["kernel"] = jnp.array((np.eye(width) - select)[:, None])
    attention["out"]["kernel"] = jnp.eye(width)[None]
    # The mask hides the weight tokens, whose labels match too, as would a flag in their vectors.
    is_sample = jnp.arange(n_way + 6) >= n_way
    _, left = encoder.apply(
        {"params": params}, jnp.array(sequence), is_sample, mutable=["intermediates"]
    )
    (weights,) = left["intermediates"]["attention_0"]["attention_weights"]
    means = np.stack([x[labels == n].mean(0) for n in range(n_way)])
    np.testing.assert_allclose(weights[0, :n_way, n_way:] @ x, means, atol=1e-12)
    # The layer's own output is the normalised sum of the token and what it attended to.
    params["norm_a_0"]["scale"] = params["norm_b_0"]["scale"] = jnp.ones(width)
    out = encoder.apply({"params": params}, jnp.array(sequence), is_sample)[:n_way]
    joined = np.concatenate([np.eye(n_way), means], axis=1)
    for _ in range(2):
        centred = joined - joined.mean(1, keepdims=True)
        joined = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(out, joined, atol=1e-10)
    # One step from W = 0 on the cross-entropy: dL/dw_n = mean of (1/N - y_n) x.
    step = (np.eye(n_way)[labels] - 1 / n_way).T @ x
    counts = np.bincount(labels)[:, None]
    np.testing.assert_allclose(step, counts * means - x.sum(0) / n_way, atol=1e-12)


def test_queries_alone_and_together():
    adapt, learner, params = build({})
    support, query = support_of([0, 1, 2]), support_of([0, 1, 2, 1], seed=1)

    def sample(key):
        return jaxmeta.Episode(support, query)

    alone, together = (
        jaxmeta.evaluate(
            learner,
            params,
            sample,
            n_episodes=1,
            key=jax.random.key(0),
            transductive=transductive,
            metric=lambda outputs, _: outputs.sum(),
        ).mean
        for transductive in (False, True)
    )
    outputs = jax.jit(learner.predict)(params, adapt(params, None, support), query.x)
    np.testing.assert_allclose(alone, outputs.sum(), rtol=1e-4)
    assert abs(together - alone) > 1e-3


def test_dropping_takes_the_shares_it_should():
    support = support_of([0, 1, 3, 3])._replace(is_valid=jnp.array([True, True, True, False]))
    keys = jax.random.split(jax.random.key(0), 4000)
    kept = jax.vmap(lambda key: drop(key, support, 0.2, 0.8).is_valid)(keys)
    # A probability uniform in [0, p] drops p / 2 of the rows; three standard errors are 0.024.
    np.testing.assert_allclose(kept.mean(0), [0.9, 0.9, 0.6, 0.0], atol=0.024)
    # One probability for all rows of a kind: they are dropped together more often than apart.
    both = float((~kept[:, 0] & ~kept[:, 1]).mean())
    assert abs(both - 0.2**2 / 3) < 0.006
    assert drop(keys[0], support, 0.0, 0.0) is support


def test_dropping_acts_in_the_loss_alone():
    learner = jaxmeta.hypertransformer(**SMALL, drop_labelled=1.0)
    plain = jaxmeta.hypertransformer(**SMALL)
    support, query = support_of([0, 0, 1, 1, 2, 2]), support_of([0, 1, 2], seed=1)
    episode = jaxmeta.Episode(support, query)
    _, _, params = build({})
    key = jax.random.key(7)
    kept = drop(key, support, 1.0, 0.0)
    assert 0 < int(kept.is_valid.sum()) < 6
    value, _ = jax.jit(learner.loss)(params, key, episode)
    loss = jax.jit(plain.loss)
    expected, _ = loss(params, key, jaxmeta.Episode(kept, query))
    everyone = support._replace(is_valid=jnp.ones(6, bool))
    whole, _ = loss(params, key, jaxmeta.Episode(everyone, query))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert abs(value - whole) > 1e-3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be >= 1, got 0"),
        ({"trained_blocks": 5}, r"trained_blocks must be in 0\.\.4 \(blocks\), got 5"),
        ({"allocation": "input"}, "allocation must be one of .* got 'input'"),
        ({"local_features": 0, "shared_features": 0}, "not both 0, got 0 and 0"),
        ({"drop_unlabelled": 1.5}, r"drop_unlabelled must be in \[0, 1\], got 1.5"),
        ({"width_factor": 0}, "width_factor must be > 0 and finite, got 0"),
        ({"width_factor": float("inf")}, "width_factor must be > 0 and finite, got inf"),
    ],
)
def test_bad_values(settings, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.hypertransformer(**settings)


def test_images_too_small_for_the_blocks():
    learner = jaxmeta.hypertransformer()
    part = support_of([0, 1, 2])
    with pytest.raises(ValueError, match=r"images \[M, H, W, C\] of 16 pixels .* \(3, 5, 5, 1\)"):
        learner.init(jax.random.key(0), jaxmeta.Episode(part, part))


def test_rows_classes_and_queries_that_do_not_fit_are_refused():
    _, learner, params = build({})
    support = support_of([0, 1, 2])
    with pytest.raises(ValueError, match=r"support.y must be .* got shape \(3,\)"):
        learner.adapt(params, None, support._replace(y=jnp.arange(3)))
    with pytest.raises(ValueError, match=r"support.is_valid must be \[M\], .* got shape \(4,\)"):
        learner.adapt(params, None, support._replace(is_valid=jnp.ones(4, bool)))
    with pytest.raises(ValueError, match=r"for 3 classes, .* got support.y of shape \(3, 4\)"):
        learner.adapt(params, None, support._replace(y=jnp.eye(4)[:3]))
    adapted = jax.eval_shape(learner.adapt, params, None, support)
    with pytest.raises(ValueError, match=r"last maps \(2, 2, 3\) have 12 numbers, .* takes 3"):
        jax.eval_shape(learner.predict, params, adapted, jnp.zeros((1, 9, 9, 1)))


def test_the_defaults_are_the_authors_omniglot_setting():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(jaxmeta.hypertransformer).parameters.items()
    }
    expected = {"channels": 8, "blocks": 4, "label_size": 32, "transformer_layers": 3, "heads": 2}
    assert expected.items() <= defaults.items()
