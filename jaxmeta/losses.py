"""From a loss per example to one number per episode: masked means, accuracy, calibration.

A `loss_fn(outputs, y)` has the form of optax's losses: it maps `[M, N]` logits and labels to `[M]`
(one loss per example), or `[M, D]` values and targets to `[M, D]` (one per coordinate). Outputs and
`y` have one shape, and `loss_fn` gets both in float32 or better, in which all means are taken.
"""

from collections.abc import Callable

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jaxmeta.learner import Examples, check_rank
from jaxmeta.support import is_labelled, is_valid_row

LossFn = Callable[[jax.Array, jax.Array], jax.Array]
ABSENT = -1e30


def wide(values: jax.Array) -> jax.Array:
    """The same values in float32 or better: sums of many 16-bit numbers stall or overflow."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def among(logits: jax.Array, is_present: jax.Array) -> jax.Array:
    """Logits `[M, N]` with those of absent classes out of reach: their probability is zero.

    They are finite in every float type, so that zero times their logarithm is zero.

    Example:
      >>> jax.nn.softmax(among(jnp.zeros((1, 3)), jnp.array([True, False, True]))).tolist()
      [[0.5, 0.0, 0.5]]
    """
    absent = max(ABSENT, float(jnp.finfo(logits.dtype).min) / 2)
    return jnp.where(is_present, logits, jnp.asarray(absent, logits.dtype))


def masked_mean(values: jax.Array, is_counted: jax.Array) -> jax.Array:
    """Mean of `values` `[M]` where `is_counted` `[M]`, in float32 or better; 0 when nothing counts.

    What a row that does not count holds never enters, NaN included.

    Example:
      >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])))
      2.0
    """
    total = jnp.sum(jnp.where(is_counted, wide(values), 0))
    return total / jnp.maximum(jnp.sum(is_counted), 1)


def check_outputs(outputs: jax.Array, y: jax.Array) -> None:
    """Outputs have the shape of labels or targets: others would broadcast to a wrong number.

    Raises:
      ValueError: they have not.
    """
    check_rank(y)
    shape = getattr(outputs, "shape", type(outputs).__name__)
    if shape != y.shape:
        raise ValueError(
            f"outputs must have the shape of y, got outputs {shape} and y {y.shape}: the net must "
            "give [M, N] for N classes, or [M, D] for D targets (`x[:, None]` makes one column)."
        )


def per_example(loss_fn: LossFn, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The losses `[M]` or `[M, D]` of `loss_fn`, which gets both in float32 or better.

    Raises:
      ValueError: `outputs` and `y` differ in shape; `loss_fn` gave another shape than these two,
        such as an already averaged scalar; or it gives one loss whatever the only output is.
      TypeError: `loss_fn` is not a function.
    """
    if not callable(loss_fn):
        raise TypeError(
            "loss_fn must be a function (outputs, y) -> [M] or [M, D] such as "
            f"optax.softmax_cross_entropy, got {loss_fn!r}."
        )
    check_outputs(outputs, y)
    outputs, y = wide(outputs), wide(y)
    losses = loss_fn(outputs, y)
    rows = y.shape[0]
    if losses.ndim not in (1, 2) or losses.shape[0] != rows:
        raise ValueError(
            f"loss_fn must give one loss per example, [{rows}] or [{rows}, D], "
            f"got shape {losses.shape}."
        )
    if losses.ndim == 1 and y.shape[-1] == 1 and _is_blind(loss_fn, outputs, y):
        raise ValueError(
            "loss_fn gives the same loss whatever the net's one output is, as a softmax over one "
            "column does: take optax.sigmoid_binary_cross_entropy for labels 0 and 1 in one "
            "column, optax.squared_error for targets, or labels and outputs of 2 columns."
        )
    return losses


def _is_blind(loss_fn, outputs, y):
    """Whether a loss of one column does not depend on the output, tried out on a few numbers."""
    shapes = [jax.ShapeDtypeStruct(part.shape, part.dtype) for part in (outputs, y)]
    closed = jax.make_jaxpr(loss_fn)(*shapes)
    if any(isinstance(const, jax.core.Tracer) for const in closed.consts):
        return False  # It depends on more than can be tried out now.
    run = jax.extend.core.jaxpr_as_fun(closed)
    with jax.ensure_compile_time_eval():
        for label in (0, 1):
            labels = np.full(y.shape, label, y.dtype)
            tried = [np.full(outputs.shape, number, outputs.dtype) for number in (-3, 0.5, 4)]
            first, *others = (np.asarray(run(number, labels)[0]) for number in tried)
            if any((other != first).any() for other in others):
                return False
    return True


