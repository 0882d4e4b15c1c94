"""From a loss per example to one number per episode: masked means, accuracy, calibration.

A `loss_fn(outputs, y)` has the form of optax's losses: it maps `[M, N]` logits and labels to `[M]`
(one loss per example), or `[M, D]` values and targets to `[M, D]` (one per coordinate).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.learner import Examples

LossFn = Callable[[jax.Array, jax.Array], jax.Array]
ABSENT = -1e30


def is_labelled(examples: Examples) -> jax.Array:
    """Rows that are neither padding nor unlabelled (an all-zero one-hot row): `[M]` bool."""
    labelled = jnp.any(examples.y != 0, axis=-1)
    return labelled if examples.is_valid is None else labelled & examples.is_valid


def is_present(support: Examples) -> jax.Array:
    """Classes of which a support set has a labelled row: `[N]` bool."""
    return jnp.any((support.y > 0) & is_labelled(support)[:, None], axis=0)


def among(logits: jax.Array, is_present: jax.Array) -> jax.Array:
    """Logits `[M, N]` with those of absent classes out of reach: their probability is zero.

    They are finite, so that zero times their logarithm is zero.
    """
    return jnp.where(is_present, logits, ABSENT)


def masked_mean(values: jax.Array, is_counted: jax.Array) -> jax.Array:
    """Mean of `values` `[M]` where `is_counted` `[M]`; 0 when nothing counts.

    What a row that does not count holds never enters, NaN included.
    """
    total = jnp.sum(jnp.where(is_counted, values, 0))
    return total / jnp.maximum(jnp.sum(is_counted), 1)


def mean_loss(loss_fn: LossFn, outputs: jax.Array, examples: Examples) -> jax.Array:
    """Mean of a loss per example over the rows that count.

    Args:
      loss_fn: maps `outputs` and `examples.y` to `[M]` or `[M, D]`.
      outputs: `[M, N]` logits or `[M, D]` values.
      examples: `M` rows. A loss of shape `[M]` is a classification's: padding and unlabelled rows
        are left out. A loss of shape `[M, D]` is a regression's, where an all-zero target is a
        target like any other: padding alone is left out.

    Raises:
      ValueError: `loss_fn` gave another shape, such as an already averaged scalar.
    """
    losses = loss_fn(outputs, examples.y)
    rows = examples.y.shape[0]
    if losses.ndim not in (1, 2) or losses.shape[0] != rows:
        raise ValueError(
            f"loss_fn must give one loss per example, [{rows}] or [{rows}, D], "
            f"got shape {losses.shape}."
        )
    if losses.ndim == 1:
        return masked_mean(losses, is_labelled(examples))
    is_valid = jnp.ones(rows, bool) if examples.is_valid is None else examples.is_valid
    return masked_mean(jnp.mean(losses, axis=1), is_valid)


def query_loss(adapt: Callable, predict: Callable, loss_fn: LossFn) -> Callable:
    """The `loss` of a `Learner` that adapts, predicts the query set and averages `loss_fn`."""

    def loss(params, key, episode):
        outputs = predict(params, adapt(params, key, episode.support), episode.query.x)
        return mean_loss(loss_fn, outputs, episode.query), outputs

    return loss


def accuracy(outputs: jax.Array, examples: Examples) -> jax.Array:
    """Share of the labelled rows whose largest logit is the label's, in `[0, 1]`."""
    is_right = jnp.argmax(outputs, axis=-1) == jnp.argmax(examples.y, axis=-1)
    return masked_mean(is_right.astype(outputs.dtype), is_labelled(examples))


def squared_error(outputs: jax.Array, examples: Examples) -> jax.Array:
    """Mean squared error over valid rows and target dimensions, in squared target units."""
    return mean_loss(lambda predicted, y: jnp.square(predicted - y), outputs, examples)


def calibration_error(logits: jax.Array, examples: Examples, *, n_bins: int = 15) -> jax.Array:
    """Expected calibration error: |confidence - accuracy|, weighted over bins of confidence.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3. In `[0, 1]`.
    """
    probabilities = jax.nn.softmax(logits)
    confidence = jnp.max(probabilities, axis=-1)
    is_right = jnp.argmax(logits, axis=-1) == jnp.argmax(examples.y, axis=-1)
    counted = is_labelled(examples).astype(logits.dtype)
    bins = jnp.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    gap = jax.ops.segment_sum((confidence - is_right) * counted, bins, n_bins)
    return jnp.sum(jnp.abs(gap)) / jnp.maximum(jnp.sum(counted), 1)


def is_right(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Whether the largest logit of each row is the label's: `[M]` bool."""
    return jnp.argmax(outputs, axis=-1) == jnp.argmax(y, axis=-1)


# Santoro et al. 2016, section 4.1: strings of five letters, each one of five.
N_LETTERS = 5


def letters_cross_entropy(logits: jax.Array, y: jax.Array) -> jax.Array:
    """Cross-entropy of labels that are strings, summed over their letters: `[M]`.

    Args:
      logits: `[M, L * 5]`, five numbers for each of L letters.
      y: `[M, L * 5]`, L one-hot rows in one (`tasks.string_labels`).
    """
    log_p = jax.nn.log_softmax(logits.reshape(len(logits), -1, N_LETTERS))
    return -jnp.sum(log_p.reshape(logits.shape) * y, axis=1)


def letters_are_right(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Whether every letter of a row's string is the label's: `[M]` bool."""
    outputs, y = (part.reshape(len(y), -1, N_LETTERS) for part in (outputs, y))
    return jnp.all(is_right(outputs, y), axis=1)


def presentations(examples: Examples) -> jax.Array:
    """How many times a row's label has come in the rows up to and with it: `[M]` int, from 1.

    0 for padding and unlabelled rows.
    """
    counts = is_labelled(examples)
    is_same = jnp.all(examples.y[:, None] == examples.y, axis=-1) & counts
    return jnp.where(counts, jnp.sum(jnp.tril(is_same), axis=1), 0)
