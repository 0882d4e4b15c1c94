"""jax-meta's MAML, tasks under its `vmap`, on the weights that jaxmeta wrote. Images only."""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax_meta.metalearners.maml import MAML
from jax_meta.modules.conv import Conv4

OUTER_LR = 1e-3


class Part(NamedTuple):
    """What the library's step takes as `train` and `test`."""

    inputs: jax.Array  # [B, M, H, W, C]
    targets: jax.Array  # [B, M] int


def package():
    """Name and version."""
    return {"jax": jax.__version__}


def build(peer, name, workload, folder):
    """A function that makes one meta-step and returns its loss and gradient norm."""
    del peer
    arrays = dict(np.load(folder / f"{name}.npz"))

    @hk.without_apply_rng
    @hk.transform_with_state
    def model(x, is_training):
        return hk.Linear(workload.n_way)(Conv4(workload.width)(x, is_training))

    learner = MAML(model, num_steps=workload.inner_steps, alpha=workload.inner_lr)
    train, test = (
        Part(jnp.asarray(arrays[f"{part}_x"]), jnp.asarray(arrays[f"{part}_y"].argmax(-1)))
        for part in ("support", "query")
    )
    # Its logs have no gradient norm; a second optimiser state carries it out.
    tx = optax.chain(_norm(), optax.adam(OUTER_LR))
    params, state = learner.init(jax.random.key(0), tx, train.inputs[0], True)
    params = _loaded(params, arrays)

    def step():
        nonlocal params, state
        params, state, logs = learner.step(params, state, train, test, True)
        return float(jnp.mean(logs["outer/loss"])), float(state.optimizer[0])

    return step, 1


def _norm():
    """Lets updates pass and keeps their norm."""

    def update(updates, state, params=None):
        del state, params
        return updates, optax.tree.norm(updates)

    return optax.GradientTransformation(lambda params: jnp.zeros(()), update)


def _loaded(params, arrays):
    def weight(name):
        (found,) = [key for key in arrays if key.startswith("weight") and key.endswith("/" + name)]
        return jnp.asarray(arrays[found])

    loaded = {"linear": {"w": weight("head/kernel"), "b": weight("head/bias")}}
    for block in range(4):
        layer = f"conv4/layer{block + 1}"
        zeros = jnp.zeros_like(params[f"{layer}/conv"]["b"])
        loaded[f"{layer}/conv"] = {"w": weight(f"block_{block}/kernel"), "b": zeros}
        shape = params[f"{layer}/norm"]["scale"].shape
        loaded[f"{layer}/norm"] = {
            "scale": weight(f"block_{block}/norm/scale").reshape(shape),
            "offset": weight(f"block_{block}/norm/bias").reshape(shape),
        }
    return loaded
