"""Forward mode through what has a derivative in reverse mode alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.inner.reverse_only import reverse_only

NET = jaxmeta.networks.mlp(1, hidden=(3,), activation=jnp.tanh)
LEARNERS = {
    "forward over reverse": (
        jaxmeta.maml(
            NET, inner_steps=2, loss_fn=optax.squared_error, derivative="forward_over_reverse"
        ),
        'take derivative="reverse"',
    ),
    "imaml": (
        jaxmeta.imaml(NET, inner_steps=2, loss_fn=optax.squared_error),
        r"take reverse mode twice, jax.jacrev\(jax.grad",
    ),
}


def along(loss, params):
    return jax.jvp(loss, (params,), (params,))


FORWARD = {
    "jvp": along,
    "jit of jvp": lambda loss, params: jax.jit(lambda params: along(loss, params))(params),
    "second derivatives": lambda loss, params: jax.jvp(jax.grad(loss), (params,), (params,)),
    "hessian": lambda loss, params: jax.hessian(loss)(params),
    "shapes of hessian": lambda loss, params: jax.eval_shape(jax.hessian(loss), params),
}


@pytest.mark.parametrize("forward", FORWARD.values(), ids=FORWARD)
@pytest.mark.parametrize(("learner", "words"), LEARNERS.values(), ids=LEARNERS)
def test_forward_mode_is_refused_with_what_to_do(learner, words, forward):
    episode = jaxmeta.tasks.sinusoid(k_shot=3, q_queries=3)(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    with pytest.raises(TypeError, match=words):
        forward(lambda params: learner.loss(params, None, episode)[0], params)


def test_reverse_mode_sees_an_identity(x64):
    def plain(x):
        return jnp.sum(jnp.sin(x) * x)

    def guarded(x):
        return plain(reverse_only({"x": x, "n": 3}, words="no")["x"])

    x = jax.random.normal(jax.random.key(0), (4,))
    chex.assert_trees_all_equal(jax.grad(guarded)(x), jax.grad(plain)(x))
    twice = jax.jit(jax.jacrev(jax.grad(guarded)))(x)
    np.testing.assert_allclose(twice, jax.jacrev(jax.grad(plain))(x), rtol=1e-12)
    many = jax.vmap(jax.grad(guarded))(jnp.stack([x, 2 * x]))
    np.testing.assert_array_equal(many[1], jax.grad(plain)(2 * x))
