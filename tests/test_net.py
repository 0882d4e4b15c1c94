"""Nets of every make: what a learner gets out of them, and what is refused at the door."""

from types import SimpleNamespace

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxmeta
from jaxmeta.learner import Examples
from jaxmeta.net import as_net
from jaxmeta.networks import BatchNorm, mlp

KEY = jax.random.key(0)
NET = mlp(3, hidden=(4,), normalise=True, kernel_init=nn.initializers.glorot_normal())


def pair(module):
    """The same net as two functions, of which nothing is known."""
    return SimpleNamespace(init=module.init, apply=lambda params, x: module.apply(params, x))


class Nnx(nnx.Module):
    """A net with batch normalisation and perhaps dropout."""

    def __init__(self, rngs, rate=0.0):
        self.first = nnx.Linear(2, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.drop(jnp.tanh(self.norm(self.first(x)))))


def examples(rows, seed, scale=1.0):
    x = scale * jax.random.normal(jax.random.key(seed), (rows, 2))
    return Examples(x, jnp.eye(3)[jnp.arange(rows) % 3])


EPISODE = jaxmeta.Episode(examples(6, 1), examples(6, 2, 2.0))
NORMALISED = {"linen": NET, "pair": pair(NET), "nnx": jaxmeta.from_nnx(Nnx)}
FACTORIES = {
    "maml": lambda net: jaxmeta.maml(net, inner_steps=1, derivative="forward_over_reverse"),
    "prototypical": jaxmeta.prototypical,
}
factories = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)


@pytest.mark.parametrize("net", NORMALISED.values(), ids=NORMALISED)
@factories
def test_another_query_moves_no_prediction(factory, net):
    learner = factory(net)
    params = learner.init(KEY, EPISODE)
    adapted = jax.jit(learner.adapt)(params, KEY, EPISODE.support)
    predict = jax.jit(learner.predict)
    x = EPISODE.query.x
    together, moved = predict(params, adapted, x), predict(params, adapted, x.at[1:].set(9.0))
    np.testing.assert_array_equal(moved[0], together[0])
    _, outputs = jax.jit(learner.loss)(params, KEY, EPISODE)
    np.testing.assert_allclose(outputs, together, rtol=1e-5, atol=1e-6)
    # And asked otherwise it does.
    learner = jaxmeta.transductive(learner)
    adapted = jax.jit(learner.adapt)(params, KEY, EPISODE.support)
    together, moved = predict(params, adapted, x), predict(params, adapted, x.at[1:].set(9.0))
    assert np.abs(moved[0] - together[0]).max() > 1e-3


@factories
def test_a_pair_around_a_linen_module_has_its_numbers(factory):
    gradients = []
    for net in (NET, pair(NET)):
        learner = factory(net)
        params = learner.init(KEY, EPISODE)
        gradients.append(jax.jit(jax.grad(learner.loss, has_aux=True))(params, KEY, EPISODE))
    chex.assert_trees_all_equal(*gradients)


