import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta


def setting(learner, sample, seed=0):
    params = jax.jit(learner.init)(jax.random.key(seed), sample(jax.random.key(1)))
    return params, sample(jax.random.key(2)), sample(jax.random.key(3))


def sinusoid_learner(**settings):
    net = jaxmeta.networks.mlp(1, hidden=(8,), kernel_init=jax.nn.initializers.glorot_normal())
    return jaxmeta.cavia(net, loss_fn=optax.squared_error, **settings)


def test_one_step_from_a_context_of_zeros_by_hand():
    """A linear net: w x + u c, so d/dc mean (w x + u c - y)^2 at c = 0 is 2 mean(w x - y) u."""
    net = jaxmeta.networks.mlp(1, hidden=())
    learner = jaxmeta.cavia(
        net, context_size=2, rule=jaxmeta.rules.sgd(0.3), loss_fn=optax.squared_error
    )
    x, y = np.array([[1.0], [2.0]], np.float32), np.array([[3.0], [-1.0]], np.float32)
    episode = jaxmeta.make_episode(x, y, x, y)
    params = jax.jit(learner.init)(jax.random.key(0), episode)
    kernel = np.array([[0.5], [2.0], [-1.0]], np.float32)  # of x and of the two context numbers
    params.net["params"]["head"]["kernel"] = jnp.array(kernel)
    adapted = jax.jit(learner.adapt)(params, None, episode.support)
    # optax.squared_error is (w x + u c - y)^2 without a half.
    gradient = 2 * np.mean(0.5 * x - y) * kernel[1:, 0]
    np.testing.assert_allclose(adapted.context, -0.3 * gradient, rtol=1e-6)


def test_the_second_task_starts_from_zero_whatever_the_first_did():
    learner = sinusoid_learner(inner_steps=3)
    params, first, second = setting(learner, jaxmeta.tasks.sinusoid())
    fresh = jax.jit(learner.adapt)(params, None, second.support)
    jax.jit(learner.adapt)(params, None, first.support)
    after_another = jax.jit(learner.adapt)(params, None, second.support)
    np.testing.assert_array_equal(fresh.context, after_another.context)
    none = sinusoid_learner(inner_steps=0).adapt(params, None, first.support)
    np.testing.assert_array_equal(none.context, np.zeros(5))


def test_adaptation_leaves_the_weights_alone_and_the_outer_gradient_reaches_them(x64):
    learner = sinusoid_learner(inner_steps=2)
    params, episode, _ = setting(learner, jaxmeta.tasks.sinusoid())
    params = jax.tree.map(lambda leaf: leaf.astype(float), params)
    adapted = jax.jit(learner.adapt)(params, None, episode.support)
    assert set(adapted._fields) == {"context", "statistics"} and adapted.statistics == {}
    # Through the context too: cutting it there gives another gradient.
    cut = sinusoid_learner(inner_steps=2, derivative="first_order")
    whole, without = (
        jax.grad(learner.loss, has_aux=True)(params, None, episode)[0] for learner in (learner, cut)
    )
    assert optax.tree.norm(whole) > 0
    assert optax.tree.norm(optax.tree.sub(whole, without)) > 1e-3


def test_images_are_conditioned_through_film():
    net = jaxmeta.networks.conv4(2, width=4, strided=True)
    learner = jaxmeta.cavia(net, context_size=3)
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    part = jaxmeta.Examples(x, jnp.eye(2)[jnp.array([0, 0, 1, 1])])
    params = jax.jit(learner.init)(jax.random.key(1), jaxmeta.Episode(part, part))
    assert params.net["params"]["film"]["kernel"].shape == (3, 8)
    adapted = jax.jit(learner.adapt)(params, None, part)
    assert np.abs(adapted.context).max() > 0  # The first gradient at zero does not vanish.
    # A context of zeros changes nothing at the start.
    plain = {"params": {k: v for k, v in params.net["params"].items() if k != "film"}}
    np.testing.assert_allclose(
        net.apply(params.net, x, jnp.zeros(3)), net.apply(plain, x), rtol=1e-5, atol=1e-6
    )


def test_bad_values():
    with pytest.raises(ValueError, match="context_size must be >= 1, got 0"):
        jaxmeta.cavia(jaxmeta.networks.mlp(1), context_size=0)
