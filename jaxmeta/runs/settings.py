"""The settings of a run: what must be the same when it is resumed, and which of them differ."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

# The outer optimiser is compared by its updates: at these counts of its schedules, to this error.
COUNTS = (0, 1, 10, 100, 1_000, 10_000, 100_000)
TOLERANCE = 1e-3
# Norms of three gradients in turn: what a clip does to the first, Adam's moments pass on.
NORMS = (1e3, 1e-2, 1.0)


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
        "tx": fingerprint(tx, params),
    }


def fingerprint(tx: optax.GradientTransformation, params: Any) -> list[list[float]]:
    """Sizes of the optimiser's updates, `[counts, norms]`: two optimisers alike have the same.

    The optimiser sees a small stand-in for the parameters: their tree, each array cut to one number
    per axis. It begins afresh and its counts are set, so schedules are seen far ahead.
    """
    small = jax.tree.map(lambda leaf: jnp.ones((1,) * jnp.ndim(leaf), leaf.dtype), params)
    start = tx.init(small)

    def at(count):
        def counted(leaf, fresh):
            is_count = jnp.ndim(fresh) == 0 and jnp.issubdtype(fresh.dtype, jnp.integer)
            return count.astype(fresh.dtype) if is_count else leaf

        state, sizes = start, []
        for norm in NORMS:
            grads = jax.tree.map(lambda leaf, norm=norm: (norm * leaf).astype(leaf.dtype), small)
            state = jax.tree.map(counted, state, start)
            updates, state = tx.update(grads, state, small)
            sizes.append(optax.tree.norm(updates, ord=1))
        return jnp.stack(sizes)

    sizes = jax.jit(jax.vmap(at))(jnp.array(COUNTS, jnp.int32))
    return np.asarray(sizes, np.float64).tolist()


def differences(before: Mapping, now: Mapping) -> list[str]:
    """Which settings differ, each as a part of a sentence.

    More steps than before are no difference, as a run may always go on; of the optimiser only the
    start is then compared, as schedules are often made from the number of steps.
    """
    found = []
    grows = now["steps"] > before["steps"]
    for name, value in now.items():
        if name == "tx":
            counts = slice(1 if grows else len(COUNTS))
            one, other = (np.array(of["tx"])[counts] for of in (before, now))
            if one.shape != other.shape or not np.allclose(one, other, TOLERANCE, equal_nan=True):
                found.append("tx (its updates are others)")
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
