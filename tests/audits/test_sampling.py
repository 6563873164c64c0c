"""Sample sizes and bounds, held against SciPy, published plans and their own definitions."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crowd.audits.sampling import (
    chance_of_at_most,
    lot_bounds,
    most_tolerable,
    rate_bounds,
    sample_size,
)

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.99])
RATES = st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.1, 0.3])


@given(st.integers(1, 300), st.data())
def test_the_chance_is_the_hypergeometric_one(lot: int, data: st.DataObject) -> None:
    wrong, drawn = data.draw(st.integers(0, lot)), data.draw(st.integers(1, lot))
    most = data.draw(st.integers(0, drawn))
    expected = stats.hypergeom.cdf(most, lot, wrong, drawn)
    assert float(chance_of_at_most(most, lot, wrong, drawn)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), RATES, CONFIDENCES, st.integers(0, 4))
def test_the_sample_is_the_smallest_that_keeps_the_risk(
    lot: int, rate: float, confidence: float, allowed: int
) -> None:
    size = sample_size(lot, rate, confidence, allowed)
    assert size is not None
    too_many = most_tolerable(lot, rate) + 1
    borne = min(allowed, too_many - 1)
    risk = 1 - Fraction(str(confidence))
    assert 1 <= size <= lot
    assert chance_of_at_most(borne, lot, too_many, size) <= risk
    assert size == 1 or chance_of_at_most(borne, lot, too_many, size - 1) > risk


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 2000), RATES, CONFIDENCES, st.integers(0, 3), st.data())
def test_the_upper_bound_is_tolerable_exactly_up_to_what_is_allowed(
    lot: int, rate: float, confidence: float, allowed: int, data: st.DataObject
) -> None:
    size = sample_size(lot, rate, confidence, allowed)
    assert size is not None
    borne = min(allowed, most_tolerable(lot, rate))
    wrong = data.draw(st.integers(0, min(size, borne + 2)))
    upper = Fraction(round(lot_bounds(lot, size, wrong, confidence).upper * lot), lot)
    assert (upper <= Fraction(str(rate))) == (wrong <= borne)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 120), CONFIDENCES, st.data())
def test_the_bounds_of_a_lot_hold_exactly_those_lots_that_the_sample_does_not_speak_against(
    lot: int, confidence: float, data: st.DataObject
) -> None:
    judged = data.draw(st.integers(1, lot))
    wrong = data.draw(st.integers(0, judged))
    found = lot_bounds(lot, judged, wrong, confidence)
    risk = 1 - Fraction(str(confidence))
    possible = range(wrong, lot - (judged - wrong) + 1)
    upper = [held for held in possible if chance_of_at_most(wrong, lot, held, judged) > risk]
    lower = [held for held in possible if 1 - chance_of_at_most(wrong - 1, lot, held, judged) > risk]
    assert (round(found.lower * lot), round(found.upper * lot)) == (min(lower), max(upper))


@given(st.integers(1, 5000), CONFIDENCES, st.data())
def test_rates_are_bounded_as_clopper_and_pearson_do(
    judged: int, confidence: float, data: st.DataObject
) -> None:
    wrong = data.draw(st.integers(0, judged))
    exact = stats.binomtest(wrong, judged).proportion_ci(1 - 2 * (1 - confidence), method="exact")
    found = rate_bounds(judged, wrong, confidence)
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_in_a_huge_lot_the_plan_is_the_binomial_one() -> None:
    # The "rule of three": with nothing found in 299, fewer than 1% are wrong, at 95%.
    assert sample_size(8_000_000, 0.01, 0.95, 0) == math.ceil(math.log(0.05) / math.log(0.99)) == 299
    bounds = lot_bounds(8_000_000, 299, 2, 0.95)
    binomial = rate_bounds(299, 2, 0.95)
    assert (bounds.lower, bounds.upper) == pytest.approx((binomial.lower, binomial.upper), abs=1e-5)


def test_small_lots_need_less_and_at_last_everything() -> None:
    sizes = [sample_size(lot, 0.02, 0.95, 0) or 0 for lot in (10, 50, 200, 1000, 100_000)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 10
    assert sample_size(1, 0.02, 0.95, 5) == 1


def test_a_sample_that_nobody_would_see_the_end_of_is_none() -> None:
    assert sample_size(8_000_000, 0.0006, 0.95, 0) == 4989
    assert sample_size(8_000_000, 0.0005, 0.95, 0) is None
    assert sample_size(8_000_000, 0.0000001, 0.99, 0) is None
