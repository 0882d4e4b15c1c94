"""Flax NNX modules as nets: parameters outside, the mode of each call its own."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxmeta.batch_statistics import batch_statistics
from jaxmeta.net import Net, carrying, dropout_key


def from_nnx(module: nnx.Module | Callable[[nnx.Rngs], nnx.Module]) -> Net:
    """Gives a Flax NNX module the functions of a net.

    `nnx.BatchNorm` keeps nothing running: it takes the statistics of the support set, as
    `networks.BatchNorm` does. Dropout is on in a learner's `loss` and off in `adapt` and `predict`.

    Args:
      module: a module, whose own weights `init` then returns whatever the key, and which is left as
        it is; or a function of `nnx.Rngs` that builds one, which `init` calls with its key.

    Returns a `Net` whose parameters are a nested dict of arrays (`nnx.Param` only; other state
    stays as it was built and is never updated).

    Raises:
      TypeError: `module` is neither of the two.
      ValueError: a layer other than `nnx.BatchNorm` keeps running statistics.

    Example:
      >>> import jax, jaxmeta
      >>> from flax import nnx
      >>> net = jaxmeta.from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
      >>> params = net.init(jax.random.key(0), jax.numpy.ones((1, 3)))
      >>> net.apply(params, jax.numpy.ones((5, 3))).shape
      (5, 2)
    """
    if isinstance(module, nnx.Module):
        whole = nnx.split(module)

        def build(_):
            return nnx.merge(
                *whole, copy=True
            )  # Another module, so that the mode of this one stays.
    elif callable(module):
        build = module
    else:
        raise TypeError(f"module must be an nnx.Module or build one, got {type(module).__name__}.")

    def parts(rngs):
        built = build(rngs)
        built.eval()
        _check_running(built)
        return nnx.split(built, nnx.Param, ...)

    definition, parameters, rest = parts(nnx.Rngs(0))
    structure = jax.tree.structure(parameters)

    def init(key, *inputs):
        del inputs  # An NNX module knows its input shape when it is built.
        return nnx.to_pure_dict(parts(nnx.Rngs(key))[1])

    def in_mode(training):
        def call(params, *inputs):
            state = jax.tree.unflatten(structure, jax.tree.leaves(params))
            merged = nnx.merge(definition, state, rest, copy=True)
            for _, layer in nnx.iter_modules(merged):
                if type(layer) is nnx.BatchNorm:
                    object.__setattr__(layer, "__class__", _SetBatchNorm)
            if training is not None:
                _train(merged, training)
            return merged(*inputs)

        return call

    return carrying(init, in_mode, None)


class _SetBatchNorm(nnx.BatchNorm):
    """`nnx.BatchNorm` by the statistics of a named set, whatever its mode."""

    def __call__(self, x, use_running_average=None, *, mask=None):
        del use_running_average
        features = {int(axis) % x.ndim for axis in np.atleast_1d(self.axis)}
        axes = tuple(axis for axis in range(x.ndim) if axis not in features)

        def compute(is_valid):
            if is_valid is None:
                return jnp.mean(x, axes), jnp.var(x, axes)
            counts = jnp.broadcast_to(is_valid.reshape(-1, *[1] * (x.ndim - 1)), x.shape)
            return jnp.mean(x, axes, where=counts), jnp.var(x, axes, where=counts)

        # New variables: what is put into the old ones is cast to their type.
        self.mean, self.var = map(nnx.BatchStat, batch_statistics(compute, mask))
        return super().__call__(x, use_running_average=True)


def _check_running(module):
    """All running statistics are those of an `nnx.BatchNorm`."""
    layers = dict(nnx.iter_modules(module))
    for path, _ in nnx.to_flat_state(nnx.state(module, nnx.BatchStat)):
        owner = max((place for place in layers if place == path[: len(place)]), key=len)
        if type(layers[owner]) is not nnx.BatchNorm:
            raise ValueError(
                f"a net must keep nothing beside its weights, got the layer "
                f"{type(layers[owner]).__name__} with running statistics: use nnx.BatchNorm, "
                "which takes those of the support set, nnx.LayerNorm or nnx.GroupNorm."
            )


def _train(module, training):
    """Dropout on, each layer with a key of its own."""
    module.train()
    streams = [node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)]
    for number, stream in enumerate(streams):
        stream.key[...] = dropout_key(training, number)
        stream.count[...] = jnp.zeros((), jnp.uint32)
