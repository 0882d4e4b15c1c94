"""One row per learner; each inherits every check that fits it."""

from types import SimpleNamespace
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.test_util import check_grads

import jaxmeta
from jaxmeta.learners import memory
from jaxmeta.learners.metric import (
    cosine,
    logistic_regression,
    nearest_neighbour,
    whole_classification,
)
from jaxmeta.training import init_state, make_step

pytestmark = pytest.mark.usefixtures("strict_ranks")
N_WAY, K_SHOT, Q_QUERIES, SIZE = 3, 2, 2, 5


def net(**settings):
    return jaxmeta.networks.mlp(
        N_WAY,
        hidden=(7,),
        activation=jnp.tanh,  # ReLU has no second derivative where it bends.
        kernel_init=jax.nn.initializers.glorot_normal(),
        **settings,
    )


def plain_pair():
    """Two functions around a module with batch normalisation."""
    module = net(normalise=True)
    return SimpleNamespace(init=module.init, apply=lambda params, x: module.apply(params, x))


class NnxNet(nnx.Module):
    """An NNX module with batch normalisation."""

    def __init__(self, rngs):
        self.first = nnx.Linear(SIZE, 7, rngs=rngs)
        self.norm = nnx.BatchNorm(7, rngs=rngs)
        self.head = nnx.Linear(7, N_WAY, rngs=rngs)

    def __call__(self, x):
        return self.head(jnp.tanh(self.norm(self.first(x))))


