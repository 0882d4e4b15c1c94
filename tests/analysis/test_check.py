import jax
import jax.numpy as jnp
import optax

import jaxmeta
from jaxmeta import analysis, rules

NET = jaxmeta.networks.mlp(
    1, hidden=(5,), activation=jnp.tanh, kernel_init=jax.nn.initializers.glorot_normal()
)
SETTINGS = {"rule": rules.sgd(0.1), "inner_steps": 3, "loss_fn": optax.squared_error}


def check(learner):
    episode = jaxmeta.tasks.sinusoid()(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode)
    return analysis.check_meta_gradient(learner, params, jax.random.key(2), episode)


def test_a_true_meta_gradient_passes():
    found = check(jaxmeta.maml(NET, **SETTINGS))
    assert found.passes() and found.relative_error < 1e-7
    assert found.gradient.shape == found.difference.shape == (8,)
    assert not jax.config.jax_enable_x64


def test_a_biased_one_does_not():
    found = check(jaxmeta.fomaml(NET, **SETTINGS))
    assert not found.passes() and found.relative_error > 0.01


def test_a_learner_with_a_mistake_does_not():
    learner = jaxmeta.maml(NET, **SETTINGS)

    def wrong(params, key, episode):
        loss, outputs = learner.loss(params, key, episode)
        return loss + 0.01 * (jnp.square(loss) - jax.lax.stop_gradient(jnp.square(loss))), outputs

    assert not check(learner._replace(loss=wrong)).passes()
