"""Who is proposed for which grade: bounds, minimum evidence, hysteresis, cool-down; and who must stop."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crowd.policy import Grade, Stage, load_policy
from crowd.tiers.promotion import Career, fails_gold, is_above, is_below, suggest
from crowd.tiers.score import Score, figures

POLICY = load_policy()
NUMBERS = POLICY.quality
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)

GOOD, BAD, MIDDLING = (
    Score(n=100, good=50.0, bad=1.0),
    Score(n=100, good=30.0, bad=20.0),
    Score(n=100, good=44.0, bad=5.0),
)


def career(grade: Grade, scores: Mapping[Stage, Score], **more: object) -> Career:
    return replace(Career(grade, scores), **more)  # type: ignore[arg-type]


def proposed(of: Career, now: datetime = NOW) -> Grade | None:
    found = suggest(of, POLICY, now)
    return found.new if found else None


@given(st.floats(0.0, 80.0), st.floats(0.0, 80.0))
def test_the_quick_comparisons_are_those_of_the_bounds(good: float, bad: float) -> None:
    score = Score(n=100, good=good, bad=bad)
    known = figures(score, NUMBERS)
    if abs(known.lower - NUMBERS.promote_above) > 1e-9:
        assert is_above(score, NUMBERS, NUMBERS.promote_above) == (known.lower >= NUMBERS.promote_above)
    if abs(known.upper - NUMBERS.demote_below) > 1e-9:
        assert is_below(score, NUMBERS) == (known.upper < NUMBERS.demote_below)


@given(st.floats(0.0, 80.0), st.floats(0.0, 80.0))
def test_nobody_is_good_enough_to_rise_and_bad_enough_to_fall(good: float, bad: float) -> None:
    score = Score(n=100, good=good, bad=bad)
    assert not (is_above(score, NUMBERS, NUMBERS.promote_above) and is_below(score, NUMBERS))


def test_who_is_surely_good_rises_and_who_is_surely_not_falls() -> None:
    assert proposed(career(Grade.GENERAL, {Stage.ATTRIBUTES: GOOD})) is Grade.SEMI_EXPERT
    assert proposed(career(Grade.GENERAL, {Stage.ATTRIBUTES: BAD})) is Grade.TRAINEE
    assert proposed(career(Grade.EXPERT, {Stage.STYLES: BAD})) is Grade.SEMI_EXPERT


def test_between_the_bounds_nothing_is_proposed() -> None:
    assert figures(MIDDLING, NUMBERS).lower < 0.88 < figures(MIDDLING, NUMBERS).upper
    assert proposed(career(Grade.GENERAL, {Stage.ATTRIBUTES: MIDDLING})) is None


def test_too_little_judged_proposes_nothing() -> None:
    few = replace(GOOD, n=39)
    assert proposed(career(Grade.GENERAL, {Stage.ATTRIBUTES: few})) is None
    assert proposed(career(Grade.GENERAL, {Stage.ATTRIBUTES: replace(few, n=40)})) is Grade.SEMI_EXPERT


def test_one_bad_stage_outweighs_a_good_one() -> None:
    both = {Stage.SEGMENTATION: GOOD, Stage.ATTRIBUTES: BAD}
    assert proposed(career(Grade.GENERAL, both)) is Grade.TRAINEE
    unsure = {Stage.SEGMENTATION: GOOD, Stage.ATTRIBUTES: MIDDLING}
    assert proposed(career(Grade.GENERAL, unsure)) is None


def test_a_stage_outside_of_the_grade_decides_nothing() -> None:
    assert proposed(career(Grade.EXPERT, {Stage.STYLES: GOOD, Stage.ATTRIBUTES: BAD})) is None


def test_after_a_change_the_rule_is_silent_for_the_cool_down() -> None:
    changed = career(Grade.GENERAL, {Stage.ATTRIBUTES: GOOD}, changed_at=NOW)
    cool = timedelta(days=NUMBERS.cool_down_days)
    assert proposed(changed, NOW + cool - timedelta(seconds=1)) is None
    assert proposed(changed, NOW + cool) is Grade.SEMI_EXPERT


def test_the_same_evidence_moves_nobody_twice() -> None:
    fallen = career(Grade.GENERAL, {Stage.ATTRIBUTES: BAD}, judged_then={Stage.ATTRIBUTES: 70})
    assert proposed(fallen) is None
    assert proposed(replace(fallen, judged_then={Stage.ATTRIBUTES: 60})) is Grade.TRAINEE


def test_who_may_review_does_not_rise_by_labels_alone() -> None:
    labels = {Stage.SEGMENTATION: GOOD, Stage.ATTRIBUTES: GOOD}
    assert proposed(career(Grade.SEMI_EXPERT, labels)) is None
    assert proposed(career(Grade.SEMI_EXPERT, labels | {Stage.FIRST_REVIEW: GOOD})) is Grade.REVIEWER


def test_an_inspector_has_reviewed_much_excellently_and_passed_an_exam() -> None:
    excellent = Score(n=200, good=80.0, bad=0.0)
    exam = frozenset({Stage.SECOND_REVIEW})
    ready = career(Grade.REVIEWER, {Stage.FIRST_REVIEW: excellent}, exams=exam)
    assert proposed(ready) is Grade.INSPECTOR
    assert proposed(replace(ready, exams=frozenset())) is None
    assert proposed(replace(ready, scores={Stage.FIRST_REVIEW: replace(excellent, n=199)})) is None
    assert proposed(replace(ready, scores={Stage.FIRST_REVIEW: replace(excellent, bad=3.0)})) is None


def test_trainees_and_admins_are_left_alone() -> None:
    everything = dict.fromkeys(Stage, BAD)
    assert proposed(career(Grade.TRAINEE, everything)) is None
    assert proposed(career(Grade.ADMIN, everything)) is None


def test_a_suggestion_carries_the_figures_it_rests_on() -> None:
    found = suggest(career(Grade.GENERAL, {Stage.ATTRIBUTES: GOOD}), POLICY, NOW)
    assert found is not None
    assert found.figures == {Stage.ATTRIBUTES: figures(GOOD, NUMBERS)}


def test_gold_fails_by_the_latest_answers_once_there_are_enough() -> None:
    assert not fails_gold([0.0] * 4, NUMBERS)
    assert fails_gold([0.0] * 5, NUMBERS)
    assert not fails_gold([1.0, 1.0, 0.0, 0.0, 0.0], NUMBERS)
    # What lies before the window is forgiven.
    assert not fails_gold([1.0] * 5 + [0.0] * 5 + [0.0] * 20, NUMBERS)