def mean_loss(loss_fn: LossFn, outputs: jax.Array, examples: Examples) -> jax.Array:
    """Mean of a loss per example over the rows that count, a scalar in float32 or better.

    Args:
      loss_fn: maps `outputs` and `examples.y` to `[M]` or `[M, D]`.
      outputs: `[M, N]` logits or `[M, D]` values, in the shape of `examples.y`.
      examples: `M` rows. A loss of shape `[M]` is a classification's: padding and unlabelled rows
        are left out (see `jaxmeta.support.has_label`). Where no row has a label, or a number is not
        in `[0, 1]`, `y` holds targets, and padding alone is left out. A loss of shape `[M, D]` is a
        regression's, where an all-zero target is a target like any other.

    Raises:
      ValueError: as `per_example`.

    Example:
      >>> import optax
      >>> rows = Examples(jnp.zeros((2, 1)), jnp.eye(2), is_valid=jnp.array([True, False]))
      >>> round(float(mean_loss(optax.softmax_cross_entropy, jnp.zeros((2, 2)), rows)), 4)
      0.6931
    """
    losses = per_example(loss_fn, outputs, examples.y)
    is_counted = is_valid_row(examples)
    if losses.ndim == 2:
        return masked_mean(jnp.mean(wide(losses), axis=1), is_counted)
    labelled = is_labelled(examples)
    holds_labels = jnp.any(labelled) & ~_holds_targets(examples)
    return masked_mean(losses, jnp.where(holds_labels, labelled, is_counted))


def query_loss(adapt: Callable, predict: Callable, loss_fn: LossFn) -> Callable:
    """The `loss` of a `Learner` that adapts, predicts the query set and averages `loss_fn`."""

    def loss(params, key, episode):
        outputs = predict(params, adapt(params, key, episode.support), episode.query.x)
        return mean_loss(loss_fn, outputs, episode.query), outputs

    return loss


def accuracy(outputs: jax.Array, examples: Examples) -> jax.Array:
    """Share of the labelled rows whose largest logit is the label's, in `[0, 1]`.

    One column holds one logit for labels 0 and 1: a row is right when the logit is above 0 exactly
    where the label is above 0.5. NaN where a label is not in `[0, 1]`, being a target of a
    regression.

    Raises:
      ValueError: outputs and `y` differ in shape.

    Example:
      >>> logits = jnp.array([[2.0, 0.0], [1.0, 3.0], [5.0, 0.0]])
      >>> rows = Examples(jnp.zeros((3, 1)), jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
      >>> round(float(accuracy(logits, rows)), 3)
      0.667
    """
    right = is_right(outputs, examples.y)
    dtype = jnp.promote_types(outputs.dtype, jnp.float32)
    return _of_labels(masked_mean(right.astype(dtype), is_labelled(examples)), examples)


def squared_error(outputs: jax.Array, examples: Examples) -> jax.Array:
    """Mean squared error over valid rows and target dimensions, in squared target units.

    Raises:
      ValueError: outputs and `y` differ in shape.

    Example:
      >>> rows = Examples(jnp.zeros((2, 1)), jnp.array([[1.0], [3.0]]))
      >>> float(squared_error(jnp.array([[0.0], [3.0]]), rows))
      0.5
    """
    return mean_loss(lambda predicted, y: jnp.square(predicted - y), outputs, examples)


