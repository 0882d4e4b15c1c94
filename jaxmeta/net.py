"""What a net is to a learner: every factory makes one of what it is given, at its door.

A net has four functions. `observe` sees a whole set and gives the batch statistics of it beside the
outputs; `under` binds them to parameters, so that `apply` then normalises whatever it sees by them:

    outputs, statistics = net.observe(params, support)
    adapted = net.under(params, statistics)
    net.apply(adapted, query)  # each query by itself: inductive

A running average has no meaning across tasks, and statistics of the query set would let one query
see the others; so nothing here runs, and the set whose statistics count is always named.
"""

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import flax.linen as nn
import jax
from flax import nnx

from jaxmeta.batch_statistics import STATISTICS, passing
from jaxmeta.learner import Learner, Params
from jaxmeta.support import zeroed

P = ParamSpec("P")
_DROPOUT = 0x64726F70  # told apart from every other use of a loss's key
# By convention a Linen module's argument of one of these names says whether it trains.
_MODES = {"train": True, "training": True, "is_training": True, "deterministic": False}


class Net(NamedTuple):
    """A network. `context` is whatever else it takes beside `x`, such as a task's code."""

    init: Callable[..., Params]
    """`(key, x, *context) -> params` for inputs like `x` `[M, *X]`."""
    apply: Callable[..., Any]
    """`(params, x, *context) -> outputs` `[M, N]` or `[M, D]`."""
    observe: Callable[..., tuple[Any, Any]]
    """`(params, examples, *context) -> (outputs, statistics)` of a set, in which rows of padding do
    not count, whatever they hold; `{}` from a net that keeps none."""
    under: Callable[[Params, Any], Params]
    """`(params, statistics) -> params` under which `apply` uses the statistics."""
    keyed: Callable[[Any], Any] | None = None
    """`(key) -> Net`: the same net in training, with dropout drawn from the key. None: it draws
    nothing."""


NetLike = Any  # What `as_net` takes.


class Under(NamedTuple):
    """Parameters of a pair of functions or an NNX module, and the statistics that it is to use."""

    params: Any
    statistics: Any


def as_net(net: Any, name: str = "net") -> Net:
    """The net that a learner calls.

    Args:
      net: a Flax Linen module; what `from_nnx` gives; a `Net`; or anything with `init(key, x)` and
        `apply(params, x)`, and perhaps `observe` and `under`. Batch statistics of
        `networks.BatchNorm` are found inside all of them, dropout (`nn.Dropout` without
        `deterministic`) is on in a learner's `loss` and off in `adapt` and `predict`.
      name: of the argument, for errors.

    Raises:
      TypeError: it is none of these, with what to write in its place.
    """
    if isinstance(net, Net):
        return net
    if isinstance(net, type) and not isinstance(
        inspect.getattr_static(net, "init", 0), staticmethod
    ):
        raise TypeError(
            f"{name} must be a network, got the class {net.__name__}: write {net.__name__}(...)."
        )
    if isinstance(net, nn.Module):
        return _linen(net, None)
    if isinstance(net, nnx.Module):
        raise TypeError(
            f"{name} must have init and apply, got the NNX module {type(net).__name__}: "
            "write jaxmeta.from_nnx(module)."
        )
    if not (callable(getattr(net, "init", None)) and callable(getattr(net, "apply", None))):
        what = f"the function {net.__name__}" if inspect.isroutine(net) else type(net).__name__
        raise TypeError(
            f"{name} must be a Flax module or a pair of functions init(key, x) and "
            f"apply(params, x), got {what}."
        )
    observe: Any = getattr(net, "observe", None)
    under: Any = getattr(net, "under", None)
    if (observe is None) != (under is None):
        raise TypeError(f"{name} must have both of observe and under, or none of them.")
    if observe is not None:
        return Net(net.init, net.apply, observe, under, getattr(net, "keyed", None))
    return _pair(net.init, net.apply)


