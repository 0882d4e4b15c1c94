"""Derivatives of a program at the points where one of its operations has none.

Adam takes the root of a mean of squares. Behind a dead ReLU that mean is zero for good, the root's
derivative there is infinite, and infinity times the zero that comes before it is NaN, which one
norm over all weights carries to every other weight. A division in a branch that was not taken does
the same.

Such an operation gets the derivative zero at exactly these points. For `sqrt(g^2) = |g|` that is
the usual choice, the middle of both sides; and the quotient `g / (|g| + eps)` then has its true
derivative, 1 / eps. All values stay as they are, so what is NaN forwards still shows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp


def without_singular_derivatives(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of pytrees, with derivative zero where an operation's is not finite.

    Roots, quotients, logarithms and powers are meant, also within `jit`, `cond` and `scan`. What
    has a derivative of its own (`jax.custom_jvp`) keeps it.
    """

    def smooth(*args):
        structure = None

        def flat(*leaves):
            nonlocal structure
            outputs = fn(*jax.tree.unflatten(of_args, leaves))
            outputs, structure = jax.tree.flatten(outputs)
            return outputs

        leaves, of_args = jax.tree.flatten(args)
        closed = jax.make_jaxpr(flat)(*leaves)
        return jax.tree.unflatten(structure, _run(closed.jaxpr, closed.consts, leaves))

    return smooth


def _run(jaxpr, consts, args):
    """Evaluates a program, operation by operation, with other derivatives for some."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, jax.extend.core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _operation(equation, inputs)
        if not equation.primitive.multiple_results:
            outputs = [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _operation(equation, inputs):
    name, settings = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = settings.get("jaxpr", settings.get("call_jaxpr"))
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    if name == "cond":
        branches = [_as_function(branch) for branch in settings["branches"]]
        return jax.lax.switch(inputs[0], branches, *inputs[1:])
    if name == "scan":
        return _scan(settings, inputs)
    if name in _SINGULAR and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating):
        return _with_zero_at_the_singular(equation, inputs, *_SINGULAR[name])
    bound = equation.primitive.get_bind_params(settings)
    # Some versions of JAX give the functions among the settings apart.
    functions, settings = ((), bound) if isinstance(bound, dict) else bound
    return equation.primitive.bind(*functions, *inputs, **settings)


def _with_zero_at_the_singular(equation, inputs, position, is_singular):
    """The operation, whose derivative is zero where `is_singular` of its arguments."""
    # No `jax.custom_jvp`: differentiating a scan in reverse loses it for the next derivative.
    operation = partial(equation.primitive.bind, **equation.params)
    singular = is_singular(*inputs, **equation.params)
    safe = list(inputs)
    safe[position] = jnp.where(singular, jnp.ones_like(safe[position]), safe[position])
    return jnp.where(singular, operation(*map(jax.lax.stop_gradient, inputs)), operation(*safe))


def _as_function(closed):
    return lambda *args: _run(closed.jaxpr, closed.consts, args)


def _scan(settings, inputs):
    n_consts, n_carry = settings["num_consts"], settings["num_carry"]
    consts, carry, xs = (
        inputs[:n_consts],
        inputs[n_consts : n_consts + n_carry],
        inputs[n_consts + n_carry :],
    )
    body = _as_function(settings["jaxpr"])

    def step(carry, x):
        outputs = body(*consts, *carry, *x)
        return outputs[:n_carry], outputs[n_carry:]

    carry, ys = jax.lax.scan(
        step, carry, xs, settings["length"], settings["reverse"], settings["unroll"]
    )
    return [*carry, *ys]


_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
# Which argument the derivative is singular in, and where.
_SINGULAR: dict[str, tuple[int, Callable[..., Any]]] = {
    "sqrt": (0, lambda x, **_: x == 0),
    "rsqrt": (0, lambda x, **_: x == 0),
    "cbrt": (0, lambda x, **_: x == 0),
    "log": (0, lambda x, **_: x == 0),
    "div": (1, lambda x, y, **_: y == 0),
    "pow": (0, lambda x, y, **_: (x == 0) & (y < 1)),
    "integer_pow": (0, lambda x, y, **_: (x == 0) & (y < 1)),
}
