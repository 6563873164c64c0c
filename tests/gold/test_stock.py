"""How much of a stage's pool practice and exams may use, over all pools that there could be."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from crowd.gold import planting, stock
from crowd.gold.stock import Stock
from crowd.policy import Stage, load_policy
from crowd.taxonomy import load_taxonomy
from tests.gold.conftest import LABELS

NUMBERS = load_policy().gold
STAGES = st.sampled_from([Stage.STYLES, Stage.FIRST_REVIEW, Stage.SECOND_REVIEW])


@st.composite
def stocks(draw: st.DrawFn) -> Stock:
    stage = draw(STAGES)
    bad = draw(st.integers(0, 60)) if stage is not Stage.STYLES else 0
    good, practised = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    return Stock(
        stage=stage,
        pool=good + bad + practised + draw(st.integers(0, 60)),
        good=good,
        bad=bad,
        practised=practised,
        today=0,
        answered=draw(st.integers(0, practised)),
        examined=draw(st.booleans()),
    )


def practised_once(before: Stock) -> Stock:
    """One more item met in practice, of the kind that is allowed and more plentiful."""
    kind = stock.kind_to_practise(before, NUMBERS)
    is_bad = kind if kind is not None else before.bad > before.good
    met = replace(before, bad=before.bad - 1) if is_bad else replace(before, good=before.good - 1)
    return replace(met, practised=before.practised + 1, answered=before.answered + 1)


@given(stocks())
def test_whoever_practises_as_told_comes_to_the_exam(before: Stock) -> None:
    was_possible = not stock.missing(before, NUMBERS)
    here = before
    for _ in range(stock.practice_left(before, NUMBERS)):
        assert stock.room(here, NUMBERS) > 0
        here = practised_once(here)
        assert min(here.good, here.bad) >= 0
    assert stock.practice_left(here, NUMBERS) == 0
    if was_possible and not before.examined:
        assert not stock.missing(here, NUMBERS)


@given(stocks())
def test_practice_ends_with_something_left_for_hidden_use(here: Stock) -> None:
    first = here
    while stock.room(here, NUMBERS):
        here = practised_once(here)
    if here != first:
        assert here.practised <= max(NUMBERS.practice_least, here.pool * NUMBERS.practice_percent / 100)
    else:
        few = first.practised >= NUMBERS.practice_least or first.unmet <= stock.questions(
            first.stage, NUMBERS
        )
        assert few, "without need nobody is refused"


@given(st.integers(0, 1000), st.integers(1, 60))
def test_an_exam_of_reviews_asks_enough_of_either_kind(seed: int, items: int) -> None:
    numbers, dice = replace(NUMBERS, second_exam_items=items), random.Random(seed)
    least = stock.quota(Stage.SECOND_REVIEW, numbers)
    good = bad = 0
    for _ in range(items):
        kind = stock.kind_to_ask(Stage.SECOND_REVIEW, good, bad, numbers, items, dice)
        is_bad = dice.random() < 0.5 if kind is None else kind
        good, bad = good + (not is_bad), bad + is_bad
    assert min(good, bad) >= least
    assert stock.kind_to_ask(Stage.STYLES, 0, 0, numbers, items, dice) is None


def test_about_half_of_what_reviewers_get_is_planted_and_says_what_is_wrong() -> None:
    taxonomy, dice = load_taxonomy(), random.Random(3)
    found = [
        planting.settled(Stage.FIRST_REVIEW, LABELS, taxonomy, NUMBERS.bad_percent, dice) for _ in range(400)
    ]
    bad = [(shown, known) for shown, known in found if not known["passes"]]
    assert 160 <= len(bad) <= 240
    assert {known["blame"] for _, known in bad} == {Stage.STYLES, Stage.ATTRIBUTES}
    for shown, known in bad:
        assert [stage for stage in LABELS if shown[stage] != LABELS[stage]] == [known["blame"]]
    assert all(shown == LABELS for shown, known in found if known["passes"])
    assert planting.settled(Stage.STYLES, LABELS, taxonomy, 100, dice) == (LABELS, LABELS[Stage.STYLES])
