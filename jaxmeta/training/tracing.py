"""Compiled functions that take what they close over as arguments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core


def jit_passing_constants(
    function: Callable[..., Any], *, donate_argnums: int | tuple[int, ...] = ()
) -> Callable[..., Any]:
    """`jax.jit` for a function that closes over large arrays, such as a data set.

    A closed-over array would be baked into the program: copied, hashed and folded by the compiler.
    Here it stays one buffer on the device, passed at each call. In all else the result is what
    `jax.jit` gives: arguments of another structure, shape, type or placement are traced or compiled
    anew, and the same ones are not; under another `jit`, `scan`, `vmap` or `grad` it is a part of
    that program, which donates nothing and holds the array as a constant.

    Args:
      function: of pytrees of arrays, jittable.
      donate_argnums: numbers of the arguments whose buffers a call by itself may use again.
    """
    plain = jax.jit(function)
    # What a trace depends on beside the arguments: JAX's settings and contexts. One jaxpr for each.
    settings = jax.jit(lambda: None)
    programs: dict[Any, Callable] = {}

    def call(*args: Any) -> Any:
        leaves, structure = jax.tree.flatten(args)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return plain(*args)
        # `typeof` has shape, type, weak type and, where a trace sees it, sharding; `jax.jit` below
        # compiles anew for every other placement.
        key = structure, tuple(map(jax.typeof, leaves)), settings.trace().jaxpr
        if key not in programs:
            programs[key] = _program(plain.trace(*args), len(leaves), donate_argnums) or plain
        return programs[key](*args)

    return call


def _program(
    traced: Any, n_leaves: int, donate_argnums: int | tuple[int, ...]
) -> Callable[..., Any] | None:
    """The trace as a function whose constants are arguments; None where it cannot be kept."""
    closed, structure = traced.jaxpr, jax.tree.structure(traced.out_info)
    if len(closed.jaxpr.invars) > n_leaves:
        return None  # It closes over values of a trace that is going on around it.
    evaluate = jax.extend.core.jaxpr_as_fun

    def run(consts: list, *args: Any) -> Any:
        outputs = evaluate(jax.extend.core.ClosedJaxpr(closed.jaxpr, consts))(
            *jax.tree.leaves(args)
        )
        return jax.tree.unflatten(structure, outputs)

    donated = (donate_argnums,) if isinstance(donate_argnums, int) else donate_argnums
    jitted = jax.jit(run, donate_argnums=tuple(number + 1 for number in donated))
    with jax.ensure_compile_time_eval():  # Arrays, whatever trace is going on around the call.
        consts = [jax.device_put(const) for const in closed.consts]
    return lambda *args: jitted(consts, *args)
