"""Memory options change the memory and not the meta-gradient."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import jaxmeta


def image_episode(key, *, n_way=3, size=13):
    key_support, key_query = jax.random.split(key)
    labels = jnp.eye(n_way)
    support = jax.random.uniform(key_support, (n_way, size, size, 1))
    query = jax.random.uniform(key_query, (n_way, size, size, 1))
    return jaxmeta.Episode(jaxmeta.Examples(support, labels), jaxmeta.Examples(query, labels))


def meta_gradient(net, episode, **settings):
    learner = jaxmeta.maml(net, rule=jaxmeta.rules.sgd(0.1), inner_steps=3, **settings)
    key = jax.random.key(1)
    params = jax.tree.map(lambda w: w.astype(float), learner.init(key, episode))
    return jax.jit(jax.grad(learner.loss, has_aux=True))(params, key, episode)[0].net


@pytest.mark.parametrize(
    "name",
    ["mlp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("conv4", "conv4 strided"))],
)
def test_second_order_modes_agree(x64, optimised, name):
    net = {
        "mlp": jaxmeta.networks.mlp(
            3, hidden=(8, 8), kernel_init=jax.nn.initializers.glorot_normal()
        ),
        "conv4": jaxmeta.networks.conv4(3, width=4),
        "conv4 strided": jaxmeta.networks.conv4(3, width=4, strided=True, spatial_mean=True),
    }[name]
    episode = image_episode(jax.random.key(0), size=17 if name == "conv4" else 8)
    plain = meta_gradient(net, episode, derivative="reverse", remat=False)
    assert optax.tree.norm(plain) > 1e-3
    for derivative, remat in [
        ("reverse", True),
        ("forward_over_reverse", False),
        ("forward_over_reverse", True),
    ]:
        other = meta_gradient(net, episode, derivative=derivative, remat=remat)
        error = optax.tree.norm(jax.tree.map(jnp.subtract, other, plain))
        assert error <= 1e-10 * optax.tree.norm(plain), (derivative, remat)
    chex.assert_tree_all_finite(plain)


@pytest.mark.parametrize(
    "derivative", ["reverse", pytest.param("forward_over_reverse", marks=pytest.mark.slow)]
)
def test_memory_does_not_grow_with_inner_steps(optimised, derivative):
    # Conv4-32 at 84x84, 5-way 5-shot, 15 queries per class: compiled, never run.
    labels = jnp.repeat(jnp.eye(5), 5, axis=0)
    queries = jnp.repeat(jnp.eye(5), 15, axis=0)
    episode = jaxmeta.Episode(
        jaxmeta.Examples(jnp.zeros((25, 84, 84, 3)), labels),
        jaxmeta.Examples(jnp.zeros((75, 84, 84, 3)), queries),
    )
    net = jaxmeta.networks.conv4(5, width=32)

    def peak(steps):
        learner = jaxmeta.maml(net, inner_steps=steps, derivative=derivative)
        key = jax.random.key(0)
        params = jax.eval_shape(learner.init, key, episode)
        compiled = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, key, episode)
        return compiled.compile().memory_analysis().temp_size_in_bytes

    assert peak(20) < 1.05 * peak(5)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"inner_steps": -1}, ValueError, "inner_steps must be >= 0, got -1"),
        ({"inner_steps": 1.5}, TypeError, "inner_steps must be an int, got 1.5"),
        ({"derivative": "second"}, ValueError, "derivative must be one of 'reverse', "),
        ({"inner_step": 1}, TypeError, "inner_step"),
    ],
)
def test_bad_arguments_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        jaxmeta.maml(jaxmeta.networks.mlp(1), **settings)
