"""Derivatives of a program at the points where one of its operations has none.

Adam takes the root of a mean of squares. Behind a dead ReLU that mean is zero for good, the root's
derivative there is infinite, and infinity times the zero that comes before it is NaN, which one
norm over all weights carries to every other weight. A branch that was not taken does the same with
a division by zero, or a factor that is the root of a negative number, as in rectified Adam.

Such an operation gets the derivative zero wherever its value or its derivative is not finite. For
`sqrt(g^2) = |g|` that is the usual choice, the middle of both sides; and the quotient
`g / (|g| + eps)` then has its true derivative, 1 / eps. All values stay as they are, so what is NaN
forwards still shows.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp


def without_singular_derivatives(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of pytrees, with derivative zero where an operation's is not finite.

    Roots, quotients, products, logarithms, exponentials and powers are meant, also within `jit`,
    `cond` and `scan`. What has a derivative of its own (`jax.custom_jvp`) keeps it.
    """

    def smooth(*args: Any) -> Any:
        structure = None

        def flat(*leaves: Any) -> Any:
            nonlocal structure
            outputs = fn(*jax.tree.unflatten(of_args, leaves))
            outputs, structure = jax.tree.flatten(outputs)
            return outputs

        leaves, of_args = jax.tree.flatten(args)
        closed = jax.make_jaxpr(flat)(*leaves)
        return jax.tree.unflatten(structure, _run(closed.jaxpr, closed.consts, leaves))

    return smooth


def _run(jaxpr: Any, consts: Any, args: Any) -> list:
    """Evaluates a program, operation by operation, with other derivatives for some."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jax.extend.core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _operation(equation, inputs)
        if not equation.primitive.multiple_results:
            outputs = [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _operation(equation: Any, inputs: Any) -> list:
    name, settings = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = settings.get("jaxpr", settings.get("call_jaxpr"))
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    if name == "cond":
        branches = [_as_function(branch) for branch in settings["branches"]]
        return jax.lax.switch(inputs[0], branches, *inputs[1:])
    if name == "scan":
        return _scan(settings, inputs)
    if name in _GUARDED and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating):
        is_constant = [isinstance(atom, jax.extend.core.Literal) for atom in equation.invars]
        operation = partial(equation.primitive.bind, **settings)
        # No `jax.custom_jvp`: differentiating a scan in reverse loses it for the next derivative.
        return _GUARDED[name](operation, is_constant, *inputs)
    bound = equation.primitive.get_bind_params(settings)
    # Some versions of JAX give the functions among the settings apart.
    functions, settings = ((), bound) if isinstance(bound, dict) else bound
    return equation.primitive.bind(*functions, *inputs, **settings)


def _of_one(operation: Callable, is_constant: Any, x: Any) -> Any:
    """Of one argument."""
    del is_constant
    x_now = jax.lax.stop_gradient(x)
    value, slope = jax.jvp(operation, (x_now,), (jnp.ones_like(x_now),))
    fixed = ~(jnp.isfinite(value) & jnp.isfinite(slope))
    return jnp.where(fixed, value, operation(_one_where(fixed, x)))


def _product(operation: Any, is_constant: Any, x: Any, y: Any) -> Any:
    if any(is_constant):  # Such as a decay: the derivative is that number.
        return operation(x, y)
    value = operation(jax.lax.stop_gradient(x), jax.lax.stop_gradient(y))
    fixed = ~jnp.isfinite(value)
    return jnp.where(fixed, value, operation(_one_where(fixed, x), _one_where(fixed, y)))


def _quotient(operation: Any, is_constant: Any, x: Any, y: Any) -> Any:
    if is_constant[1]:
        return operation(x, y)
    x_now, y_now = jax.lax.stop_gradient((x, y))
    value = operation(x_now, y_now)
    # JAX computes -x (1 / y^2). Where only 1 / y^2 overflows the answer shows it, but for x = 0.
    of_y = jnp.where(x_now == 0, 1 / (y_now * y_now), value / y_now)
    return _of_two(operation, x, y, value, 1 / y_now, of_y)


def _power(operation: Any, is_constant: Any, x: Any, y: Any) -> Any:
    x_now, y_now = jax.lax.stop_gradient((x, y))
    value, of_x = jax.jvp(lambda x: operation(x, y_now), (x_now,), (jnp.ones_like(x_now),))
    of_y = of_x
    if not is_constant[1] and jnp.issubdtype(y_now.dtype, jnp.floating):
        _, of_y = jax.jvp(lambda y: operation(x_now, y), (y_now,), (jnp.ones_like(y_now),))
    return _of_two(operation, x, y, value, of_x, of_y)


def _of_two(operation: Any, x: Any, y: Any, value: Any, of_x: Any, of_y: Any) -> Any:
    """Of two arguments, of which the second may be singular alone: then the first still moves."""
    fixed = ~(jnp.isfinite(value) & jnp.isfinite(of_x))
    y_fixed = fixed | ~jnp.isfinite(of_y)
    moved_by_x = operation(_one_where(fixed, x), _one_where(fixed, jax.lax.stop_gradient(y)))
    moved_by_both = operation(_one_where(y_fixed, x), _one_where(y_fixed, y))
    return jnp.where(fixed, value, jnp.where(y_fixed, moved_by_x, moved_by_both))


def _one_where(fixed: Any, x: Any) -> Any:
    """What moves nothing there, and gives the operation an argument with a finite derivative."""
    return jnp.where(fixed, jnp.ones_like(x), x)


def _as_function(closed: Any) -> Callable:
    return lambda *args: _run(closed.jaxpr, closed.consts, args)


def _scan(settings: Any, inputs: Any) -> list:
    n_consts, n_carry = settings["num_consts"], settings["num_carry"]
    consts, carry, xs = (
        inputs[:n_consts],
        inputs[n_consts : n_consts + n_carry],
        inputs[n_consts + n_carry :],
    )
    body = _as_function(settings["jaxpr"])

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        outputs = body(*consts, *carry, *x)
        return outputs[:n_carry], outputs[n_carry:]

    carry, ys = jax.lax.scan(
        step, carry, xs, settings["length"], settings["reverse"], settings["unroll"]
    )
    return [*carry, *ys]


_CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint")
_GUARDED: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("sqrt", "rsqrt", "cbrt", "log", "log1p", "exp", "abs", "square", "integer_pow"), _of_one
    ),
    "mul": _product,
    "div": _quotient,
    "pow": _power,
}
