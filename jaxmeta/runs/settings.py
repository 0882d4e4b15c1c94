"""The settings of a run: what must be the same when it is resumed, and which of them differ."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta.training.scores import chosen

# The outer optimiser is compared by its updates to these gradients in turn. Weight decay stands
# alone at 0, eps shows at 1e-6, clipping at 1e3, and what it leaves in Adam's moments after that.
GRADIENTS = (0.0, 1e-6, -1e-3, 1e3, -1e-2, 1.0)
# Relative, of an update and of the largest at any count. Another machine may round 1 - 0.999**2,
# by which Adam divides in its second step, differently by 3e-5.
TOLERANCE, FLOOR = 1e-4, 1e-7
DIGITS = 7


def describe(
    key: jax.Array, steps: int, meta_batch_size: int, validation: Any, tx: Any, params: Any
) -> dict[str, Any]:
    """The settings of `fit` that decide its numbers, as JSON can hold them."""
    return {
        "key": jax.random.key_data(key).tolist(),
        "steps": steps,
        "meta_batch_size": meta_batch_size,
        "validation.every": validation and validation.every,
        "validation.n_episodes": validation and validation.n_episodes,
        "validation.metric": validation
        and qualified_name(chosen(validation.score, validation.metric).metric),
        "tx": fingerprint(tx, params, steps),
    }


def qualified_name(function: Any) -> str:
    """Where a function is defined and what it is called; of another object, those of its type."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def counts_of(steps: int) -> list[int]:
    """Counts at which schedules are looked at: each of the first 64, then ever fewer.

    With them the powers of two, far beyond the end as a run may go on, and 64 even parts of the
    run, where boundaries tend to be.
    """
    spread = [np.geomspace(1, steps, 64), np.linspace(0, steps, 64, endpoint=False)]
    within = {int(count) for counts in spread for count in counts}
    return sorted({*range(64), *(2**power for power in range(21)), *within, steps - 1})


def fingerprint(tx: optax.GradientTransformation, params: Any, steps: int) -> dict[str, Any]:
    """What an optimiser does: two that are alike have the same, up to rounding.

    It sees a small stand-in for the parameters: their tree, each array cut to one number per axis.
    It begins afresh at each of `counts`, to which the counts in its state are set, so schedules are
    seen far ahead.

    Returns `counts` `[C]`, the different `updates` `[K, C, len(GRADIENTS)]` (signed; None where one
    is not finite), and for each array of the parameters which of these `kinds` its own are.
    """
    small, start = _stand_in(tx, params)
    counts = counts_of(steps)

    def at(count):
        def counted(leaf, fresh):
            is_count = jnp.ndim(fresh) == 0 and jnp.issubdtype(fresh.dtype, jnp.integer)
            return count.astype(fresh.dtype) if is_count else leaf

        def step(state, size):
            grads = jax.tree.map(lambda leaf: (size * leaf).astype(leaf.dtype), small)
            updates, state = tx.update(grads, jax.tree.map(counted, state, start), small)
            state = jax.tree.map(lambda leaf, fresh: leaf.astype(fresh.dtype), state, start)
            return state, jnp.stack([_by_position(leaf) for leaf in jax.tree.leaves(updates)])

        return jax.lax.scan(step, start, jnp.array(GRADIENTS))[1]  # [gradients, leaves]

    rows = np.asarray(jax.jit(jax.vmap(at))(jnp.array(counts, jnp.int32)), np.float64)
    by_leaf = [[[_short(number) for number in row] for row in of] for of in np.moveaxis(rows, 2, 0)]
    updates: list = []
    for of in by_leaf:
        if of not in updates:
            updates.append(of)
    return {"counts": counts, "kinds": [updates.index(of) for of in by_leaf], "updates": updates}


def _stand_in(tx, params):
    """Small parameters, or whole ones if `tx` holds arrays of their shapes, and the first state."""
    small = jax.tree.map(lambda leaf: jnp.ones((1,) * jnp.ndim(leaf), leaf.dtype), params)
    start = tx.init(small)
    after = jax.eval_shape(lambda state: tx.update(small, state, small)[1], start)
    if jax.tree.map(jnp.shape, after) != jax.tree.map(jnp.shape, start):
        small = jax.tree.map(jnp.ones_like, params)
        start = tx.init(small)
    return small, start


def _by_position(update):
    """A sum that knows the sign and the place of each number."""
    weights = jnp.arange(1, jnp.size(update) + 1) / jnp.size(update)
    return jnp.sum(jnp.ravel(update) * weights)


def _short(number):
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


def is_alike(before: Any, now: Mapping, *, at_start: bool = False) -> bool:
    """Whether two fingerprints are of optimisers alike, at the start or at all counts they share.

    That of another form, as in older runs, and that of other parameters cannot be compared.
    """
    if not isinstance(before, Mapping) or len(before["kinds"]) != len(now["kinds"]):
        return True
    shared = [0] if at_start else sorted(set(before["counts"]) & set(now["counts"]))

    def taken(of):  # [leaves, counts, gradients]
        places = [of["counts"].index(count) for count in shared]
        return np.array(of["updates"], np.float64)[of["kinds"]][:, places]

    one, other = taken(before), taken(now)
    largest = np.nanmax(np.abs([one, other]), axis=(0, 2), initial=0.0)[:, None]
    error = np.abs(one - other) - TOLERANCE * np.abs(other) - FLOOR * largest
    return bool(np.all(np.where(np.isnan(one), np.isnan(other), error <= 0)))


def differences(before: Mapping, now: Mapping) -> list[str]:
    """Which settings differ, each as a part of a sentence; those not kept before cannot.

    More steps than before are no difference, as a run may always go on; of the optimiser only the
    start is then compared, as schedules are often made from the number of steps.
    """
    found = []
    grows = now["steps"] > before["steps"]
    for name, value in now.items():
        if name not in before:
            continue
        if name == "tx":
            if not is_alike(before["tx"], value, at_start=grows):
                found.append("tx is another optimiser or has other settings, as its updates differ")
        elif value != before[name] and not (name == "steps" and grows):
            found.append(f"{name} is {value}, was {before[name]}")
    return found


def config_differences(
    before: Any, now: Any, *, steps: tuple[int, int] | None = None, path: str = ""
) -> list[str]:
    """Which parts of two configs differ, by dotted path, each as a part of a sentence.

    `versions` may differ.

    Args:
      before, now: what JSON gives.
      steps: of the run, before and now: a field `steps` may go from the one to the other.
      path: of the part compared.
    """
    if not (isinstance(before, dict) and isinstance(now, dict)):
        is_same = before == now or (path.rpartition(".")[2] == "steps" and (before, now) == steps)
        return [] if is_same else [f"{path or 'config'} is {now!r}, was {before!r}"]
    found = []
    for name in [*before, *(name for name in now if name not in before)]:
        if not path and name == "versions":
            continue
        inner = f"{path}.{name}" if path else name
        for one, there in ((before, "is new"), (now, "is missing")):
            if name not in one:
                found.append(f"{inner} {there}")
        if name in before and name in now:
            found += config_differences(before[name], now[name], steps=steps, path=inner)
    return found
