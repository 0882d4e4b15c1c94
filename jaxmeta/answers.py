"""What a classifier may honestly say: probabilities, sets that hold the truth, "none of these".

Everything is learned from held-out support rows: each is predicted after adaptation to the others.
Arrays here are numpy's, on the host.
"""

import math
from typing import NamedTuple

import numpy as np

# The prior of log temperature, around the learner's own scale: a handful of rows that are all right
# would otherwise ask for a temperature of zero. One standard deviation is a factor of two.
PRIOR_STD = math.log(2)
LOG_TEMPERATURES = np.linspace(-3, 3, 241)
COVERAGE = 0.9  # of the sets
NONE_LEVEL = 0.05  # a p-value of at most this says "none of these"


class HeldOut(NamedTuple):
    """Predictions of support rows by what was adapted to the others."""

    logits: np.ndarray  # [S, N]
    labels: np.ndarray  # [S] int


class Calibration(NamedTuple):
    """What held-out rows say about the answers to come."""

    temperature: float  # the logits are divided by it
    threshold: float  # largest 1 - p that the sets of coverage COVERAGE let in; inf: every class
    distances: np.ndarray  # [n], sorted: minus the largest logit of each held-out row


class Answers(NamedTuple):
    """Answers to queries, with what they are worth."""

    probabilities: np.ndarray  # [M, N]
    sets: np.ndarray  # [M, N] bool: holds the truth with probability COVERAGE
    p_known: np.ndarray  # [M] p-value of "this is one of the classes"
    is_none: np.ndarray  # [M] bool: none of these, p_known <= NONE_LEVEL
    is_unsure: np.ndarray  # [M] bool: the set does not hold exactly one class


def calibrate(held_out: HeldOut) -> Calibration:
    """Temperature, threshold of the sets, and how far held-out rows are from the classes.

    The threshold is that of conformal prediction with the score `1 - p(label)` (Angelopoulos &
    Bates, "A Gentle Introduction to Conformal Prediction", 2021, section 1), over held-out rows in
    place of a set of its own. These were predicted from one row less than queries are, which errs
    on the side of coverage.
    """
    temperature = fit_temperature(held_out)
    n = len(held_out.labels)
    scores = 1 - softmax(held_out.logits / temperature)[np.arange(n), held_out.labels]
    return Calibration(temperature, conformal_threshold(scores), np.sort(distance(held_out.logits)))


def fit_temperature(held_out: HeldOut) -> float:
    """The temperature of largest posterior: cross-entropy of held-out rows, log-normal prior.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2; the prior is
    ours. 1 without held-out rows.
    """
    n = len(held_out.labels)
    if n == 0:
        return 1.0
    losses = [
        -log_softmax(held_out.logits / math.exp(log_t))[np.arange(n), held_out.labels].sum()
        + (log_t / PRIOR_STD) ** 2 / 2
        for log_t in LOG_TEMPERATURES
    ]
    return math.exp(LOG_TEMPERATURES[int(np.argmin(losses))])


def conformal_threshold(scores: np.ndarray, coverage: float = COVERAGE) -> float:
    """The n scores' order statistic number `(n + 1) * coverage`; infinite beyond the n-th.

    A number between two is interpolated, so that a new score of the same kind is below with
    probability `coverage`, exactly so for uniform ones; to round up, as for a guarantee of at least
    that, would make 92.3 % of 90 with 25 rows.
    """
    place = (len(scores) + 1) * coverage
    if place > len(scores) + 1e-9:
        return math.inf
    return float(np.interp(place, np.arange(1, len(scores) + 1), np.sort(scores)))


def distance(logits: np.ndarray) -> np.ndarray:
    """How far each row is from every class: minus its largest logit, `[M]`."""
    return -logits.max(axis=1)


def answer(logits: np.ndarray, calibration: Calibration) -> Answers:
    """Answers to queries by their logits `[M, N]`.

    A query is "none of these" where its p-value among the held-out rows,
    `(1 + #{rows at least as far}) / (n + 1)`, is at most 5 %; at least 19 held-out rows are needed
    for one so small. It is "unsure" where its set does not hold exactly one class. Where fewer than
    9 rows could be held out the sets are the fewest likeliest classes whose probabilities add up to
    the coverage.
    """
    probabilities = softmax(logits / calibration.temperature)
    if math.isfinite(calibration.threshold):
        sets = 1 - probabilities <= calibration.threshold
    else:
        sets = _likeliest(probabilities)
    n = len(calibration.distances)
    as_far = n - np.searchsorted(calibration.distances, distance(logits), side="left")
    p_known = (1 + as_far) / (n + 1)
    return Answers(probabilities, sets, p_known, p_known <= NONE_LEVEL, sets.sum(axis=1) != 1)


def _likeliest(probabilities):
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    is_in = np.cumsum(ordered, axis=1) - ordered < COVERAGE  # what stands before does not suffice
    sets = np.zeros(probabilities.shape, bool)
    np.put_along_axis(sets, order, is_in, axis=1)
    return sets


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Area under the ROC of a score that is to be larger for `unknown` than for `known`.

    The share of pairs in the right order, ties by half (Mann & Whitney 1947).
    """
    known = np.sort(known)
    below = np.searchsorted(known, unknown, side="left")
    up_to = np.searchsorted(known, unknown, side="right")
    return float((below + up_to).mean() / (2 * len(known)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, `[M, N]` float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, `[M, N]` float64."""
    return np.exp(log_softmax(logits))
