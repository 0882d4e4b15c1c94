"""Compiled functions that take what they close over as arguments."""

from collections.abc import Callable

import jax
import jax.extend.core


def hoist_constants(function: Callable, *, donate_argnums=()) -> Callable:
    """`jax.jit` for a function that closes over large arrays, such as a data set.

    A closed-over array would be baked into the program: copied, hashed and folded by the compiler.
    Here it stays one buffer on the device, passed at each call. The function is traced once; later
    calls must bring the same shapes.
    """
    compiled = None

    def call(*args):
        nonlocal compiled
        if compiled is None:
            compiled = _trace(function, args, donate_argnums)
        return compiled(*args)

    return call


def _trace(function, args, donate_argnums):
    jaxpr, out_shape = jax.make_jaxpr(function, return_shape=True)(*args)
    structure = jax.tree.structure(out_shape)
    evaluate = jax.extend.core.jaxpr_as_fun

    def run(consts, *args):
        closed = jax.extend.core.ClosedJaxpr(jaxpr.jaxpr, consts)
        return jax.tree.unflatten(structure, evaluate(closed)(*jax.tree.leaves(args)))

    donated = (donate_argnums,) if isinstance(donate_argnums, int) else donate_argnums
    jitted = jax.jit(run, donate_argnums=tuple(number + 1 for number in donated))
    consts = [jax.device_put(const) for const in jaxpr.consts]
    return lambda *args: jitted(consts, *args)
