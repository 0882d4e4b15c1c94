import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from jaxmeta import answers


def test_probabilities_by_hand():
    # e^0 : e^log 3 = 1 : 3, whatever is added to both.
    np.testing.assert_allclose(
        answers.softmax(np.array([[1000.0, 1000 + math.log(3)]])), [[0.25, 0.75]], rtol=1e-12
    )


def test_the_threshold_is_the_quantile_of_n_plus_one():
    # Of nine scores number 10 * 0.9 = 9, the largest; of eight number 8.1 is not there.
    assert answers.conformal_threshold(np.arange(1, 10) / 10) == 0.9
    assert answers.conformal_threshold(np.arange(1, 9) / 10) == math.inf
    # Of 19 number 18, whatever the order; of 14 number 13.5, between 13 and 14.
    assert answers.conformal_threshold(np.arange(19, 0, -1.0)) == 18
    assert answers.conformal_threshold(np.arange(1, 15.0)) == 13.5
    assert answers.conformal_threshold(np.zeros(0)) == math.inf


def test_the_sets_cover_what_they_say():
    random = np.random.default_rng(0)
    scores = random.random(size=(8000, 26))
    is_in = [row[25] <= answers.conformal_threshold(row[:25]) for row in scores]
    assert abs(np.mean(is_in) - 0.9) < 4 * np.sqrt(0.09 / 8000)


def test_the_temperature_is_the_one_of_largest_posterior():
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 3, (30, 4)), random.integers(0, 4, 30)

    def loss(log_t):
        scaled = logits / np.exp(log_t)
        log_p = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        return -log_p[np.arange(30), labels].sum() + log_t**2 / (2 * math.log(2) ** 2)

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded").x
    found = answers.fit_temperature(answers.HeldOut(logits, labels))
    assert best > 0.5  # logits that know nothing are to be cooled down
    assert abs(math.log(found) - best) <= 0.0126  # half a step of the grid


def test_without_held_out_rows_the_temperature_stays():
    none = answers.HeldOut(np.zeros((0, 3)), np.zeros(0, int))
    calibration = answers.calibrate(none)
    assert calibration.temperature == 1 and calibration.threshold == math.inf


def test_none_of_these_and_unsure_by_hand():
    # 19 held-out rows at distances 1 to 19; the threshold lets in classes of p >= 0.4.
    calibration = answers.Calibration(1.0, 0.6, np.arange(1.0, 20.0))
    logits = np.array([[-1.0, -9.0], [-19.0, -30.0], [-19.5, -30.0], [-1.0, -1.1]])
    found = answers.answer(logits, calibration)
    # p = (1 + #{rows at least as far}) / 20: 20 / 20, 2 / 20, 1 / 20 and 20 / 20.
    np.testing.assert_allclose(found.p_known, [1, 0.1, 0.05, 1])
    assert found.is_none.tolist() == [False, False, True, False]
    assert found.sets.tolist() == [[True, False], [True, False], [True, False], [True, True]]
    assert found.is_unsure.tolist() == [False, False, False, True]


def test_few_rows_leave_the_likeliest_classes():
    probabilities = np.array([[0.5, 0.3, 0.15, 0.05], [0.95, 0.03, 0.01, 0.01]])
    calibration = answers.Calibration(1.0, math.inf, np.zeros(0))
    found = answers.answer(np.log(probabilities), calibration)
    # 0.5 + 0.3 + 0.15 is the first sum of at least 0.9; 0.95 is it alone.
    assert found.sets.tolist() == [[True, True, True, False], [True, False, False, False]]
    assert found.is_unsure.tolist() == [True, False]
    assert not found.is_none.any()  # No p-value without rows to compare with.


@pytest.mark.parametrize("swap, area", [(False, 3.5 / 4), (True, 0.5 / 4)])
def test_the_area_under_the_roc_is_a_count_of_pairs(swap, area):
    # Of the pairs (1, 2) (1, 3) (2, 2) (2, 3) three are in order and one is a tie.
    known, unknown = np.array([1.0, 2.0]), np.array([2.0, 3.0])
    assert answers.auroc(*((unknown, known) if swap else (known, unknown))) == area
