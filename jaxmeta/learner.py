"""The contract every meta-learner fulfils: four pure functions over explicit parameters.

Axis legend, used by every docstring of the library:

    B  meta-batch: tasks per meta-step        N  n_way: classes of an episode
    S  support rows, N * k_shot               Q  query rows, N * q_queries
    M  either of S and Q                      D  target or embedding dimension
    *X shape of one input, such as [28, 28, 1]
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

MOST_WAYS = 2**16  # longer one-hot rows are a mistake in the labels, and would fill the memory
Key = jax.Array  # `jax.random.key(seed)`, of shape []
Params = Any  # meta-parameters: any pytree
Adapted = Any  # what a learner takes from one task: any pytree
Outputs = jax.Array  # [M, N] logits or [M, D] values


class Examples(NamedTuple):
    """Inputs with their labels or targets, one row each."""

    x: jax.Array  # [M, *X]
    y: jax.Array  # [M, N] one-hot labels (an all-zero row is unlabelled), or [M, D] targets
    is_valid: jax.Array | None = None  # [M] bool; False marks padding. None: all rows count


class Episode(NamedTuple):
    """One draw from a task: what the learner adapts to, and what it is tested on."""

    support: Examples  # M = S
    query: Examples  # M = Q


class Stream(NamedTuple):
    """A sequence of inputs, each predicted before its label is shown; nothing is known before.

    Its steps T are rows like those of `Examples`. For learners that read it, such as `mann`;
    `learners.memory.taking_streams` makes one of your own.
    """

    x: jax.Array  # [T, *X]
    y: jax.Array  # [T, N] one-hot labels, or strings (`tasks.string_labels`)
    is_valid: jax.Array | None = None  # [T] bool; False marks padding. None: all steps count


class Trainable(Protocol):
    """What a meta-step asks for, and all that it asks for; one function call is one task.

    A `Learner` is one whose tasks are episodes, an `rl.Agent` one whose tasks are environments.
    """

    @property
    def init(self) -> Callable[[jax.Array, Any], Params]:
        """`(key, task) -> params`: meta-parameters, any pytree."""

    @property
    def loss(self) -> Callable[[Params, jax.Array, Any], tuple[jax.Array, Any]]:
        """`(params, key, task) -> (scalar, anything)`: its value is reported, and its derivative in
        `params` is the direction of the meta-update."""

    def check(self, task: Any) -> None:
        """Refuses, before anything is compiled, a task that is not one of its kind."""


class Learner(NamedTuple):
    """A meta-learner. Every function handles one episode; the meta-batch appears in the step."""

    init: Callable[[Key, Episode], Params]
    """`(key, episode) -> params`: meta-parameters, any pytree."""
    adapt: Callable[[Params, Key, Examples], Adapted]
    """`(params, key, support) -> adapted`: all that one task needs, any pytree."""
    predict: Callable[[Params, Adapted, jax.Array], Outputs]
    """`(params, adapted, x) -> outputs`: logits `[M, N]` or values `[M, D]`."""
    loss: Callable[[Params, Key, Episode], tuple[jax.Array, Outputs]]
    """`(params, key, episode) -> (scalar, query outputs)`; `jax.grad` of it is the meta-update."""

    def check(self, task: Any) -> None:
        """A task is an episode or a stream, its labels in rows; raises as `check_episode`."""
        match task:
            case Stream():
                check_labels(stream=Examples(*task))
            case _:
                check_episode(task)


def make_episode(
    support_x: ArrayLike,
    support_y: ArrayLike,
    query_x: ArrayLike,
    query_y: ArrayLike,
    *,
    n_way: int | None = None,
) -> Episode:
    """Builds a checked `Episode` from plain arrays, before anything is compiled.

    Args:
      support_x: inputs `[S, *X]`.
      support_y: integer labels `[S]` in `0..n_way-1`, or `[S, N]` one-hot rows or `[S, D]` targets.
      query_x: inputs `[Q, *X]`.
      query_y: like `support_y`, `[Q]` or `[Q, N]` or `[Q, D]`.
      n_way: number of classes of integer labels; by default one more than the largest of the
        support labels.

    Returns an `Episode` whose labels are float one-hot `[M, N]` if they came as integers.

    Raises:
      ValueError: row counts or shapes disagree, a label is out of range, a number is not finite,
        there is one class only, or a query is of a class that no support row has.
      TypeError: an array that does not hold real numbers, or labels of rank one that are not
        integers.

    Example:
      >>> episode = make_episode([[0.0], [1.0]], [0, 1], [[0.9]], [1])
      >>> episode.query.y.tolist()
      [[0.0, 1.0]]
    """
    support_x, support_y, query_x, query_y = (
        _array(name, values)
        for name, values in (
            ("support.x", support_x),
            ("support.y", support_y),
            ("query.x", query_x),
            ("query.y", query_y),
        )
    )
    for name, x, y in (("support", support_x, support_y), ("query", query_x, query_y)):
        _check_rows(name, x, y)
    if support_x.shape[1:] != query_x.shape[1:]:
        raise ValueError(
            f"support.x and query.x must hold inputs of one shape, got {support_x.shape[1:]} "
            f"and {query_x.shape[1:]}."
        )
    if support_y.ndim != query_y.ndim:
        raise ValueError(
            f"support.y and query.y must have one rank, got {support_y.ndim} and {query_y.ndim}."
        )
    if support_y.ndim == 1:
        _check_integers("support.y", support_y)
        _check_integers("query.y", query_y)
        ways = int(support_y.max()) + 1 if n_way is None else n_way
        if n_way is None and ways == 1:
            raise ValueError(
                "an episode needs 2 classes or more, but every label of support.y is 0: with one "
                "class every answer is right."
            )
        if n_way is not None and n_way < 2:
            raise ValueError(f"n_way must be at least 2, got {n_way}.")
        support_y = _one_hot("support.y", support_y, ways)
        query_y = _one_hot("query.y", query_y, ways)
    elif support_y.shape[1:] != query_y.shape[1:]:
        raise ValueError(
            f"support.y and query.y must have one width, got {support_y.shape[1:]} "
            f"and {query_y.shape[1:]}."
        )
    elif n_way is not None and support_y.shape[1] != n_way:
        raise ValueError(f"n_way is {n_way} but support.y has {support_y.shape[1]} columns.")
    check_classes(support_y, query_y)
    return Episode(
        Examples(jnp.asarray(support_x), jnp.asarray(support_y)),
        Examples(jnp.asarray(query_x), jnp.asarray(query_y)),
    )


def check_labels(**parts: Examples) -> None:
    """Labels are rows, one for each input, as every loss takes them; shapes alone are looked at.

    Args:
      parts: examples under the names that an error gives them.

    Raises:
      ValueError: `y` is not `[M, N]` or `[M, D]`, or it or `is_valid` has not a row for each input.
      TypeError: `x` or `y` is not an array.
    """
    for name, (x, y, is_valid) in parts.items():
        for part, values in (("x", x), ("y", y)):
            if not hasattr(values, "ndim"):
                raise TypeError(
                    f"{name}.{part} must be one array, got {type(values).__name__}: "
                    "`jaxmeta.Examples` takes arrays, `make_episode` makes them of lists."
                )
        if x.ndim == 0 or y.ndim != 2 or x.shape[:1] != y.shape[:1]:
            raise ValueError(
                f"{name}.y must be [M, N] one-hot or [M, D], with a row for each input, got shape "
                f"{y.shape} for {name}.x {x.shape}; `make_episode` takes integer labels, and "
                "`y[:, None]` makes one column of targets."
            )
        if is_valid is not None and is_valid.shape != x.shape[:1]:
            raise ValueError(
                f"{name}.is_valid must be [M], one for each of {x.shape[0]} rows, got shape "
                f"{is_valid.shape}."
            )


def check_rank(y: jax.Array) -> None:
    """What `check_labels` says of `y`, in functions that take examples as given.

    Raises:
      ValueError: `y` is not of rank two.
    """
    if y.ndim != 2:
        raise ValueError(
            f"y must be [M, N] one-hot or [M, D], got shape {y.shape}; `make_episode` takes "
            "integer labels, and `y[:, None]` makes one column of targets."
        )


def check_episode(episode: Any) -> None:
    """What a sample gives is an episode, its labels in rows.

    Raises:
      TypeError: it is something else, such as a tuple of arrays.
      ValueError: its labels are not rows.
    """
    if isinstance(episode, Stream):
        raise TypeError(
            "sample must give an Episode here, got a Stream: learners such as jaxmeta.mann learn "
            "from streams, and jaxmeta.evaluate(..., score=jaxmeta.online()) tests them."
        )
    if not isinstance(episode, Episode):
        raise TypeError(
            f"sample must give an Episode, got {type(episode).__name__}: "
            "`jaxmeta.Episode(jaxmeta.Examples(x, y), jaxmeta.Examples(x, y))` is one."
        )
    check_labels(**episode._asdict())


def check_stream(stream: Any) -> None:
    """What a sample gives is a stream, its labels in rows.

    Raises:
      TypeError: it is something else, such as an episode.
      ValueError: its labels are not rows.
    """
    if not isinstance(stream, Stream):
        raise TypeError(
            f"sample must give a Stream here, got {type(stream).__name__}: `jaxmeta.Stream(x, y)` "
            "is one, and score=few_shot() is for episodes."
        )
    check_labels(stream=Examples(*stream))


def check_classes(support_y: np.ndarray, query_y: np.ndarray) -> None:
    """The support set has two classes or more, and that of every query, where both are one-hot.

    Args:
      support_y: `[S, N]`; rows that are not one-hot (targets, soft labels) are not looked at.
      query_y: `[Q, N]`.

    Raises:
      ValueError: it has one class only, or a query is of a class that it lacks.
    """
    parts = np.asarray(support_y), np.asarray(query_y)
    if parts[0].shape[1] < 2 or not all(
        np.isin(y, (0, 1)).all() and (y.sum(1) <= 1).all() for y in parts
    ):
        return
    lacking = (parts[1] > 0) & ~parts[0].any(0)
    if lacking.any():
        row, label = map(int, np.argwhere(lacking)[0])
        raise ValueError(
            f"every class of the queries must have a support row, but row {row} of query.y is of "
            f"class {label}, of which support.y has none: add an example, or leave the query out."
        )
    if parts[0].any() and parts[0].any(0).sum() < 2:
        raise ValueError(
            "an episode needs 2 classes or more, but every label of support.y is "
            f"{int(np.argmax(parts[0].any(0)))}: with one class every answer is right."
        )


def _array(name: str, values: Any) -> np.ndarray:
    """An array of real numbers.

    Raises:
      TypeError: it holds something else.
      ValueError: rows have different lengths.
    """
    if isinstance(values, dict):
        raise TypeError(
            f"{name} must be one array, got a dict of {', '.join(map(repr, values))}: join its "
            "parts along the last axis."
        )
    values = np.asarray(values)
    if values.dtype.kind in "US":
        raise TypeError(
            f"{name} must hold real numbers, got {values.dtype}: number the names of classes, as "
            "`np.unique(names, return_inverse=True)` does for support and query together."
        )
    if not _is_real(values.dtype):
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}.")
    return values


def _is_real(dtype: np.dtype) -> bool:
    """Also of the float types that NumPy knows from elsewhere, such as bfloat16."""
    return dtype.kind in "biuf" or jnp.issubdtype(dtype, jnp.floating)


def _check_rows(name: str, x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"{name}.x and {name}.y must have as many rows, got shapes {x.shape} and {y.shape}."
        )
    if len(x) == 0:
        raise ValueError(f"{name} must have at least 1 row, got 0.")
    if y.ndim > 2:
        raise ValueError(f"{name}.y must be [M], [M, N] or [M, D], got shape {y.shape}.")
    for part, values in (("x", x), ("y", y)):
        finite = np.isfinite(values.astype(np.float64, copy=False))
        if not finite.all():
            row = int(np.argwhere(~finite)[0][0])
            raise ValueError(f"{name}.{part} must be finite, but row {row} has NaN or infinity.")
        kept = jax.dtypes.canonicalize_dtype(values.dtype)  # What JAX makes of 64 bits.
        with np.errstate(over="ignore"):
            cast = values.astype(kept)
        fits = np.isfinite(cast.astype(np.float64)) if values.dtype.kind == "f" else cast == values
        if not fits.all():
            place = tuple(np.argwhere(~fits)[0])
            raise ValueError(
                f"{name}.{part} must fit into {kept}, but row {place[0]} has {values[place]}: "
                "scale it, or set JAX_ENABLE_X64=1."
            )


def _check_integers(name: str, labels: np.ndarray) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"{name} of rank 1 must hold integer labels, got {labels.dtype}: for the targets of a "
            "regression give `y[:, None]`, of shape [M, 1]."
        )


def _one_hot(name: str, labels: np.ndarray, n_way: int) -> np.ndarray:
    wrong = (labels < 0) | (labels >= n_way)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{name} must hold labels in 0..{n_way - 1}, but row {row} has {labels[row]}."
        )
    if n_way > MOST_WAYS:
        raise ValueError(f"n_way must be at most {MOST_WAYS}, got {n_way}.")
    return (labels[:, None] == np.arange(n_way)).astype(np.float32)
