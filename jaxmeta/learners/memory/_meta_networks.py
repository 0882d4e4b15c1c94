"""Meta networks (MetaNet).

Munkhdalai & Yu, "Meta Networks", ICML 2017, https://arxiv.org/abs/1703.00837, section 3 and
algorithm 1.
Differs from the paper: the representation loss is the cross-entropy for any number of shots, where
the paper has a contrastive loss for more than one. Differs from the released code, whose framework
had none: second derivatives flow through the gradients that make the fast weights. As there,
coordinates of convolutions and of dense layers have nets of their own, gradients enter as their
logarithm and sign, and the recurrent net sees five gradients, each of a fifth of the support set.
Ours: the maps' last layers start small, so that learning starts at the slow nets.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import at_least
from jaxmeta.inner.rules import log_and_sign
from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params
from jaxmeta.learners.memory._addressing import cosines
from jaxmeta.losses import LossFn, among, per_example, query_loss
from jaxmeta.net import Net, as_net, random_in_loss
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import is_labelled

N_GRADIENTS = 5  # as in the released code
FIRST_SCALE = 0.01


def released_preprocess(grads: jax.Array) -> jax.Array:
    """Logarithm and sign, gradients below e^-7 linearly, as in the released code: `[*X, 2]`."""
    return log_and_sign(grads, 7.0)


class MetaNetworksParams(NamedTuple):
    """Slow weights of all four parts."""

    base: Any  # W, of b
    embed: Any  # Q, of u
    example: Any  # Z, of m: {"conv": ..., "dense": ...}
    task: Any  # G, of d: {"conv": ..., "dense": ...}


class FastWeights(NamedTuple):
    """What a task leaves behind."""

    embed: Any  # Q*, task-level fast weights of u
    values: Any  # M: W*_i of b for each support row, leaves [S, *kernel]
    keys: jax.Array  # R: representations of the support rows, [S, D]
    is_stored: jax.Array  # [S] bool: the labelled rows
    statistics: tuple  # of the support set in u and b, {} without batch normalisation


def meta_networks(
    embed: Any,
    base: Any | None = None,
    *,
    hidden: int = 20,
    preprocess: Callable[[jax.Array], jax.Array] = released_preprocess,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Generates weights from gradients: some for the task, some for each example and query.

    With support rows `(x'_i, y'_i)` and nets u (embedding) and b (base), whose augmented layers
    take slow and fast weights:

        Q* = d(G, grad_Q loss(u(Q, x'), y'), ...)     an LSTM over gradients, for every coordinate
        W*_i = m(Z, grad_W loss(b(W, x'_i), y'_i))    a small net, for every coordinate
        r'_i = u(Q, Q*, x'_i)
        W* = sum_i softmax_i(cos(u(Q, Q*, x), r'_i)) W*_i,  and  b(W, W*, x) are the logits.

    Args:
      embed: u, a net like `networks.augmented(n_way)`: `apply(params, x, fast)` gives
        `(representation [M, D], logits [M, N])`, and `augmented_layers` names the kernels in
        `params["params"]` that take fast weights.
      base: b, alike; None takes a second net of the same form as `embed`.
      hidden: units of m's layers and of d.
      preprocess: maps gradients `[*X]` to inputs of m and d `[*X, n]`.
      loss_fn: loss per example, of the representations' logits, the base net and the result.

    Returns a `Learner` with `MetaNetworksParams`, whose adapted value is `FastWeights`. Rows reach
    the LSTM in an order drawn from the key of `adapt`.

    Raises:
      ValueError: `hidden` is below 1.

    Example:
      >>> import jax, jaxmeta
      >>> episode = jaxmeta.make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> key = jax.random.key(0)
      >>> learner = jaxmeta.meta_networks(jaxmeta.networks.augmented(2, conv_blocks=0, hidden=4))
      >>> params = jax.eval_shape(learner.init, key, episode)
      >>> _, logits = jax.eval_shape(learner.loss, params, key, episode)
      >>> logits.shape
      (1, 2)
    """
    at_least(1, hidden=hidden)
    base = embed if base is None else base
    for name, net in (("embed", embed), ("base", base)):
        if not hasattr(net, "augmented_layers"):
            raise TypeError(
                f"{name} must be a net whose layers take fast weights, got {type(net).__name__}: "
                "jaxmeta.networks.augmented(n_outputs) is one."
            )
    layers = embed.augmented_layers, base.augmented_layers
    return _meta_networks(
        as_net(embed, "embed"), as_net(base, "base"), layers, hidden, preprocess, loss_fn
    )


