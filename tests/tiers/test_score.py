"""The arithmetic of scores: the Beta distribution behind them, decay, and what a review's score is worth."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from crowd.policy import Stage, load_policy
from crowd.tiers.score import (
    Item,
    Score,
    beta_quantile,
    beta_share,
    figures,
    fold,
    step,
    value_of_review,
)

NUMBERS = load_policy().quality
START = datetime(2026, 3, 2, 9, tzinfo=UTC)

shares = st.floats(0.0, 1.0)
weights = st.floats(0.001, 1.0)
items = st.builds(
    Item,
    value=shares,
    weight=weights,
    opens=st.booleans(),
    gold=st.booleans(),
    at=st.integers(0, 10**6).map(lambda seconds: START + timedelta(seconds=seconds)),
)
parameters = st.floats(0.5, 400.0)


def judged(*values: float, weight: float = 1.0) -> list[Item]:
    return [Item(value, weight, True, False, START) for value in values]


@given(st.floats(0.01, 0.99), parameters, parameters)
def test_quantiles_are_those_of_scipy(share: float, a: float, b: float) -> None:
    assert beta_quantile(share, a, b) == pytest.approx(beta.ppf(share, a, b), abs=1e-10)


@given(st.floats(0.001, 0.999), parameters, parameters)
def test_the_distribution_function_is_that_of_scipy(x: float, a: float, b: float) -> None:
    assert beta_share(x, a, b) == pytest.approx(beta.cdf(x, a, b), abs=1e-11)


@given(st.lists(items, max_size=60))
def test_bounds_enclose_the_score_and_all_are_shares(found: list[Item]) -> None:
    known = figures(fold(found, NUMBERS), NUMBERS)
    assert 0.0 < known.lower < known.score < 1.0
    assert known.lower < known.upper < 1.0
    assert known.n == sum(item.opens for item in found)


@given(st.lists(items, max_size=30), st.lists(items, max_size=30))
def test_folding_one_by_one_is_folding_all_at_once_to_the_last_digit(
    earlier: list[Item], later: list[Item]
) -> None:
    piecewise = fold(later, NUMBERS, fold(earlier, NUMBERS))
    assert piecewise == fold([*earlier, *later], NUMBERS)


@given(st.lists(items, max_size=30), st.floats(0.0, 0.9), weights)
def test_a_better_answer_never_makes_a_worse_score(before: list[Item], value: float, weight: float) -> None:
    score = fold(before, NUMBERS)
    worse = step(score, Item(value, weight, True, False, START), NUMBERS)
    better = step(score, Item(value + 0.1, weight, True, False, START), NUMBERS)
    assert figures(worse, NUMBERS).score < figures(better, NUMBERS).score


def test_nothing_known_is_the_prior() -> None:
    known = figures(Score(), NUMBERS)
    assert known.score == 0.8
    assert known.lower == pytest.approx(0.1**0.25)


def test_evidence_counts_half_after_the_half_life() -> None:
    one = fold(judged(1.0), NUMBERS)
    aged = fold(judged(*[0.0] * int(NUMBERS.half_life)), NUMBERS, one)
    assert aged.good == pytest.approx(0.5)


def test_a_further_judgement_of_the_same_answer_adds_weight_and_no_age() -> None:
    again = Item(1.0, 0.5, False, False, START)
    score = fold([*judged(1.0), again], NUMBERS)
    assert (score.n, score.good) == (1, 1.5)


def test_what_weighs_nothing_leaves_no_trace() -> None:
    score = fold(judged(1.0), NUMBERS)
    assert step(score, Item(0.0, 0.0, True, True, START + timedelta(days=2)), NUMBERS) == score


def test_the_score_of_a_day_is_what_stood_when_it_began() -> None:
    yesterday = fold(judged(1.0, 1.0), NUMBERS)
    today = START + timedelta(days=1)
    score = step(yesterday, Item(0.0, 1.0, True, False, today), NUMBERS)
    assert score.as_told(today).n == 2
    assert score.as_told(today).bad == 0.0
    assert score.as_told(today + timedelta(days=1)).n == 3


def test_a_score_of_two_speaks_against_attributes_and_one_of_three_against_styles() -> None:
    assert [value_of_review(Stage.ATTRIBUTES, score) for score in (1, 2, 3, 4, 5)] == [0, 0, 1, 0.8, 1]
    assert [value_of_review(Stage.STYLES, score) for score in (1, 2, 3, 4, 5)] == [0, 0, 0, 0.8, 1]


def test_scores_between_and_beyond_the_points_are_read_along_the_line() -> None:
    assert value_of_review(Stage.STYLES, 3.5) == pytest.approx(0.4)
    assert value_of_review(Stage.STYLES, 5.7) == 1.0
    assert value_of_review(Stage.ATTRIBUTES, -2.0) == 0.0