def random_in_loss(*names: str) -> Callable[[Callable[P, Learner]], Callable[P, Learner]]:
    """Lets nets draw from the key of a learner's `loss` what training needs, such as dropout.

    A row's dropout is the same at every inner step, so that the inner loop descends one function.

    Args:
      names: of the nets among the arguments of the factory that this decorates.
    """

    def decorate(factory):
        signature = inspect.signature(factory)

        @functools.wraps(factory)
        def build(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            for name in names:
                if bound.arguments.get(name) is not None:
                    bound.arguments[name] = as_net(bound.arguments[name], name)
            learner = factory(*bound.args, **bound.kwargs)
            given = {name: bound.arguments.get(name) for name in names}
            drawing = {name: net.keyed for name, net in given.items() if net and net.keyed}
            if not drawing:
                return learner

            def loss(params, key, episode):
                arguments = dict(bound.arguments)
                for number, (name, keyed) in enumerate(drawing.items()):
                    is_first = key is None or number == 0
                    arguments[name] = keyed(key if is_first else jax.random.fold_in(key, number))
                return factory(**arguments).loss(params, key, episode)

            return learner._replace(loss=loss)

        return build

    return decorate


class Training(NamedTuple):
    """A net that is called in a learner's `loss`, and the key of its dropout."""

    key: Any


def _dropout(training: Training | None):
    """Within it, dropout of Linen modules is on in training and off elsewhere."""
    count = itertools.count()

    def decide(call, args, kwargs, context):
        layer = context.module
        if not isinstance(layer, nn.Dropout) or context.method_name != "__call__":
            return call(*args, **kwargs)
        stated = kwargs.pop("deterministic", args[1] if len(args) > 1 else layer.deterministic)
        if stated is False and training is None:
            raise ValueError(
                "nn.Dropout must be off in adapt and predict, got deterministic=False: leave "
                "`deterministic` out, and it is on in training alone."
            )
        is_off = training is None if stated is None else stated
        state = {} if layer.deterministic is not None else {"deterministic": is_off}
        if is_off or training is None:
            return call(args[0], **state)
        return call(args[0], rng=dropout_key(training, next(count)), **state)

    return nn.intercept_methods(decide)


def refusing_dropout(net: Net) -> Net:
    """The same net where nothing may be dropped out: a layer that would says so."""
    return net if net.keyed is None else net.keyed(None)


def dropout_key(training: Training, number: int) -> jax.Array:
    """The key of the dropout layer of that number.

    Raises:
      ValueError: the loss got no key.
    """
    if training.key is None:
        raise ValueError(
            "dropout needs the random key of a loss, got None; streams and agents, whose loss is "
            "also their test, take nets without dropout."
        )
    return jax.random.fold_in(jax.random.fold_in(training.key, _DROPOUT), number)


def _linen(module: nn.Module, training: Training | None) -> Net:
    """Statistics are a collection beside the parameters."""
    takes = inspect.signature(type(module).__call__).parameters if callable(module) else {}
    mode: dict[str, Any] = {
        name: is_training == (training is not None)
        for name, is_training in _MODES.items()
        if name in takes
    }

    def init(key, *inputs):
        with _dropout(None):
            params = module.init(key, *inputs, **mode)
        return _checked(params)

    def apply(params, *inputs):
        with _dropout(training):
            return module.apply(_checked(params), *inputs, **mode)

    def observe(params, examples, *context):
        params = {name: part for name, part in _checked(params).items() if name != STATISTICS}
        with _dropout(training), passing("batch", is_valid=examples.is_valid):
            outputs, statistics = module.apply(
                params, zeroed(examples).x, *context, **mode, mutable=[STATISTICS]
            )
        return outputs, dict(statistics)

    def under(params, statistics):
        return {**params, **statistics} if statistics else params

    return Net(init, apply, observe, under, lambda key: _linen(module, Training(key)))


def _checked(params):
    others = sorted(set(params) - {"params", STATISTICS})
    if others:
        cure = "leave out the layer that keeps it."
        if others == ["batch_stats"]:
            cure = (
                "normalise by jaxmeta.networks.BatchNorm, which takes the statistics of the "
                "support set, in place of nn.BatchNorm."
            )
        raise ValueError(
            f"a net must keep nothing beside its weights, got a Linen module with the collection "
            f"{', '.join(map(repr, others))}, which would be trained as weights: {cure}"
        )
    return params


def _pair(init: Callable, apply: Callable) -> Net:
    """A pair of functions, perhaps around Linen modules with layers of ours or dropout."""

    def first(key, *inputs):
        with _dropout(None):
            params = init(key, *inputs)
        if isinstance(params, dict) and {"params", "batch_stats"} <= set(params):
            _checked(params)  # A Linen module's variables, handed on.
        return params

    def in_mode(training):
        def call(params, *inputs):
            with _dropout(training):
                return apply(params, *inputs)

        return call

    return carrying(first, in_mode, None)


def carrying(init: Callable, in_mode: Callable, training: Training | None) -> Net:
    """Statistics travel beside parameters that nothing is known about."""
    call = in_mode(training)

    def apply(params, *inputs):
        params, statistics = params if isinstance(params, Under) else (params, {STATISTICS: None})
        layers = statistics[STATISTICS]
        if layers is None:
            return call(params, *inputs)
        with passing("given", given=iter(layers)):
            return call(params, *inputs)

    def observe(params, examples, *context):
        params = params.params if isinstance(params, Under) else params
        seen: list = []
        with passing("seen", is_valid=examples.is_valid, seen=seen):
            outputs = call(params, zeroed(examples).x, *context)
        return outputs, {STATISTICS: tuple(seen)} if seen else {}

    def under(params, statistics):
        return Under(params, statistics) if statistics else params

    return Net(init, apply, observe, under, lambda key: carrying(init, in_mode, Training(key)))
