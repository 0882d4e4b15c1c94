"""Memory-augmented neural networks (MANN).

Santoro, Bartunov, Botvinick, Wierstra & Lillicrap, "Meta-Learning with Memory-Augmented Neural
Networks", ICML 2016 (arXiv 1605.06065, "One-shot Learning with Memory-Augmented Neural Networks"),
sections 2 and 3.
Differs from the paper: as many least used slots as heads, exactly, where equation 22 marks more
when usages tie; an optional net embeds the inputs.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.learner import Adapted, Episode, Examples, Key, Learner, Outputs, Params, Stream
from jaxmeta.learners.memory._addressing import Access, ExternalMemory, lrua
from jaxmeta.learners.memory._controller import Controller, glorot, lstm
from jaxmeta.learners.memory._streams import taking_streams
from jaxmeta.losses import LossFn, mean_loss, query_loss
from jaxmeta.net import Net, NetLike, as_net, random_in_loss, refusing_dropout
from jaxmeta.padding import ignoring_padding
from jaxmeta.support import Support, as_support


class Written(NamedTuple):
    """What a support set leaves behind: the state after its last row."""

    controller: Any
    memory: Any
    read: jax.Array  # the last read, [heads * width]
    label: jax.Array  # of the last row, [N]: the next input's company
    statistics: Any  # of the support set in the embedding, {} without batch normalisation


class Trace(NamedTuple):
    """A stream, step by step."""

    access: Access  # weights over the slots, [T, heads, slots]
    outputs: jax.Array  # [T, N]


@random_in_loss("embed")
def mann(
    embed: NetLike | None = None,
    *,
    controller: Controller | None = None,
    memory: ExternalMemory | None = None,
    loss_fn: LossFn = optax.softmax_cross_entropy,
) -> Learner:
    """Reads a sequence of inputs, each with the label of the one before, and stores what they bind.

    `h_t = controller(x_t, y_{t-1}, r_{t-1})`; keys and gates are linear in h; the memory is
    written and read; the outputs are linear in `[h_t, r_t]`. State and memory start anew in every
    episode.

    `init` and `loss` take two kinds of tasks:

    - a `Stream` (`tasks.streams`): its rows come one after the other, each is predicted before its
      label is shown, and all are scored. The outputs are those of every step. This is the paper's
      protocol.
    - an `Episode`: the query loss after `adapt`.

    `adapt` writes the support set, in an order drawn from its key; `predict` takes one more step
    for each query by itself, which reads and does not write.

    The steps are one `lax.scan`: 16 streams of 100 steps, forward and backward, compile and run for
    the first time in 5 s on two cores (LSTM of 200, 128 slots of 40, 4 heads; inputs of 20x20).

    Args:
      embed: maps inputs `[M, *X]` to `[M, D]`; None flattens them (the paper's raw pixels). It must
        not normalise by its batch, nor drop out, where streams are learned.
      controller: `lstm(200)` by default, or `feed_forward(...)`, from `jaxmeta.learners.memory`.
      memory: `lrua()` by default, or the baselines `ntm()` and, for the plain controller,
        `no_memory()`.
      loss_fn: loss per example; `losses.letters_cross_entropy` for labels that are strings.

    Returns a `Learner` whose adapted value is `Written`.

    Example:
      >>> from jaxmeta.learners.memory import feed_forward, lrua
      >>> learner = mann(controller=feed_forward(20), memory=lrua(slots=16, width=8, heads=2))
    """
    embed = None if embed is None else as_net(embed, "embed")
    controller, memory = controller or lstm(), memory or lrua()
    machine = _machine(embed, controller, memory)
    on_streams = _machine(None if embed is None else refusing_dropout(embed), controller, memory)

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        if len(support.x) == 0:
            return machine.start(params, support, {})
        order = jax.random.permutation(key, len(support.x))
        statistics: Any = {}
        if embed is not None:
            _, statistics = embed.observe(params["embed"], support)
        shuffled = jax.tree.map(lambda leaf: leaf[order], support)
        state, _, _ = machine.run(params, machine.start(params, support, statistics), shuffled)
        return state

    def init(key: Key, episode: Episode) -> Params:
        return machine.init(key, episode.query)

    def stream_loss(params: Params, key: Key, stream: Stream) -> tuple[jax.Array, Outputs]:
        del key
        outputs = on_streams.stream(params, stream).outputs
        return mean_loss(loss_fn, outputs, Examples(*stream)), outputs

    loss = query_loss(adapt, machine.predict, loss_fn)
    few_shot = ignoring_padding(Learner(init, adapt, machine.predict, loss))
    return taking_streams(few_shot, init=machine.init, loss=stream_loss)


def reads_and_writes(
    embed: NetLike | None = None,
    *,
    controller: Controller | None = None,
    memory: ExternalMemory | None = None,
) -> Callable[[Any, Stream], Trace]:
    """What a `mann` of the same arguments does along a stream: `(params, stream) -> Trace`."""
    embed = None if embed is None else as_net(embed, "embed")
    return _machine(embed, controller or lstm(), memory or lrua()).stream


class _Machine(NamedTuple):
    init: Callable
    start: Callable
    run: Callable
    stream: Callable
    predict: Callable


def _machine(embed: Net | None, controller: Controller, memory: ExternalMemory) -> _Machine:
    """Controller and memory as functions of a sequence."""

    def embedded(params: Params, statistics: Any, x: jax.Array) -> jax.Array:
        if embed is None:
            return _flat(x)
        return embed.apply(embed.under(params["embed"], statistics), x)

    def init(key: Key, rows: Examples | Stream) -> Params:
        key_embed, key_controller, key_interface, key_output = jax.random.split(key, 4)
        x, n_way = rows.x, rows.y.shape[1]
        params = {} if embed is None else {"embed": embed.init(key_embed, x)}
        n_inputs = jax.eval_shape(lambda: embedded(params, {}, x)).shape[1] + n_way
        return params | {
            "controller": controller.init(key_controller, n_inputs, memory.n_reads),
            "interface": _dense(key_interface, controller.size, memory.n_numbers),
            "output": _dense(key_output, controller.size + memory.n_reads, n_way),
        }

    def start(params: Params, examples: Examples, statistics: Any) -> Written:
        dtype = params["output"]["bias"].dtype
        return Written(
            controller.start(params["controller"]),
            memory.start(dtype),
            jnp.zeros(memory.n_reads, dtype),
            jnp.zeros(examples.y.shape[1], dtype),
            statistics,
        )

    def outputs_of(params: Params, h: jax.Array, read: jax.Array) -> jax.Array:
        kernel, bias = params["output"]["kernel"], params["output"]["bias"]
        return jnp.concatenate([h, read], axis=-1) @ kernel + bias[None]

    def run(
        params: Params, state: Written, examples: Examples
    ) -> tuple[Written, jax.Array, Access]:
        """Goes through `examples` in their order: state, outputs `[M, N]`, access `[M, ...]`."""
        rows = as_support(examples)
        order = jnp.argsort(~rows.is_valid, stable=True)  # Padding comes last.
        x, y, is_valid = rows.x[order], rows.y[order], rows.is_valid[order]
        before = jnp.concatenate([state.label[None], y[:-1]])  # y_{t-1}
        inputs = jnp.concatenate([embedded(params, state.statistics, x), before], axis=1)
        projected = controller.project(params["controller"], inputs)
        # A scan keeps the type of its carry, which parameters and data may promote.
        dtype = jnp.result_type(projected, params["output"]["bias"])
        carry: Any = jax.tree.map(
            lambda leaf: leaf.astype(dtype), (state.controller, state.memory, state.read)
        )

        def step(carry: Any, now: Any) -> tuple[Any, Any]:
            projected, counts = now
            controller_state, memory_state, read = carry
            controller_state, h = controller.step(
                params["controller"], controller_state, projected, read
            )
            memory_state, read, access = memory.step(memory_state, numbers_of(params, h))
            new = (controller_state, memory_state, read)
            # Padding leaves the state as it is.
            new = jax.tree.map(lambda new, old: jnp.where(counts, new, old), new, carry)
            return new, (h, read, access)

        carry, (h, read, access) = jax.lax.scan(step, carry, (projected, is_valid))
        outputs = outputs_of(params, h, read)[jnp.argsort(order)]
        last = jnp.where(is_valid.any(), y[jnp.maximum(is_valid.sum() - 1, 0)], state.label)
        now, stored, seen = carry
        return Written(now, stored, seen, last, state.statistics), outputs, access

    def numbers_of(params: Params, h: jax.Array) -> jax.Array:
        return h @ params["interface"]["kernel"] + params["interface"]["bias"]

    def stream(params: Params, stream: Stream) -> Trace:
        rows = Examples(*stream)
        if embed is not None and jax.eval_shape(lambda: embed.observe(params["embed"], rows)[1]):
            raise ValueError(
                "embed must not normalise by its batch on a stream: a prediction would depend on "
                "inputs that come later."
            )
        _, outputs, access = run(params, start(params, rows, {}), rows)
        return Trace(access, outputs)

    def predict(params: Params, adapted: Written, x: jax.Array) -> Outputs:
        def one(row: jax.Array) -> tuple[jax.Array, jax.Array]:
            inputs = jnp.concatenate([row, adapted.label])[None]
            projected = controller.project(params["controller"], inputs)[0]
            _, h = controller.step(
                params["controller"], adapted.controller, projected, adapted.read
            )
            return h, memory.read(adapted.memory, numbers_of(params, h))

        return outputs_of(params, *jax.vmap(one)(embedded(params, adapted.statistics, x)))

    return _Machine(init, start, run, stream, predict)


def _dense(key: Key, n_inputs: int, n_outputs: int) -> dict:
    return {"kernel": glorot(key, (n_inputs, n_outputs)), "bias": jnp.zeros(n_outputs)}


def nearest_seen() -> Learner:
    """The label of the nearest earlier input, in squared Euclidean distance: a baseline.

    Nothing is learned. In a `Stream` an input's neighbours are the rows before it; in an `Episode`
    the support set. The outputs are label rows; there are zeros where nothing was
    seen yet.
    """

    def init(key: Key, task: Any) -> Params:
        del key, task
        return {}

    def adapt(params: Params, key: Key, support: Examples) -> Adapted:
        del params, key
        return as_support(support)

    def predict(params: Params, adapted: Support, x: jax.Array) -> Outputs:
        del params
        return _label_of_nearest(x, adapted, jnp.ones((len(x), len(adapted.x)), bool))

    def stream_loss(params: Params, key: Key, stream: Stream) -> tuple[jax.Array, Outputs]:
        del params, key
        rows = Examples(*stream)
        is_earlier = jnp.tril(jnp.ones((len(rows.x),) * 2, bool), -1)
        outputs = _label_of_nearest(rows.x, as_support(rows), is_earlier)
        return mean_loss(_difference, outputs, rows), outputs

    loss = query_loss(adapt, predict, _difference)
    few_shot = ignoring_padding(Learner(init, adapt, predict, loss))
    return taking_streams(few_shot, init=init, loss=stream_loss)


def _label_of_nearest(x: jax.Array, seen: Support, may_see: jax.Array) -> jax.Array:
    x, others = _flat(x), _flat(seen.x)
    if len(others) == 0:
        return jnp.zeros((len(x), seen.y.shape[1]))
    squared = jnp.sum(others**2, axis=1)[None] - 2 * x @ others.T  # less |x|^2, which all share
    may_see = may_see & seen.is_valid[None]
    nearest = jnp.argmin(jnp.where(may_see, squared, jnp.inf), axis=1)
    return jnp.where(may_see.any(axis=1)[:, None], seen.y[nearest], 0)


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _difference(outputs: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(jnp.abs(outputs - y), axis=1)
