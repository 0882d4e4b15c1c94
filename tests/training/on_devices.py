"""The same step on 1, 2 and 8 devices of this machine; prints what differs.

Every learner here takes a gradient inside its loss: MAML and meta networks by themselves, the
others through a step of fine-tuning on the support set put around them. Summed over devices, such a
gradient would mix their tasks, and nothing but the numbers would show it.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta.training import init_state, make_step

N_WAY, SIZE, BATCH = 3, 5, 8
TX = optax.sgd(0.1)


def net():
    kernel_init = jax.nn.initializers.glorot_normal()
    return jaxmeta.networks.mlp(N_WAY, hidden=(7,), activation=jnp.tanh, kernel_init=kernel_init)


def fine_tuned(learner):
    """The learner's loss after one step of descent on its own loss of the support set."""

    def loss(params, key, episode):
        support = jaxmeta.Episode(episode.support, episode.support)
        grads = jax.grad(learner.loss, has_aux=True)(params, key, support)[0]
        return learner.loss(
            optax.apply_updates(params, jax.tree.map(lambda g: -g, grads)), key, episode
        )

    return learner._replace(loss=loss)


LEARNERS = {
    "gradient": jaxmeta.maml(net(), rule=jaxmeta.rules.sgd(0.5), inner_steps=2),
    "metric": fine_tuned(jaxmeta.prototypical(net())),
    "memory": jaxmeta.meta_networks(
        jaxmeta.networks.augmented(N_WAY, conv_blocks=0, hidden=4), hidden=3
    ),
    "hyper": fine_tuned(
        jaxmeta.conditional(net(), encoder=jaxmeta.networks.set_encoder(3, hidden=()))
    ),
}


def sample(key):
    x = jax.random.normal(key, (2, N_WAY * 2, SIZE))
    y = jnp.repeat(jnp.eye(N_WAY), 2, axis=0)
    return jaxmeta.Episode(jaxmeta.Examples(x[0], y), jaxmeta.Examples(x[1], y))


def numbers(learner, devices):
    """Parameters and losses after step, in one list."""
    state = init_state(jax.random.key(0), learner, TX, sample)
    step = make_step(learner, TX, sample, meta_batch_size=BATCH, devices=devices)
    state, info = step(state, jax.random.key(1))
    return np.concatenate(
        [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves((state.params, info))]
    )


def main():
    found = {}
    for family, learner in LEARNERS.items():
        alone = numbers(learner, 1)
        for devices in (2, 8):
            error = np.abs(numbers(learner, devices) - alone).max() / np.abs(alone).max()
            found[f"{family}, {devices} devices"] = float(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
