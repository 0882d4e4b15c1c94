import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxmeta
from jaxmeta import networks

N_WAY, SIZE, HIDDEN = 3, 5, 4


def net(**settings):
    return networks.augmented(N_WAY, **({"conv_blocks": 0, "hidden": HIDDEN} | settings))


def episode(dtype=None, shape=(SIZE,)):
    key_s, key_q = jax.random.split(jax.random.key(3))
    y = jnp.eye(N_WAY, dtype=dtype)
    return jaxmeta.Episode(
        jaxmeta.Examples(jax.random.normal(key_s, (N_WAY, *shape), dtype), y),
        jaxmeta.Examples(jax.random.normal(key_q, (N_WAY, *shape), dtype), y),
    )


def setting(learner, task):
    params = jax.jit(learner.init)(jax.random.key(0), task)
    params = jax.tree.map(lambda leaf: leaf.astype(task.query.x.dtype), params)

    def louder(path, leaf):
        names = [getattr(part, "key", None) for part in path]
        if "out" in names:  # The maps' last layers start small.
            return 0.3 + 50 * leaf
        # At zero biases a ReLU whose inputs are all zero stands where it bends.
        return leaf + 0.1 if names[-1] == "bias" else leaf

    example, task_level = (
        jax.tree_util.tree_map_with_path(louder, part) for part in (params.example, params.task)
    )
    return params._replace(example=example, task=task_level)


def test_an_augmented_net_in_numpy(x64):
    module = net()
    x = jax.random.normal(jax.random.key(0), (2, SIZE), float)
    params = jax.jit(module.init)(jax.random.key(1), x)
    dense, head = (np.asarray(params["params"][name], float) for name in ("dense", "head"))
    fast = {
        "dense": jax.random.normal(jax.random.key(2), dense.shape),
        "head": jax.random.normal(jax.random.key(3), head.shape),
    }
    representation, outputs = module.apply(params, x, fast)
    x = np.asarray(x)
    h = np.maximum(x @ dense, 0) + np.maximum(x @ fast["dense"], 0)
    np.testing.assert_allclose(representation, x @ dense + x @ fast["dense"], rtol=1e-6)
    np.testing.assert_allclose(outputs, h @ head + h @ fast["head"], rtol=1e-6)


@pytest.mark.parametrize("module", [net(), net(conv_blocks=2, width=2, n_augmented=3)])
def test_zero_fast_weights_leave_the_slow_net(module):
    shape = (SIZE,) if module.conv_blocks == 0 else (6, 6, 1)
    learner, task = jaxmeta.meta_networks(module, hidden=3), episode(shape=shape)
    params = setting(learner, task)
    zeros = jax.tree.map(jnp.zeros_like, (params.example, params.task))
    silent = params._replace(example=zeros[0], task=zeros[1])
    adapted = jax.jit(learner.adapt)(silent, jax.random.key(1), task.support)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves((adapted.embed, adapted.values)))
    slow = {**params.base, **adapted.statistics[1]}
    np.testing.assert_allclose(
        jax.jit(learner.predict)(silent, adapted, task.query.x),
        module.apply(slow, task.query.x)[1],
        rtol=1e-5,
        atol=1e-6,
    )
    # And others do not.
    adapted = jax.jit(learner.adapt)(params, jax.random.key(1), task.support)
    loud = jax.jit(learner.predict)(params, adapted, task.query.x)
    assert np.abs(loud - module.apply(slow, task.query.x)[1]).max() > 1e-3


def log_and_sign(x):
    large = np.abs(x) >= np.exp(-7)
    size = np.where(large, np.log(np.where(large, np.abs(x), 1)) / 7, -1)
    return np.stack([size, np.where(large, np.sign(x), np.exp(7) * x)], -1)


def slow_gradients(weights, x, y):
    """Of the cross-entropy of `relu(x A) B`, by hand."""
    a, b = np.asarray(weights["dense"]), np.asarray(weights["head"])
    h = np.maximum(x @ a, 0)
    p = np.exp(h @ b)
    error = p / p.sum() - y
    return {"dense": np.outer(x, (b @ error) * (h > 0)), "head": np.outer(h, error)}


