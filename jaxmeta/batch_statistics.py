"""How the statistics of a named set reach the normalisation layers inside a net, and leave them.

A Linen module of this library carries them in a collection of its own. Of a pair of functions or an
NNX module nothing is known but that its layers ask here, in the order of their calls.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

import jax
import jax.extend.core

STATISTICS = "statistics"


def batch_statistics(compute: Callable[[jax.Array | None], Any], is_valid: Any = None) -> Any:
    """What a normalisation layer is to use: the statistics of the named set, or of its own batch.

    Args:
      compute: `is_valid -> statistics` of the batch, which are observed where a set is.
      is_valid: `[M]` bool, the rows that count; None: those of the set that is observed, or all.

    Raises:
      ValueError: a pair of functions calls the layer inside a transformation of its own, where
        statistics could not come out.
    """
    now = _now.get()
    if now is None:
        return compute(is_valid)
    is_valid = now.is_valid if is_valid is None else is_valid
    if now.given is None and now.seen is None:  # A Linen module: its collections carry them.
        return compute(is_valid)
    if _level() != now.level:
        raise ValueError(
            "batch statistics cannot leave a jit, scan, vmap or checkpoint inside a net's apply: "
            "leave it out (the step is compiled as a whole), or give the net observe and under."
        )
    if now.seen is not None:
        now.seen.append(compute(is_valid))
        return now.seen[-1]
    found = next(now.given or iter(()), None)
    if found is None:
        raise ValueError("apply normalises more often than it did when its net was observed.")
    return found


class _Pass(NamedTuple):
    """One call of a net."""

    is_valid: Any = None  # the rows whose statistics count
    given: Iterator | None = None  # statistics to use, layer by layer
    seen: list | None = None  # where a set's statistics go, layer by layer
    level: Any = None  # the trace that it is called in


_now: ContextVar[_Pass | None] = ContextVar("_now", default=None)
# A jit inside a net must not meet what it traced for another kind of call.
_kind = jax.make_user_context("batch")


def _level():
    return jax.extend.core.get_opaque_trace_state(convention="nnx")


@contextmanager
def passing(kind: Literal["batch", "given", "seen"], **parts: Any) -> Iterator[None]:
    """Within it, normalisation layers use what is `given`, or put what they have `seen` there."""
    token = _now.set(_Pass(**parts, level=_level()))
    try:
        with _kind(kind):
            yield
    finally:
        _now.reset(token)