def calibration_gaps(logits: jax.Array, examples: Examples, *, n_bins: int = 15) -> jax.Array:
    """Confidence less accuracy, summed over the labelled rows of each bin: `[n_bins]`.

    Confidence is the largest entry of the softmax; of one column, that of the sigmoid. Bin b holds
    `[b / n_bins, (b + 1) / n_bins)`, the last one 1 too. Gaps of episodes may be added up.

    Raises:
      ValueError: logits and `y` differ in shape.

    Example:
      >>> logits = jnp.array([[2.0, 0.0], [1.0, 3.0], [5.0, 0.0]])
      >>> rows = Examples(jnp.zeros((3, 1)), jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
      >>> round(float(calibration_error(logits, rows)), 2)
      0.41
    """
    right = is_right(logits, examples.y)
    logits = wide(logits)
    if logits.shape[-1] == 1:
        confidence = jax.nn.sigmoid(jnp.abs(logits[:, 0]))
    else:
        confidence = jnp.max(jax.nn.softmax(logits), axis=-1)
    bins = jnp.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    belongs = (bins[:, None] == jnp.arange(n_bins)[None]) & is_labelled(examples)[:, None]
    return jnp.sum(jnp.where(belongs, (confidence - right)[:, None], 0), axis=0)


def calibration_error(logits: jax.Array, examples: Examples, *, n_bins: int = 15) -> jax.Array:
    """Expected calibration error: |confidence - accuracy|, weighted over bins of confidence.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3. In `[0, 1]`.
    One column holds one logit for labels 0 and 1, whose confidence is that of its sigmoid. NaN
    where a label is not in `[0, 1]`. Of one episode: `jaxmeta.evaluate` pools a whole test.

    Raises:
      ValueError: logits and `y` differ in shape.
    """
    gaps = calibration_gaps(logits, examples, n_bins=n_bins)
    error = jnp.sum(jnp.abs(gaps)) / jnp.maximum(jnp.sum(is_labelled(examples)), 1)
    return _of_labels(error, examples)


def _of_labels(value, examples):
    """The value of a metric of labels; NaN of numbers that cannot be labels."""
    return jnp.where(_holds_targets(examples), jnp.nan, value)


def _holds_targets(examples):
    """Whether a number of `y` cannot be a label's: it is not in `[0, 1]`."""
    strange = ((examples.y < 0) | (examples.y > 1)).any(-1)
    return jnp.any(strange & is_valid_row(examples))


def is_right(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Whether the largest logit of each row is the label's: `[M]` bool.

    Of one column, whether the logit is above 0 exactly where the label is above 0.5.

    Raises:
      ValueError: outputs and `y` differ in shape.

    Example:
      >>> is_right(jnp.array([[2.0, 1.0], [2.0, 1.0]]), jnp.eye(2)).tolist()
      [True, False]
    """
    check_outputs(outputs, y)
    if y.shape[-1] == 1:
        return ((outputs > 0) == (y > 0.5))[..., 0]
    return jnp.argmax(outputs, axis=-1) == jnp.argmax(y, axis=-1)


# Santoro et al. 2016, section 4.1: strings of five letters, each one of five.
N_LETTERS = 5


def letters_cross_entropy(logits: jax.Array, y: jax.Array) -> jax.Array:
    """Cross-entropy of labels that are strings, summed over their letters: `[M]`.

    Args:
      logits: `[M, L * 5]`, five numbers for each of L letters.
      y: `[M, L * 5]`, L one-hot rows in one (`tasks.string_labels`).
    """
    check_outputs(logits, y)
    log_p = jax.nn.log_softmax(wide(logits).reshape(len(logits), -1, N_LETTERS))
    return -jnp.sum(log_p.reshape(logits.shape) * y, axis=1)


def letters_are_right(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Whether every letter of a row's string is the label's: `[M]` bool.

    Raises:
      ValueError: outputs and `y` differ in shape.
    """
    check_outputs(outputs, y)
    outputs, y = (part.reshape(len(y), -1, N_LETTERS) for part in (outputs, y))
    return jnp.all(jnp.argmax(outputs, axis=-1) == jnp.argmax(y, axis=-1), axis=1)


def presentations(examples: Examples) -> jax.Array:
    """How many times a row's label has come in the rows up to and with it: `[M]` int, from 1.

    0 for padding and unlabelled rows.

    Example:
      >>> rows = Examples(jnp.zeros((3, 1)), jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
      >>> presentations(rows).tolist()
      [1, 1, 2]
    """
    counts = is_labelled(examples)
    is_same = jnp.all(examples.y[:, None] == examples.y[None], axis=-1) & counts[None]
    return jnp.where(counts, jnp.sum(jnp.tril(is_same), axis=1), 0)
