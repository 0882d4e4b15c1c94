"""An identity that has a derivative in reverse mode alone, and says so where forward mode is asked.

A function with a vector-Jacobian product of its own (`jax.custom_vjp`) has no Jacobian-vector
product. JAX says that much, without a word on whose function it is and what to do.
"""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def reverse_only(tree: Any, *, words: str) -> Any:
    """The same tree; to differentiate it in forward mode is a `TypeError` of those words."""

    def one(leaf: jax.Array) -> jax.Array:
        is_float = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
        return _same_p.bind(jnp.asarray(leaf), words=words) if is_float else leaf

    return jax.tree.map(one, tree)


def _refuse(*_: Any, words: str) -> NoReturn:
    raise TypeError(words)


_same_p = Primitive("reverse_only")
_same_p.def_impl(lambda x, *, words: x)
_same_p.def_abstract_eval(lambda x, *, words: x)
mlir.register_lowering(_same_p, lambda context, x, *, words: [x])
batching.defvectorized(_same_p)

# The tangent. Reverse mode transposes it, and never computes it.
_tangent_p = Primitive("reverse_only_tangent")
_tangent_p.def_impl(_refuse)
_tangent_p.def_abstract_eval(lambda x, *, words: x)
mlir.register_lowering(_tangent_p, _refuse)
# Many at once, as in `jax.hessian`: before JAX refuses the operations after it.
batching.primitive_batchers[_tangent_p] = _refuse
ad.deflinear2(_tangent_p, lambda cotangent, _, *, words: [cotangent])
ad.defjvp(_same_p, lambda tangent, x, *, words: _tangent_p.bind(tangent, words=words))