@pytest.mark.parametrize("net", NORMALISED.values(), ids=NORMALISED)
def test_padding_of_a_set_does_not_count(net):
    net = as_net(net)
    params = net.init(KEY, EPISODE.support.x)
    whole = EPISODE.support
    outputs, statistics = net.observe(params, whole)
    padded = Examples(
        jnp.concatenate([whole.x, jnp.full((2, 2), jnp.nan)]),
        jnp.concatenate([whole.y, jnp.ones((2, 3))]),
        jnp.arange(8) < 6,
    )
    padded_outputs, same = net.observe(params, padded)
    np.testing.assert_allclose(padded_outputs[:6], outputs, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(same, statistics, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        net.apply(net.under(params, statistics), whole.x), outputs, rtol=1e-5, atol=1e-6
    )


def test_batch_norm_of_nnx_against_numpy(x64):
    rng = np.random.default_rng(0)
    x, support = rng.normal(2.0, 3.0, (4, 2)), rng.normal(size=(5, 2))
    net = jaxmeta.from_nnx(lambda rngs: nnx.BatchNorm(2, epsilon=1e-3, rngs=rngs))
    params = {"scale": jnp.array([2.0, 3.0]), "bias": jnp.array([1.0, -1.0])}
    chex.assert_trees_all_equal_structs(net.init(KEY, x), params)
    _, statistics = net.observe(params, Examples(jnp.asarray(support), None))
    for by, under in ((x, params), (support, net.under(params, statistics))):
        expected = (x - by.mean(0)) / np.sqrt(by.var(0) + 1e-3) * [2.0, 3.0] + [1.0, -1.0]
        np.testing.assert_allclose(net.apply(under, x), expected, rtol=1e-10)
    # The statistics are differentiated through: scaling the support set changes nothing at c = 1.
    slope = jax.grad(
        lambda c: net.observe(params, Examples(c * jnp.asarray(support), None))[0][0, 0]
    )(1.0)
    assert abs(slope) < 2e-2


def test_a_pair_may_give_statistics_of_its_own():
    """A hand-written normalisation by the mean of a set, which nothing else could know of."""

    def observe(params, examples):
        mean = examples.x.mean(0)
        return (examples.x - mean) @ params["w"], mean

    net = SimpleNamespace(
        init=lambda key, x: {"w": jnp.ones((2, 3)), "mean": jnp.zeros(2)},
        apply=lambda params, x: (x - params["mean"]) @ params["w"],
        observe=observe,
        under=lambda params, mean: {**params, "mean": mean},
    )
    learner = jaxmeta.maml(net, inner_steps=0)
    params = learner.init(KEY, EPISODE)
    adapted = learner.adapt(params, KEY, EPISODE.support)
    expected = (EPISODE.query.x - EPISODE.support.x.mean(0)) @ jnp.ones((2, 3))
    np.testing.assert_allclose(
        learner.predict(params, adapted, EPISODE.query.x), expected, rtol=1e-5, atol=1e-6
    )
    whole = jaxmeta.Net(**vars(net))
    assert as_net(whole) is whole


def test_a_net_without_batch_norm_keeps_no_statistics():
    for net in (mlp(2), pair(mlp(2))):
        net = as_net(net)
        params = net.init(KEY, EPISODE.support.x)
        outputs, statistics = net.observe(params, EPISODE.support)
        assert statistics == {} and net.under(params, {}) is params
        np.testing.assert_array_equal(outputs, net.apply(params, EPISODE.support.x))


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint], ids=["jit", "checkpoint"])
def test_statistics_that_could_not_come_out_are_refused(transform):
    net = SimpleNamespace(init=NET.init, apply=transform(NET.apply))
    learner = jaxmeta.prototypical(net)
    params = learner.init(KEY, EPISODE)
    net.apply(params, EPISODE.support.x)  # What jit keeps of another call does not hide it.
    with pytest.raises(ValueError, match="cannot leave a jit, scan, vmap or checkpoint"):
        learner.adapt(params, KEY, EPISODE.support)
    plain = mlp(3, hidden=())
    learner = jaxmeta.prototypical(SimpleNamespace(init=plain.init, apply=transform(plain.apply)))
    learner.adapt(learner.init(KEY, EPISODE), KEY, EPISODE.support)


class FlaxNorm(nn.Module):
    """Keeps running statistics."""

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True)(nn.Dense(3)(x))


@factories
@pytest.mark.parametrize("make", [lambda: FlaxNorm(), lambda: pair(FlaxNorm())], ids=["it", "pair"])
def test_running_statistics_are_no_weights(factory, make):
    with pytest.raises(ValueError, match=r"collection 'batch_stats'.* jaxmeta\.networks\.Ba"):
        factory(make()).init(KEY, EPISODE)