class Dropping(nn.Module):
    """A net with dropout."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(N_WAY)(nn.Dropout(0.3)(jnp.tanh(nn.Dense(7)(x))))


def of_images(learner):
    """A learner of images that takes each row `[SIZE]` for an image, its outer product."""

    def image(x):
        return x[:, :, None, None] * x[:, None, :, None]

    def images(part):
        return part._replace(x=image(part.x))

    return jaxmeta.Learner(
        lambda key, episode: learner.init(key, jaxmeta.Episode(*map(images, episode))),
        lambda params, key, support: learner.adapt(params, key, images(support)),
        lambda params, adapted, x: learner.predict(params, adapted, image(x)),
        lambda params, key, episode: learner.loss(
            params, key, jaxmeta.Episode(*map(images, episode))
        ),
    )


class Row(NamedTuple):
    learner: jaxmeta.Learner
    has_true_gradient: bool = True  # False: the derivative of `loss` is a direction of its own
    is_order_free: bool = True  # shuffling the support set changes nothing
    is_mean_query_loss: bool = True  # the value of `loss` is the query loss after adaptation
    is_apart: bool = False  # `loss` gives the outputs of training classes, not those of `predict`
    drops: bool = False  # `loss` draws a dropout for every row, `adapt` and `predict` do not


RULE = jaxmeta.rules.sgd(0.3)
ROWS = {
    "maml": Row(jaxmeta.maml(net(), rule=RULE, inner_steps=2)),
    "maml, adam": Row(
        jaxmeta.maml(net(), rule=jaxmeta.rules.from_optax(optax.adam(0.1, eps=0.01)), inner_steps=2)
    ),
    "maml, plain pair with BatchNorm": Row(jaxmeta.maml(plain_pair(), rule=RULE, inner_steps=2)),
    "maml, dropout": Row(
        jaxmeta.maml(Dropping(), rule=RULE, inner_steps=2), is_mean_query_loss=False, drops=True
    ),
    # FOMAML leaves second derivatives out of its meta-gradient.
    "fomaml": Row(jaxmeta.fomaml(net(), rule=RULE, inner_steps=2), has_true_gradient=False),
    "anil": Row(jaxmeta.anil(net(), rule=RULE, inner_steps=2)),
    # Reptile's meta-gradient is the distance travelled; its minibatches come in random order.
    "reptile": Row(
        jaxmeta.reptile(net(), rule=RULE, inner_steps=3, batch_size=4),
        has_true_gradient=False,
        is_order_free=False,
    ),
    "meta_sgd": Row(jaxmeta.meta_sgd(net(), lr=0.3)),
    "maml_plus_plus": Row(jaxmeta.maml_plus_plus(net(), lr=0.3, inner_steps=2, annealing_steps=0)),
    "maml_plus_plus, forward over reverse": Row(
        jaxmeta.maml_plus_plus(
            net(), lr=0.3, inner_steps=2, annealing_steps=0, derivative="forward_over_reverse"
        )
    ),
    "cavia": Row(jaxmeta.cavia(net(), inner_steps=2)),
    # Implicit derivatives are those of the converged solution, and the linear net's is reached.
    "imaml": Row(
        jaxmeta.imaml(net(), rule=jaxmeta.rules.sgd(0.2), inner_steps=300, lam=2.0, cg_steps=80)
    ),
    # The LSTMs' inputs count as constants.
    "meta_lstm": Row(jaxmeta.meta_lstm(net(), hidden=3, inner_steps=2), has_true_gradient=False),
    "learned_optimizer": Row(
        jaxmeta.learned_optimizer(net(), inner_steps=4, unroll=2),
        has_true_gradient=False,
        is_mean_query_loss=False,
    ),
    # Memories read the support set as a sequence.
    "mann": Row(
        jaxmeta.mann(controller=memory.lstm(6), memory=memory.lrua(5, 3, heads=2)),
        is_order_free=False,
    ),
    "snail": Row(jaxmeta.snail(net(), filters=3, attention=((4, 3), (4, 5))), is_order_free=False),
    "meta_networks": Row(
        jaxmeta.meta_networks(
            jaxmeta.networks.augmented(N_WAY, conv_blocks=0, hidden=4),
            hidden=3,
            # The logarithm of a small gradient bends too much for finite differences.
            preprocess=lambda grads: jnp.stack([1 + grads, 3 * grads], axis=-1),
        ),
        is_order_free=False,
    ),
    "prototypical": Row(jaxmeta.prototypical(net())),
    "prototypical, cosine": Row(jaxmeta.prototypical(net(), distance=cosine)),
    "prototypical, refined": Row(jaxmeta.prototypical(net(), refine_steps=2)),
    "prototypical, NNX with BatchNorm": Row(jaxmeta.prototypical(jaxmeta.from_nnx(NnxNet))),
    "prototypical, dropout": Row(
        jaxmeta.prototypical(Dropping()), is_mean_query_loss=False, drops=True
    ),
    "matching": Row(jaxmeta.matching(net())),
    # The LSTMs read the support rows one after the other.
    "matching, full context": Row(jaxmeta.matching(net(), full_context=True), is_order_free=False),
    "ridge": Row(jaxmeta.ridge(net(), lam=0.1)),
    # Losses of pairs and of scores by themselves.
    "siamese": Row(jaxmeta.siamese(net()), is_mean_query_loss=False),
    "relation": Row(jaxmeta.relation(net()), is_mean_query_loss=False),
    "hypernetwork": Row(
        jaxmeta.hypernetwork(
            net(), encoder=jaxmeta.networks.set_encoder(3, hidden=()), hidden=(4,), code_size=2
        )
    ),
    "hypernetwork, chunks of the head": Row(
        jaxmeta.hypernetwork(
            net(),
            encoder=jaxmeta.networks.set_encoder(3, hidden=()),
            generated=lambda path: "head" in path,
            chunk_size=4,
            hidden=(4,),
            code_size=2,
        )
    ),
    "conditional": Row(
        jaxmeta.conditional(net(), encoder=jaxmeta.networks.set_encoder(3, hidden=()))
    ),
    "conditional, per class": Row(
        jaxmeta.conditional(
            net(), encoder=jaxmeta.networks.set_encoder(3, hidden=(), per_class=True)
        )
    ),
    # The support set as a sequence.
    "conditional, wavenet": Row(
        jaxmeta.conditional(
            jaxmeta.networks.conditioned(net(), net()),
            encoder=jaxmeta.networks.wavenet_encoder(3, width=2, layers=2, embed=net()),
        ),
        is_order_free=False,
    ),
    # Without the shared features, whose ReLUs can meet zeros under biases that start at zero.
    "hypertransformer": Row(
        of_images(
            jaxmeta.hypertransformer(
                channels=2, blocks=1, shared_features=0, label_size=3, transformer_layers=1
            )
        )
    ),
    "logistic_regression": Row(logistic_regression(), has_true_gradient=False),
    # The loss is of the training classes, and averages of statistics move by a direction.
    "whole_classification": Row(
        whole_classification(net(normalise=True)),
        has_true_gradient=False,
        is_mean_query_loss=False,
        is_apart=True,
    ),
    "nearest_neighbour": Row(nearest_neighbour(), has_true_gradient=False),
}
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
learners = pytest.mark.parametrize(  # what rows of the same learner do alike is of the slow set
    "row",
    [
        pytest.param(row, marks=pytest.mark.slow if "," in name else ())
        for name, row in ROWS.items()
    ],
    ids=ROWS.keys(),
)


def sample(key):
    key_support, key_query = jax.random.split(key)
    return jaxmeta.Episode(
        jaxmeta.Examples(
            jax.random.normal(key_support, (N_WAY * K_SHOT, SIZE)),
            jnp.repeat(jnp.eye(N_WAY), K_SHOT, axis=0),
        ),
        jaxmeta.Examples(
            jax.random.normal(key_query, (N_WAY * Q_QUERIES, SIZE)),
            jnp.repeat(jnp.eye(N_WAY), Q_QUERIES, axis=0),
        ),
    )


def setting(row):
    key_params, key_episode, key_learner = jax.random.split(jax.random.key(0), 3)
    episode = sample(key_episode)
    params = jax.jit(row.learner.init)(key_params, episode)
    if jax.config.jax_enable_x64:  # Flax parameters stay float32.
        params = jax.tree.map(lambda leaf: leaf.astype(float), params)
    return params, key_learner, episode


@rows
def test_interface(row):
    params, key, episode = setting(row)
    adapted = jax.jit(row.learner.adapt)(params, key, episode.support)
    outputs = jax.jit(row.learner.predict)(params, adapted, episode.query.x)
    chex.assert_shape(outputs, (N_WAY * Q_QUERIES, N_WAY))
    loss, loss_outputs = jax.jit(row.learner.loss)(params, key, episode)
    chex.assert_shape(loss, ())
    if row.drops or row.is_apart:
        assert np.abs(outputs - loss_outputs).max() > 1e-3
    else:
        chex.assert_trees_all_close(outputs, loss_outputs, rtol=1e-5)
    if row.is_mean_query_loss:
        expected = optax.softmax_cross_entropy(outputs, episode.query.y).mean()
        chex.assert_trees_all_close(loss, expected, rtol=1e-5)


@learners
def test_jit_equals_eager(row):
    arguments = setting(row)
    chex.assert_trees_all_close(
        jax.jit(row.learner.loss)(*arguments), row.learner.loss(*arguments), rtol=1e-4, atol=1e-6
    )


@learners
def test_vmap_equals_a_loop(row):
    params, _, _ = setting(row)
    keys = jax.random.split(jax.random.key(3), 3)
    episodes = jax.vmap(sample)(keys)
    together = jax.jit(jax.vmap(row.learner.loss, in_axes=(None, 0, 0)))(params, keys, episodes)
    loss = jax.jit(row.learner.loss)
    for i in range(3):
        alone = loss(params, keys[i], jax.tree.map(lambda leaf, i=i: leaf[i], episodes))
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-4, atol=1e-6
        )


@learners
def test_three_steps_trace_the_loss_once(row):
    calls = []

    def counting_loss(params, key, episode):
        calls.append(1)
        return row.learner.loss(params, key, episode)

    learner = row.learner._replace(loss=counting_loss)
    tx = optax.sgd(0.01)
    state = init_state(jax.random.key(0), learner, tx, sample)
    step = make_step(learner, tx, sample, meta_batch_size=2)
    for seed in range(3):
        state, info = step(state, jax.random.key(seed))
        assert np.isfinite(info.loss).all()
    assert len(calls) == 1
    assert int(state.step) == 3


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS.values() if row.has_true_gradient],
    ids=[name for name, row in ROWS.items() if row.has_true_gradient],
)
def test_meta_gradient_against_finite_differences(x64, row):
    params, key, episode = setting(row)
    check_grads(
        jax.jit(lambda params: row.learner.loss(params, key, episode)[0]),
        (params,),
        order=1,
        modes=["rev"],
        rtol=1e-5,
        eps=1e-5,  # At the default of 1e-4 the LSTMs' third derivatives show.
    )


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS.values() if row.is_order_free],
    ids=[name for name, row in ROWS.items() if row.is_order_free],
)
def test_order_of_the_support_set_changes_nothing(x64, row):
    params, key, episode = setting(row)
    order = jax.random.permutation(jax.random.key(5), N_WAY * K_SHOT)
    shuffled = jax.tree.map(lambda leaf: leaf[order], episode.support)
    adapt, predict = jax.jit(row.learner.adapt), jax.jit(row.learner.predict)
    before, after = (
        predict(params, adapt(params, key, support), episode.query.x)
        for support in (episode.support, shuffled)
    )
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-12)


@rows
def test_predictions_are_of_each_query_by_itself(x64, row):
    params, key, episode = setting(row)
    predict = jax.jit(row.learner.predict)
    adapted = jax.jit(row.learner.adapt)(params, key, episode.support)
    together = predict(params, adapted, episode.query.x)
    changed = predict(params, adapted, episode.query.x.at[1:].set(9.0))
    np.testing.assert_allclose(changed[0], together[0], rtol=1e-12)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=pytest.mark.slow if "," in name else ())
        for name, row in ROWS.items()
        if not row.drops  # What is dropped depends on the number of rows.
    ],
    ids=[name for name, row in ROWS.items() if not row.drops],
)
def test_padding_and_unlabelled_rows_do_not_count(x64, row):
    params, key, episode = setting(row)
    support, query = episode
    extended = jaxmeta.Examples(
        jnp.concatenate([query.x, jnp.full((1, SIZE), jnp.nan), jnp.full((1, SIZE), 7.0)]),
        jnp.concatenate([query.y, jnp.eye(N_WAY)[:1], jnp.zeros((1, N_WAY))]),
        jnp.array([True] * len(query.y) + [False, True]),
    )
    if row.is_order_free:  # The others draw an order for all rows, or refuse other numbers of them.
        support = jaxmeta.Examples(
            jnp.concatenate([support.x, jnp.full((2, SIZE), jnp.nan)]),
            jnp.concatenate([support.y, jnp.full((2, N_WAY), jnp.nan)]),
            jnp.array([True] * len(support.y) + [False] * 2),
        )
    compute = jax.jit(row.learner.loss)
    loss, _ = compute(params, key, episode)
    padded, _ = compute(params, key, jaxmeta.Episode(support, extended))
    np.testing.assert_allclose(padded, loss, rtol=1e-10)


PADDING = np.array([3, 5])  # One row of two, of the second and of the third class.


def hostile(episode, dtype):
    """The same episode with a row of zeros, and NaN in rows that are padding, in both sets."""

    def part(examples):
        x = examples.x.at[0].set(0).at[PADDING].set(jnp.nan)
        y = examples.y.at[PADDING].set(jnp.nan)
        is_valid = jnp.ones(len(y), bool).at[PADDING].set(False)
        return jaxmeta.Examples(x.astype(dtype), y.astype(dtype), is_valid)

    return jaxmeta.Episode(*map(part, episode))


def with_a_dead_unit(params):
    """The first unit of every first layer is saturated: no gradient reaches what comes before."""

    def saturated(path, leaf):
        names = [jax.tree_util.keystr((key,), simple=True) for key in path]
        is_bias = names[-1].endswith("bias") and "dense_0" in "/".join(names)
        return leaf.at[..., 0].set(-50) if is_bias and leaf.ndim else leaf

    return jax.tree_util.tree_map_with_path(saturated, params)


@pytest.mark.parametrize(
    ("of_params", "of_data"),
    [
        ("bfloat16", "float32"),
        pytest.param("float32", "float32", marks=pytest.mark.slow),
        pytest.param("bfloat16", "bfloat16", marks=pytest.mark.slow),
        pytest.param("float16", "float16", marks=pytest.mark.slow),
        pytest.param("float32", "float64", marks=pytest.mark.slow),
        pytest.param("float64", "float32", marks=pytest.mark.slow),
    ],
)
@learners
def test_value_and_slopes_are_finite_at_zero_padding_and_dead_units(row, of_params, of_data):
    """Rows of zeros, whose embeddings are zero, padding that holds NaN, and a dead unit."""

    @jax.jit
    def slopes(params, key, episode):
        def gradient(params):
            return jax.grad(lambda params: row.learner.loss(params, key, episode)[0])(params)

        # Of second derivatives, the products with a vector.
        grads, pull_back = jax.vjp(gradient, params)
        return row.learner.loss(params, key, episode), grads, pull_back(grads)

    with jax.enable_x64("float64" in (of_params, of_data)):
        params, key, episode = setting(row)
        params = jax.tree.map(
            lambda leaf: (
                leaf.astype(of_params) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
            ),
            params,
        )
        episode = hostile(episode, of_data)
        for start in (params, with_a_dead_unit(params)):
            (loss, outputs), grads, products = slopes(start, key, episode)
            assert loss.shape == () and outputs.shape == episode.query.y.shape
            assert np.isfinite(outputs.astype(float)).all()
            for leaf in jax.tree.leaves((loss, grads, products)):
                assert np.isfinite(leaf.astype(float)).all()
