"""A step whose numbers are not finite changes nothing, and says so."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta.training import MetaState, make_step


def test_a_skipped_step_says_so():
    # The gradient of sqrt(w) is infinite at the start of w = 0, and w^2 has none there.
    def learner(loss):
        return jaxmeta.Learner(
            lambda key, episode: jnp.zeros(()),
            lambda params, key, support: params,
            lambda params, adapted, x: adapted * x,
            lambda params, key, episode: (loss(params), episode.query.y),
        )

    rows = jaxmeta.Examples(jnp.ones((1, 1)), jnp.ones((1, 1)))
    tx = optax.sgd(0.5)
    for loss, is_skipped, after in ((jnp.sqrt, True, 0.0), (lambda w: w**2 - w, False, 0.5)):
        step = make_step(
            learner(loss), tx, lambda key: jaxmeta.Episode(rows, rows), meta_batch_size=2
        )
        params = jnp.zeros(())
        state, info = step(
            MetaState(params, tx.init(params), jnp.zeros((), jnp.int32)), jax.random.key(0)
        )
        assert info.is_skipped.tolist() == [is_skipped]
        assert float(state.params) == after
        assert int(state.step) == (not is_skipped)


def test_the_norm_of_a_16_bit_gradient_does_not_overflow():
    # 3e2 squared is beyond float16, in which the norm would be infinite and the step skipped.
    def loss(params, key, episode):
        del key
        return 300 * params.astype(jnp.float32), episode.query.y

    learner = jaxmeta.Learner(
        lambda key, episode: jnp.zeros((), jnp.float16),
        lambda params, key, support: params,
        lambda params, adapted, x: adapted * x,
        loss,
    )
    rows = jaxmeta.Examples(jnp.ones((1, 1)), jnp.ones((1, 1)))
    tx = optax.sgd(0.5)
    step = make_step(learner, tx, lambda key: jaxmeta.Episode(rows, rows), meta_batch_size=1)
    params = jnp.zeros((), jnp.float16)
    state, info = step(
        MetaState(params, tx.init(params), jnp.zeros((), jnp.int32)), jax.random.key(0)
    )
    np.testing.assert_allclose(info.grad_norm, [300])
    assert not info.is_skipped.any()
    assert float(state.params) == -150