@random_in_loss("embed", "base")
def _meta_networks(
    embed: Net, base: Net, layers: tuple, hidden: int, preprocess: Callable, loss_fn: LossFn
) -> Learner:
    """`layers`: names of the kernels of both nets that take fast weights."""
    of_embed, of_base = layers
    cell = nn.OptimizedLSTMCell(hidden)

    def init(key: Key, episode: Episode) -> Params:
        key_base, key_embed, key_example, key_task = jax.random.split(key, 4)
        x = episode.support.x
        seen = preprocess(jnp.zeros(1))  # [1, n]
        example, task = {}, {}
        for number, kind in enumerate(("conv", "dense")):
            key_m, key_d = (jax.random.fold_in(key, number) for key in (key_example, key_task))
            example[kind] = _init_map(key_m, seen.shape[1], hidden)
            key_cell, key_out = jax.random.split(key_d)
            carry = cell.initialize_carry(key_cell, seen.shape)
            task[kind] = {
                "cell": cell.init(key_cell, carry, seen),
                "out": _small(key_out, hidden),
            }
        return MetaNetworksParams(base.init(key_base, x), embed.init(key_embed, x), example, task)

    def example_level(params: Params, grads: Any) -> dict:
        """m: `[*kernel] -> [*kernel]`, every coordinate by itself."""

        def one(grad: jax.Array) -> jax.Array:
            z = params[_kind(grad)]
            h = preprocess(grad)
            for layer in ("first", "second"):
                bias = jnp.expand_dims(z[layer]["bias"], range(h.ndim - 1))
                h = nn.relu(h @ z[layer]["kernel"] + bias)
            return h @ z["out"]["kernel"] + z["out"]["bias"]

        return {name: one(grad) for name, grad in grads.items()}

    def task_level(params: Params, grads: Any, counts: jax.Array) -> dict:
        """d: `[T, *kernel] -> [*kernel]`, an LSTM over the T gradients that count."""

        def one(grads: jax.Array) -> jax.Array:
            g = params[_kind(grads[0])]
            flat = preprocess(grads.reshape(len(grads), -1))  # [T, P, n]

            def step(carry: Any, now: Any) -> tuple:
                seen, counts = now
                new, _ = cell.apply(g["cell"], carry, seen)
                return jax.tree.map(lambda new, old: jnp.where(counts, new, old), new, carry), None

            start = (jnp.zeros((flat.shape[1], hidden), flat.dtype),) * 2
            (_, h), _ = jax.lax.scan(step, start, (flat, counts))
            return (h @ g["out"]["kernel"] + g["out"]["bias"]).reshape(grads.shape[1:])

        return {name: one(leaf) for name, leaf in grads.items()}

    def gradients(
        net: Net,
        layers: tuple,
        params: Params,
        statistics: Any,
        support: Examples,
        weights: jax.Array,
    ) -> dict:
        """Gradients of weighted losses of the slow net: `weights` `[T, S]`, leaves `[T, *kernel]`.

        Statistics of a batch are constants of the losses, as of single examples they must be.
        """

        def loss(kernels: dict, weights: jax.Array) -> jax.Array:
            slow = net.under({**params, "params": params["params"] | kernels}, statistics)
            losses = per_example(loss_fn, net.apply(slow, support.x)[1], support.y)
            return jnp.sum(jnp.where(weights > 0, losses, 0) * weights)

        kernels = {name: params["params"][name] for name in layers}
        return jax.vmap(jax.grad(loss), (None, 0))(kernels, weights)

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        counts = is_labelled(support)
        statistics = tuple(
            net.observe(part, support)[1]
            for net, part in ((embed, params.embed), (base, params.base))
        )
        weights = _groups(key, counts)
        grads = gradients(embed, of_embed, params.embed, statistics[0], support, weights)
        fast = task_level(params.task, grads, jnp.any(weights > 0, axis=1))
        each = jnp.diag(counts.astype(weights.dtype))
        grads = gradients(base, of_base, params.base, statistics[1], support, each)
        values = example_level(params.example, grads)
        keys, _ = embed.apply(embed.under(params.embed, statistics[0]), support.x, fast)
        return FastWeights(fast, values, keys, counts, statistics)

    def predict(params: Params, adapted: Adapted, x: jax.Array) -> Outputs:
        statistics = adapted.statistics
        queries, _ = embed.apply(embed.under(params.embed, statistics[0]), x, adapted.embed)
        likeness = among(cosines(queries, adapted.keys), adapted.is_stored)
        # Where nothing is stored the softmax is over nothing, and there are no fast weights.
        attention = jnp.where(adapted.is_stored, jax.nn.softmax(likeness), 0)  # [M, S]
        fast = jax.tree.map(lambda leaf: jnp.tensordot(attention, leaf, 1), adapted.values)
        slow = base.under(params.base, statistics[1])
        return jax.vmap(lambda row, fast: base.apply(slow, row[None], fast)[1][0])(x, fast)

    return ignoring_padding(Learner(init, adapt, predict, query_loss(adapt, predict, loss_fn)))


def _groups(key: Key, counts: jax.Array) -> jax.Array:
    """Weights `[T, S]` that average each of T groups of the rows that count, drawn at random."""
    rank = jnp.argsort(jax.random.permutation(key, len(counts)))
    belongs = (rank[None] % N_GRADIENTS == jnp.arange(N_GRADIENTS)[:, None]) & counts[None]
    return belongs / jnp.maximum(belongs.sum(1, keepdims=True), 1)


def _kind(kernel: jax.Array) -> str:
    return "conv" if kernel.ndim == 4 else "dense"


def _init_map(key: Key, n_inputs: int, hidden: int) -> dict:
    key_first, key_second, key_out = jax.random.split(key, 3)
    init = nn.initializers.he_normal()
    return {
        "first": {"kernel": init(key_first, (n_inputs, hidden)), "bias": jnp.zeros(hidden)},
        "second": {"kernel": init(key_second, (hidden, hidden)), "bias": jnp.zeros(hidden)},
        "out": _small(key_out, hidden),
    }


def _small(key: Key, hidden: int) -> dict:
    return {"kernel": FIRST_SCALE * jax.random.normal(key, (hidden,)), "bias": jnp.zeros(())}
