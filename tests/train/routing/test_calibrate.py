"""Probabilities and thresholds, against a general minimiser and cases that can be worked out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from jaxdiff_train.routing.calibrate import _share_right, _two_way, platt


def loss(point, logits, truth):
    """Weighted cross-entropy with Platt's smoothed targets; either answer weighs one half."""
    positive, negative = truth.sum(), (~truth).sum()
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight = np.where(truth, 0.5 / positive, 0.5 / negative)
    inner = point[0] * logits + point[1]
    return (weight * (np.logaddexp(0, inner) - target * inner)).sum()


def sample(seed, size=60, spread=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < rng.uniform(0.2, 0.8)
    truth[:2] = True, False
    return rng.normal(truth * rng.uniform(-1, 4), 1.5) * spread, truth


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(6, 80))
def test_scale_and_shift_have_the_largest_likelihood(seed, size):
    logits, truth = sample(seed, size)
    best = minimize(loss, np.zeros(2), (logits, truth), method="BFGS", options={"gtol": 1e-9})
    assert platt(logits, truth) == pytest.approx(best.x, abs=2e-3)


@pytest.mark.parametrize("spread", [0.0001, 1.0, 50.0])
def test_the_unit_of_the_logits_does_not_matter(spread):
    logits, truth = sample(3)
    scale, shift = platt(logits, truth)
    assert platt(spread * logits, truth) == pytest.approx((scale / spread, shift), rel=0.02, abs=2e-3)


def test_two_logits_are_worked_out():
    """Three of four are true at +1, one of four at -1: smoothed by Platt, weights are equal, so are both sides."""
    logits = np.array([1.0] * 4 + [-1.0] * 4)
    truth = np.array([True, True, True, False, True, False, False, False])
    # At +1 the wanted probability is the mean of the targets: 3 of (4 + 1) / (4 + 2), 1 of 1 / (4 + 2).
    wanted = (3 * 5 / 6 + 1 / 6) / 4
    assert platt(logits, truth) == pytest.approx((np.log(wanted / (1 - wanted)), 0), abs=1e-3)


def test_separable_logits_keep_finite_probabilities():
    logits = np.array([-3.0, -2.0, 2.0, 3.0])
    scale, shift = platt(logits, logits > 0)
    assert 0 < scale < 5 and abs(shift) < 1e-3


def test_the_threshold_is_where_either_answer_is_right_most_often():
    for seed in range(5):
        logits, truth = sample(seed)
        cut, right = _two_way(logits, truth)
        said = cut.probability(logits) >= cut.threshold
        assert right == pytest.approx((said[truth].mean() + (~said[~truth]).mean()) / 2)
        for threshold in np.linspace(0.02, 0.98, 49):
            said = cut.probability(logits) >= threshold
            assert (said[truth].mean() + (~said[~truth]).mean()) / 2 <= right + 1e-9


def test_separable_logits_are_cut_in_the_middle():
    logits = np.array([-2.0, -2.0, 2.0, 2.0])
    cut, right = _two_way(logits, logits > 0)
    assert right == 1 and cut.threshold == pytest.approx(0.5, abs=0.02)


def test_a_query_is_right_where_all_of_its_requests_are_found():
    probabilities = [np.array([0.1, 0.9, 0.6]), np.array([0.2]), np.array([])]
    assert _share_right(probabilities, [2, 0, 0], 0.5) == 1
    assert _share_right(probabilities, [1, 0, 0], 0.5) == pytest.approx(2 / 3)
    assert _share_right(probabilities, [1, 0, 0], 0.7) == 1
    assert _share_right(probabilities, [3, 1, 0], 0.0) == 1