class Spectral(nnx.Module):
    """Keeps running statistics in another layer."""

    def __init__(self, rngs):
        self.inner = nnx.SpectralNorm(nnx.Linear(2, 3, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.inner(x)


def test_what_else_runs_in_an_nnx_module_is_refused_by_name():
    with pytest.raises(ValueError, match="the layer SpectralNorm with running statistics"):
        jaxmeta.from_nnx(Spectral)


def plain_function(x):
    """No pair."""
    return x


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nnx.Linear(2, 3, rngs=nnx.Rngs(0)), r"the NNX module Linear: write jaxmeta.from_nnx\("),
        (Nnx, r"got the class Nnx: write Nnx\("),
        (FlaxNorm, r"got the class FlaxNorm: write FlaxNorm\("),
        (plain_function, r"apply\(params, x\), got the function plain_function"),
        (None, "got NoneType"),
        (SimpleNamespace(apply=plain_function), r"init\(key, x\)"),
        (SimpleNamespace(init=1, apply=1, observe=1), r"init\(key, x\)"),
        (
            SimpleNamespace(init=plain_function, apply=plain_function, observe=plain_function),
            "both of observe and under",
        ),
    ],
    ids=["nnx", "nnx class", "class", "function", "None", "no init", "numbers", "observe alone"],
)
def test_what_is_no_net_is_refused_at_the_door(net, message):
    for factory in (jaxmeta.maml, jaxmeta.prototypical, jaxmeta.hypernetwork, jaxmeta.cavia):
        with pytest.raises(TypeError, match=message):
            factory(net)
    with pytest.raises(TypeError, match=r"^encoder must be"):
        jaxmeta.conditional(NET, encoder=plain_function)


def test_from_nnx_gives_the_numbers_of_the_module():
    module = nnx.Linear(3, 2, rngs=nnx.Rngs(1))
    net = jaxmeta.from_nnx(module)
    x = jax.random.normal(jax.random.key(0), (4, 3))
    params = net.init(jax.random.key(7), x)
    np.testing.assert_array_equal(net.apply(params, x), x @ module.kernel[...] + module.bias[...])


def test_from_nnx_builds_from_the_key():
    net = jaxmeta.from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    x = jnp.ones((1, 3))
    first, second = (net.init(jax.random.key(seed), x) for seed in (0, 1))
    assert not np.array_equal(first["kernel"], second["kernel"])
    grads = jax.grad(lambda params: net.apply(params, x).sum())(first)
    np.testing.assert_array_equal(grads["bias"], [1, 1])


def test_from_nnx_leaves_a_module_as_it_is():
    module = Nnx(nnx.Rngs(0), rate=0.5)
    before = module.norm.mean[...]
    net = jaxmeta.from_nnx(module)
    params = net.init(KEY, EPISODE.support.x)
    net.observe(params, EPISODE.support)
    net.keyed(KEY).apply(params, EPISODE.support.x)
    assert module.drop.deterministic is False and module.norm.use_running_average is False
    np.testing.assert_array_equal(module.norm.mean[...], before)


def test_a_builder_s_module_is_not_left_in_training_mode():
    def attention(rngs):
        return nnx.MultiHeadAttention(1, 2, decode=False, dropout_rate=0.5, rngs=rngs)

    for net in (jaxmeta.from_nnx(attention), jaxmeta.from_nnx(lambda rngs: Nnx(rngs, 0.5))):
        params = net.init(KEY, EPISODE.support.x)
        apply = jax.jit(net.apply)
        once, twice = (apply(params, EPISODE.support.x) for _ in range(2))
        np.testing.assert_array_equal(once, twice)


class Halves(nn.Module):
    """The inputs themselves, dropped out, three columns of them."""

    stated: bool | None = None

    @nn.compact
    def __call__(self, x):
        self.param("unused", nn.initializers.zeros, (1,))
        x = nn.Dropout(0.5, deterministic=self.stated)(x)
        return jnp.concatenate([x, x[:, :1]], axis=1)


class WithMode(nn.Module):
    """Told in a usual way whether it trains."""

    @nn.compact
    def __call__(self, x, train=False):
        self.param("unused", nn.initializers.zeros, (1,))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return jnp.concatenate([x, x[:, :1]], axis=1)


class NnxHalves(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs):
        self.unused = nnx.Param(jnp.zeros(1))
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        x = self.drop(x)
        return jnp.concatenate([x, x[:, :1]], axis=1)


def drawing(training_key=None):
    """A hand-written net that says by its own field what it draws."""

    def apply(params, x):
        if training_key is not None:
            x = jnp.where(jax.random.bernoulli(training_key, shape=x.shape), 2 * x, 0)
        return jnp.concatenate([x, x[:, :1]], axis=1)

    return jaxmeta.Net(
        init=lambda key, x: {"unused": jnp.zeros(1)},
        apply=apply,
        observe=lambda params, examples: (apply(params, examples.x), {}),
        under=lambda params, statistics: params,
        keyed=drawing,
    )