def test_fast_weights_in_numpy(x64):
    learner, task = jaxmeta.meta_networks(net(), hidden=3), episode(float)
    params = setting(learner, task)
    adapted = jax.jit(learner.adapt)(params, jax.random.key(1), task.support)
    support = [np.asarray(part) for part in task.support[:2]]
    z = jax.tree.map(np.asarray, params.example["dense"])
    for i, (x, y) in enumerate(zip(*support, strict=True)):
        for name, grad in slow_gradients(params.base["params"], x, y).items():
            h = log_and_sign(grad)
            for layer in ("first", "second"):
                h = np.maximum(h @ z[layer]["kernel"] + z[layer]["bias"], 0)
            expected = h @ z["out"]["kernel"] + z["out"]["bias"]
            np.testing.assert_allclose(adapted.values[name][i], expected, rtol=1e-8, atol=1e-12)

    # The LSTM sees three gradients, one a row, in one of six orders.
    grads = [slow_gradients(params.embed["params"], x, y) for x, y in zip(*support, strict=True)]
    cell = jax.tree.map(np.asarray, params.task["dense"]["cell"]["params"])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def d(order, name):
        shape = grads[0][name].shape
        c = h = np.zeros((*shape, 3))
        for row in order:
            seen = log_and_sign(grads[row][name])
            i, f, g, o = (
                seen @ cell["i" + gate]["kernel"] + h @ cell["h" + gate]["kernel"]
                + cell["h" + gate]["bias"]
                for gate in "ifgo"
            )  # fmt: skip
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        out = params.task["dense"]["out"]
        return h @ np.asarray(out["kernel"]) + np.asarray(out["bias"])

    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    matching = [
        order
        for order in orders
        if all(np.allclose(adapted.embed[name], d(order, name), 1e-8) for name in adapted.embed)
    ]
    assert len(matching) == 1

    # Keys, attention, and the base net with its own weights for each query.
    embed, base = (
        {name: np.asarray(leaf) for name, leaf in part["params"].items()}
        for part in (params.embed, params.base)
    )
    dense = embed["dense"] + np.asarray(adapted.embed["dense"])
    keys, queries = support[0] @ dense, np.asarray(task.query.x) @ dense
    np.testing.assert_allclose(adapted.keys, keys, rtol=1e-8)
    norms = np.sqrt((keys**2).sum(1) + 1e-6)
    outputs = jax.jit(learner.predict)(params, adapted, task.query.x)
    for x, r, output in zip(np.asarray(task.query.x), queries, outputs, strict=True):
        a = np.exp(keys @ r / norms / np.sqrt((r**2).sum() + 1e-6))
        fast = {name: np.tensordot(a / a.sum(), leaf, 1) for name, leaf in adapted.values.items()}
        h = np.maximum(x @ base["dense"], 0) + np.maximum(x @ fast["dense"], 0)
        np.testing.assert_allclose(output, h @ (base["head"] + fast["head"]), rtol=1e-8)


def test_second_order_gradients_through_the_fast_weights(x64):
    learner = jaxmeta.meta_networks(net(), hidden=3)
    task = episode(float)
    params = setting(learner, task)
    loss = jax.jit(lambda params: learner.loss(params, jax.random.key(1), task)[0])
    # A small step: the logarithm of a small gradient bends much.
    check_grads(loss, (params,), order=1, modes=["rev"], rtol=1e-5, eps=1e-7)

    # With fast weights held constant the gradient of the slow weights is another one.
    adapted = jax.jit(learner.adapt)(params, jax.random.key(1), task.support)

    def first_order(params):
        outputs = learner.predict(params, adapted, task.query.x)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(outputs) * task.query.y, axis=1))

    whole, cut = jax.grad(loss)(params).base, jax.jit(jax.grad(first_order))(params).base
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole, cut)
    assert min(jax.tree.leaves(gap)) > 1e-6


def test_unlabelled_and_padding_rows_of_the_support_set_leave_no_trace(x64):
    learner, task = jaxmeta.meta_networks(net(), hidden=3), episode(float)
    params = setting(learner, task)
    adapted = jax.jit(learner.adapt)(params, jax.random.key(1), task.support)
    more = jaxmeta.Examples(
        jnp.concatenate([task.support.x, jnp.full((2, SIZE), 3.0)]),
        jnp.concatenate([task.support.y, jnp.eye(N_WAY)[:1], jnp.zeros((1, N_WAY))]),
        jnp.array([True] * 3 + [False, True]),
    )
    padded = jax.jit(learner.adapt)(params, jax.random.key(1), more)
    np.testing.assert_array_equal(padded.is_stored, [True] * 3 + [False] * 2)
    for name, leaf in adapted.values.items():
        np.testing.assert_allclose(padded.values[name][:3], leaf, rtol=1e-9)
    predict = jax.jit(learner.predict)
    same_task_level = padded._replace(
        embed=adapted.embed, keys=jnp.concatenate([adapted.keys, padded.keys[3:]])
    )
    np.testing.assert_allclose(
        predict(params, same_task_level, task.query.x),
        predict(params, adapted, task.query.x),
        rtol=1e-9,
    )


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"hidden must be >= 1, got 0\."):
        jaxmeta.meta_networks(net(), hidden=0)
    with pytest.raises(ValueError, match=r"n_augmented must be in 1\.\.2, got 3\."):
        net(n_augmented=3)
