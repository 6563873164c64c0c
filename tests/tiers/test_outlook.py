"""Where somebody stands towards the next grade, and what they are told of proposals."""

from datetime import UTC, datetime, timedelta

import pytest

from crowd.policy import Grade, Policy, Stage
from crowd.runtime import Runtime
from crowd.tiers import exams
from crowd.tiers.outlook import outlook
from crowd.tiers.promotion import Career
from crowd.tiers.score import Kind, Score
from tests.tiers.test_quality import Hands, hands

__all__ = ["hands"]
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = Score(n=60, good=50.0, bad=0.5)


@pytest.fixture
def policy(rt: Runtime) -> Policy:
    """The policy of K-Fashion."""
    return rt.policy


def test_each_stage_of_the_grade_is_told_with_what_is_wanted(policy: Policy) -> None:
    career = Career(Grade.GENERAL, {Stage.ATTRIBUTES: GOOD}, NOON - timedelta(days=1), {Stage.ATTRIBUTES: 50})
    found = outlook(career, policy, NOON)
    assert (found.next_grade, found.below) == (Grade.SEMI_EXPERT, Grade.TRAINEE)
    assert found.not_before == NOON + timedelta(days=2)
    by_stage = {each.stage: each for each in found.stages}
    assert set(by_stage) == {Stage.SEGMENTATION, Stage.ATTRIBUTES}
    known, unknown = by_stage[Stage.ATTRIBUTES], by_stage[Stage.SEGMENTATION]
    assert (known.judged, known.judged_wanted) == (10, 40)
    assert known.lower is not None
    assert known.lower >= known.lower_wanted == 0.88
    assert (unknown.judged, unknown.lower, unknown.upper) == (0, None, None)


def test_a_reviewer_is_asked_for_more_and_for_the_exam(policy: Policy) -> None:
    career = Career(Grade.REVIEWER, {Stage.FIRST_REVIEW: GOOD}, exams=frozenset({Stage.SECOND_REVIEW}))
    found = outlook(career, policy, NOON)
    assert (found.next_grade, found.exam, found.exam_passed) == (Grade.INSPECTOR, Stage.SECOND_REVIEW, True)
    (reviews,) = [each for each in found.stages if each.stage is Stage.FIRST_REVIEW]
    assert (reviews.judged, reviews.judged_wanted, reviews.lower_wanted, reviews.needed) == (
        60,
        200,
        0.95,
        True,
    )
    assert not outlook(Career(Grade.REVIEWER, {}), policy, NOON).exam_passed


def test_who_stands_at_the_top_has_no_next_grade(policy: Policy) -> None:
    found = outlook(Career(Grade.INSPECTOR, {}), policy, NOON)
    assert (found.next_grade, found.below, found.exam) == (None, Grade.REVIEWER, None)


@ON_SQLITE
def test_a_proposal_is_told_the_day_after_and_what_became_of_it_too(hands: Hands) -> None:
    me = hands.hire(Grade.GENERAL)
    hands.judge(me[0], *[1.0] * 60, kind=Kind.AGREEMENT)
    assert hands.look().proposed == 1
    today = hands.get("/me/outlook", me).json
    assert today["proposals"] == []
    assert all(stage["lower"] is None for stage in today["stages"])
    hands.now += timedelta(days=1)
    tomorrow = hands.get("/me/outlook", me).json
    (told,) = tomorrow["proposals"]
    assert (told["old_grade"], told["new_grade"], told["state"]) == ("general", "semi_expert", "open")
    assert "by" not in told
    assert {stage["stage"]: stage["judged"] for stage in tomorrow["stages"]}["attributes"] == 60
    hands.judge(me[0], *[0.0] * 20, kind=Kind.AGREEMENT)
    assert hands.look().withdrawn == 1
    assert hands.get("/me/outlook", me).json == tomorrow
    hands.now += timedelta(days=1)
    gone = hands.get("/me/outlook", me).json["proposals"][-1]
    assert gone["state"] == "withdrawn"


@ON_SQLITE
def test_the_proposal_of_a_passed_exam_is_told_at_once(hands: Hands) -> None:
    me = hands.hire(Grade.TRAINEE)
    with hands.rt.db.begin() as conn:
        exam_id = exams.begin(conn, me[0], Stage.SEGMENTATION, 10, hands.now)
        exams.end(conn, exam_id, 0.9, True, hands.now)
        passed = exams.exam(conn, exam_id)
        assert passed is not None
        assert exams.propose(conn, hands.rt.policy, passed, 0.9, hands.now)
    (told,) = hands.get("/me/outlook", me).json["proposals"]
    assert (told["new_grade"], told["rule"]) == ("general", "exam-1")
    assert hands.get("/me/outlook", (0, {})).status_code == 401