DROPPED = {
    "linen": Halves(),
    "pair": pair(Halves()),
    "mode": WithMode(),
    "nnx": jaxmeta.from_nnx(NnxHalves),
    "hand-written": drawing(),
}


@pytest.mark.parametrize("net", DROPPED.values(), ids=DROPPED)
def test_dropout_is_on_in_the_loss_of_maml_and_off_elsewhere(net):
    learner = jaxmeta.maml(net, inner_steps=0)
    episode = jaxmeta.Episode(EPISODE.support, examples(300, 5))
    params = learner.init(KEY, episode)
    adapted = jax.jit(learner.adapt)(params, KEY, episode.support)
    x = episode.query.x
    np.testing.assert_array_equal(jax.jit(learner.predict)(params, adapted, x)[:, :2], x)
    _, outputs = jax.jit(learner.loss)(params, KEY, episode)
    share = outputs[:, :2] / x
    assert np.isclose(share, 0).sum() + np.isclose(share, 2).sum() == 600
    assert abs(share.mean() - 1) < 3 * 600**-0.5  # Three standard errors.
    _, others = jax.jit(learner.loss)(params, jax.random.key(1), episode)
    assert not np.allclose(others, outputs)


def test_dropout_in_prototypical_networks():
    """The loss by hand: centres and queries, each of rows that are dropped out."""
    learner = jaxmeta.prototypical(drawing())
    params = learner.init(KEY, EPISODE)
    dropped = drawing(KEY)
    support, query = (dropped.apply(params, part.x) for part in EPISODE)
    centres = EPISODE.support.y.T @ support / 2
    logits = -jnp.sum(jnp.square(query[:, None] - centres), -1)
    loss, outputs = learner.loss(params, KEY, EPISODE)
    np.testing.assert_allclose(outputs, logits, rtol=1e-5, atol=1e-6)
    expected = optax.softmax_cross_entropy(logits, EPISODE.query.y).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    adapted = learner.adapt(params, KEY, EPISODE.support)
    centres = EPISODE.support.y.T @ EPISODE.support.x / 2
    np.testing.assert_allclose(adapted.centres[:, :2], centres, rtol=1e-5, atol=1e-6)


def test_what_dropout_needs_is_said():
    learner = jaxmeta.maml(Halves(stated=False))
    with pytest.raises(ValueError, match="leave `deterministic` out"):
        learner.init(KEY, EPISODE)
    learner = jaxmeta.maml(Halves(), inner_steps=0)
    with pytest.raises(ValueError, match="needs the random key of a loss, got None"):
        learner.loss(learner.init(KEY, EPISODE), None, EPISODE)


def test_dropout_where_the_loss_is_the_test_too_is_refused():
    learner = jaxmeta.mann(Halves())
    params = learner.init(KEY, EPISODE)
    stream = jaxmeta.Stream(*EPISODE.query)
    learner.loss(params, KEY, EPISODE)
    with pytest.raises(ValueError, match="take nets without dropout"):
        learner.loss(params, KEY, stream)
    world = jaxmeta.rl.environments.bernoulli_bandits(3)
    agent = jaxmeta.rl.maml_rl(Halves(), world, inner_lr=0.1, inner_steps=1, episodes=2)
    params = agent.init(KEY, jnp.full(3, 0.5))
    with pytest.raises(ValueError, match="take nets without dropout"):
        agent.collect(params, KEY, jnp.full(3, 0.5))


def test_batch_norm_in_two_pieces_of_a_pair():
    """Layers are told apart by the order of their calls, one called twice as well."""
    norm = BatchNorm()
    params = norm.init(KEY, jnp.zeros((1, 2)))
    net = as_net(
        SimpleNamespace(
            init=norm.init,
            apply=lambda params, x: norm.apply(params, jnp.exp(norm.apply(params, x))),
        )
    )
    outputs, statistics = net.observe(params, EPISODE.support)
    assert len(statistics["statistics"]) == 2
    under = net.under(params, statistics)
    np.testing.assert_allclose(net.apply(under, EPISODE.support.x[:1]), outputs[:1], rtol=1e-5)
