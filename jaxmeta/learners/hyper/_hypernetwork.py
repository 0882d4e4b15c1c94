"""A network that reads the support set and emits the weights of another.

Ha, Dai & Le, "HyperNetworks", ICLR 2017, https://arxiv.org/abs/1609.09106, with the support set's
code as the input, as in the one-shot learners of Bertinetto et al., "Learning feed-forward one-shot
learners", NeurIPS 2016. Chang, Flokas & Lipson, "Principled Weight Initialization for
Hypernetworks", ICLR 2020, for the variance of the generated weights.
Differs from these papers: one generator of any target net, whole layers or chunk by chunk; biases
and scales are their learned values plus a generated part, whose learned gain starts at zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.losses import LossFn, query_loss
from jaxmeta.net import NetLike, as_net, random_in_loss
from jaxmeta.networks import set_encoder
from jaxmeta.networks.weight_generator import WeightGenerator
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import as_support


class GeneratedWeights(NamedTuple):
    """What a task leaves behind."""

    weights: dict[str, jax.Array]  # the generated ones, by path in the target's parameters
    statistics: Any  # of the support set in the target, {} without batch normalisation


@random_in_loss("target", "encoder")
def hypernetwork(
    target: NetLike,
    *,
    encoder: Any = None,
    generated: Callable[[tuple[str, ...]], bool] | None = None,
    chunk_size: int | None = None,
    hidden: Sequence[int] = (128,),
    code_size: int = 32,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Emits all or chosen weights of a target net from the code of the support set.

    At the start a generated kernel has the variance 1 / fan-in, whatever the task; the fan-in is
    the product of all axes but the last, which for a kernel with several output axes (queries of an
    attention, `[I, heads, D]`) is more than it should be. Weights of one axis, and those whose name
    is `bias`, have no fan-in: they start at the target's own values. Weights that are not generated
    are learned, the same for all tasks.

    Args:
      target: maps `[M, *X]` to logits `[M, N]` or values `[M, D]`; any net.
      encoder: the code `[C]` of a support set: `init(key, x, y, is_valid)` and
        `apply(params, x, y, is_valid)`. None: `networks.set_encoder` by its defaults.
      generated: which weights are generated, by path, such as `lambda path: "head" in path`; None
        generates all.
      chunk_size: entries generated at once, by one linear map for all chunks. None: every weight
        by a linear map of its own, which for a large target is large.
      hidden: widths of the generator's layers; the last is normalised, and 2 or more.
      code_size: entries of the learned code of each weight or chunk.
      loss_fn: loss per example of the outputs.

    Returns a `Learner` whose adapted value is `GeneratedWeights`. Rows of the support set that are
    not valid are as if absent.

    Raises:
      ValueError: a number is below 1, the last of `hidden` below 2, or `generated` chooses no
        weight (by `init`).

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> target = jaxmeta.networks.mlp(2, hidden=(8,))
      >>> learner = jaxmeta.hypernetwork(target, encoder=jaxmeta.networks.set_encoder(4))
      >>> params = learner.init(key, episode)
      >>> adapted = learner.adapt(params, key, episode.support)
      >>> learner.predict(params, adapted, episode.query.x).shape
      (1, 2)
    """
    target = as_net(target, "target")
    encoder = as_net(set_encoder() if encoder is None else encoder, "encoder")
    for name, numbers in (
        ("chunk_size", [1 if chunk_size is None else chunk_size]),
        ("hidden", list(hidden)),
        ("code_size", [code_size]),
    ):
        if not numbers or min(numbers) < 1:
            raise ValueError(f"{name} must be >= 1, got {numbers[0] if numbers else ()}.")
    if hidden[-1] < 2:
        raise ValueError(f"the last of hidden must be >= 2 to be normalised, got {hidden[-1]}.")

    def chosen(path: tuple) -> bool:
        names = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
        return generated is None or generated(names)

    def plan(x: jax.Array) -> tuple[dict, dict, Any, WeightGenerator]:
        """Shapes of the target's weights by path, and which are generated."""
        shapes = jax.eval_shape(target.init, jax.random.key(0), x)
        leaves, structure = jax.tree.flatten_with_path(shapes)
        every = {_name(path): leaf.shape for path, leaf in leaves}
        emitted = {_name(path): leaf.shape for path, leaf in leaves if chosen(path)}
        if not emitted:
            raise ValueError(
                f"generated must choose at least one of the weights {', '.join(every)}."
            )
        generator = WeightGenerator(
            tuple(math.prod(shape) for shape in emitted.values()),
            chunk_size,
            tuple(hidden),
            code_size,
        )
        return every, emitted, structure, generator

    def init(key: Key, episode: Episode) -> Params:
        key_encoder, key_generator, key_target = jax.random.split(key, 3)
        rows = as_support(episode.support)
        _, emitted, _, generator = plan(rows.x)
        encoder_params = encoder.init(key_encoder, rows.x, rows.y, rows.is_valid)
        code = encoder.apply(encoder_params, rows.x, rows.y, rows.is_valid)
        start = jax.tree.leaves_with_path(target.init(key_target, rows.x))
        added_to = [name for name, shape in emitted.items() if not _is_kernel(name, shape)]
        return {
            "encoder": encoder_params,
            "generator": generator.init(key_generator, code),
            "gains": {name: jnp.zeros(()) for name in added_to},
            "learned": {
                _name(path): leaf
                for path, leaf in start
                if _name(path) not in emitted or _name(path) in added_to
            },
        }

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del key  # One pass, without randomness.
        rows = as_support(support)
        _, emitted, _, generator = plan(rows.x)
        code, _ = encoder.observe(params["encoder"], support, rows.y, rows.is_valid)
        entries = generator.apply(params["generator"], code)
        weights = {}
        for (name, shape), values in zip(emitted.items(), entries, strict=True):
            if _is_kernel(name, shape):
                weights[name] = values.reshape(shape) / math.sqrt(math.prod(shape[:-1]))
            else:
                part = params["gains"][name] * values.reshape(shape)
                weights[name] = params["learned"][name] + part
        whole = assembled(params, weights, rows.x)
        return GeneratedWeights(weights, target.observe(whole, support)[1])

    def assembled(params: Params, weights: dict[str, jax.Array], x: jax.Array) -> Any:
        every, _, structure, _ = plan(x)
        both = params["learned"] | weights
        return jax.tree.unflatten(structure, [both[name] for name in every])

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        weights = assembled(params, adapted.weights, x)
        return target.apply(target.under(weights, adapted.statistics), x)

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_kernel(name: str, shape: tuple[int, ...]) -> bool:
    """Biases, scales and shifts have no fan-in."""
    return len(shape) >= 2 and name.rpartition("/")[2] != "bias"
