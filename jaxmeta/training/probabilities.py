"""Calibration error and log-loss of a whole test, from sums over each episode."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta.learner import Examples
from jaxmeta.losses import calibration_gaps, wide
from jaxmeta.support import is_labelled
from jaxmeta.training.intervals import is_traced


class Pooled(NamedTuple):
    """Sums over the labelled queries of an episode; stacked, `[n_episodes, ...]`."""

    n_labelled: jax.Array  # queries
    gap: jax.Array  # [15], confidence less accuracy, summed over the queries of each bin
    log_loss: jax.Array  # nats
    are_classes: jax.Array  # bool: the labels are one-hot, so the outputs are logits of classes


def pooled(outputs: jax.Array, query: Examples) -> Pooled:
    """The sums of one episode, from outputs `[Q, N]` and labels `[Q, N]`."""
    if outputs.shape != query.y.shape:  # As of a learner that predicts a standard deviation too.
        zero = jnp.zeros(())
        return Pooled(zero, zero[None], zero, jnp.zeros((), bool))
    is_counted = is_labelled(query)
    y, logits = wide(query.y), wide(outputs)
    is_class = jnp.all((y == 0) | (y == 1), axis=1)
    if y.shape[1] == 1:
        log_losses = optax.sigmoid_binary_cross_entropy(logits, y)[:, 0]
    else:
        is_class &= jnp.sum(y, axis=1) == 1
        log_losses = optax.softmax_cross_entropy(logits, y)
    return Pooled(
        jnp.sum(is_counted),
        calibration_gaps(logits, query),
        jnp.sum(jnp.where(is_counted, log_losses, 0)),
        jnp.all(is_class | ~is_counted),
    )


def calibration_and_log_loss(sums: Pooled) -> tuple[Any, Any]:
    """Both numbers of a whole test; NaN where a label is not one-hot or no query has a label."""
    numpy: Any = jnp if is_traced(sums) else np
    count = sums.n_labelled.sum()
    is_known, total = sums.are_classes.all() & (count > 0), numpy.maximum(count, 1)
    error = numpy.abs(sums.gap.sum(axis=0)).sum() / total
    log_loss = sums.log_loss.sum() / total
    return numpy.where(is_known, error, numpy.nan), numpy.where(is_known, log_loss, numpy.nan)
