"""What the rule comes back to by itself: after a cool-down, after a passed exam, after a change by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crowd.core.errors import Conflict
from crowd.gold import courses
from crowd.policy import Grade, Stage
from crowd.tiers import exams, flags, promotion, proposals
from crowd.tiers.flag_models import FlagCode
from crowd.tiers.score import Kind
from tests.tiers.test_quality import Hands, hands

__all__ = ["hands"]

COOL_DOWN = timedelta(days=3, hours=1)
Pass = Callable[[int, Stage], bool]


@pytest.fixture
def passed(hands: Hands) -> Pass:
    """Whether an exam that somebody passes now has been proposed at once."""

    def sit(worker: int, stage: Stage) -> bool:
        hands.now += timedelta(minutes=1)
        with hands.rt.db.begin() as conn:
            exam_id = exams.begin(conn, worker, stage, 10, hands.now)
            found = exams.exam(conn, exam_id)
            assert found is not None
            assert exams.end(conn, exam_id, 0.9, True, hands.now)
            return exams.propose(conn, hands.rt.policy, found, 0.9, hands.now)

    return sit


def proposed(hands: Hands) -> list[tuple[str, str]]:
    return [(each["new_grade"], each["evidence"]["rule"]) for each in hands.open_proposals()]


def decide(hands: Hands, what: str) -> None:
    (proposal,) = hands.open_proposals()
    answer = hands.post(f"/tiers/proposals/{proposal['id']}/{what}", {"reason": "looked at it"})
    assert answer.status_code == 200


def regrade(hands: Hands, worker: int, grade: str) -> None:
    hands.now += timedelta(minutes=1)
    assert hands.post(f"/workers/{worker}/grade", {"grade": grade, "reason": "by hand"}).status_code == 200


def may_sit(hands: Hands, worker: int, stage: Stage) -> str:
    """What stands against another exam; there is no gold here, so that is what comes last."""
    with hands.rt.db.begin() as conn, pytest.raises(Conflict) as refused:
        courses.begin_exam(conn, courses.Student(worker, Grade.GENERAL, 1, hands.rt.policy), stage, hands.now)
    return refused.value.code


def test_after_a_dismissal_the_rule_looks_again_though_nothing_new_was_judged(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    hands.look()
    decide(hands, "dismiss")
    for _ in range(3):
        assert hands.look() == proposals.Outcome()
    hands.now += COOL_DOWN
    assert hands.look().proposed == 1
    assert hands.look() == proposals.Outcome()


def test_after_a_change_by_hand_the_rule_looks_again_when_the_cool_down_is_over(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    regrade(hands, worker, "semi_expert")
    hands.judge(worker, *[0.0] * 45, kind=Kind.AGREEMENT)
    assert hands.look() == proposals.Outcome(), "it is too soon, and nobody else is judged later"
    hands.now += COOL_DOWN
    assert hands.look().proposed == 1
    assert proposed(hands) == [("general", promotion.BOUNDS_RULE)]


def test_what_was_judged_before_a_change_by_hand_moves_nobody_after_it(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[0.0, 1.0] * 30, kind=Kind.AGREEMENT)
    hands.look()
    decide(hands, "confirm")
    assert hands.grade(worker) == "trainee"
    regrade(hands, worker, "general")
    last = hands.get(f"/workers/{worker}/grades").json["items"][-1]
    assert last["evidence"] == {"judged": {"attributes": 60}}
    hands.now += COOL_DOWN
    hands.judge(worker, 0.0, kind=Kind.AGREEMENT)
    assert hands.look() == proposals.Outcome()
    hands.judge(worker, *[0.0] * 39, kind=Kind.AGREEMENT)
    assert hands.look().proposed == 1


def test_a_confirmed_exam_has_nobody_fall_by_what_was_judged_before(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.TRAINEE)
    hands.judge(worker, *[0.0, 1.0] * 30, kind=Kind.AGREEMENT)
    assert passed(worker, Stage.ATTRIBUTES)
    decide(hands, "confirm")
    hands.now += COOL_DOWN
    assert hands.look() == proposals.Outcome()


def test_an_exam_of_the_second_review_alone_makes_no_inspector(hands: Hands, passed: Pass) -> None:
    for grade in (Grade.TRAINEE, Grade.REVIEWER):
        worker, _ = hands.hire(grade)
        assert not passed(worker, Stage.SECOND_REVIEW)
    hands.look()
    assert hands.open_proposals() == []
    open_to_all = replace(hands.rt.policy.quality, excellent_needs_exam=False)
    assert not promotion.is_gated(Grade.INSPECTOR, replace(hands.rt.policy, quality=open_to_all))


def test_an_excellent_reviewer_is_proposed_as_soon_as_the_exam_is_passed(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.REVIEWER)
    hands.judge(worker, *[1.0] * 220, stage=Stage.FIRST_REVIEW, kind=Kind.AGREEMENT)
    assert hands.look() == proposals.Outcome()
    assert not passed(worker, Stage.SECOND_REVIEW)
    assert hands.look().proposed == 1
    assert proposed(hands) == [("inspector", promotion.BOUNDS_RULE)]


def test_an_exam_passed_while_something_else_is_proposed_is_come_back_to(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    hands.look()
    assert not passed(worker, Stage.STYLES), "something is proposed already"
    hands.look()
    assert proposed(hands) == [("semi_expert", promotion.BOUNDS_RULE)]
    decide(hands, "confirm")
    assert hands.look().proposed == 1
    assert proposed(hands) == [("expert", exams.RULE)]


def test_an_exam_s_proposal_stands_beside_what_the_scores_suggest(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    assert passed(worker, Stage.STYLES)
    hands.judge(worker, *[1.0] * 60)
    assert hands.look() == proposals.Outcome()
    assert proposed(hands) == [("expert", exams.RULE)]


def test_an_exam_speaks_on_after_a_rise_by_hand(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.TRAINEE)
    assert passed(worker, Stage.STYLES)
    regrade(hands, worker, "general")
    outcome = hands.look()
    assert (outcome.withdrawn, outcome.proposed) == (1, 1)
    assert proposed(hands) == [("expert", exams.RULE)]


def test_a_dismissed_exam_is_silent_for_the_cool_down(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.TRAINEE)
    assert passed(worker, Stage.STYLES)
    decide(hands, "dismiss")
    assert hands.look() == proposals.Outcome()
    hands.now += COOL_DOWN
    assert hands.look().proposed == 1


def test_who_was_demoted_after_a_pass_may_sit_again_and_rises_by_it(hands: Hands, passed: Pass) -> None:
    worker, _ = hands.hire(Grade.TRAINEE)
    assert passed(worker, Stage.SEGMENTATION)
    decide(hands, "confirm")
    assert may_sit(hands, worker, Stage.SEGMENTATION) == "exam_passed"
    regrade(hands, worker, "trainee")
    hands.now += COOL_DOWN
    assert hands.look() == proposals.Outcome(), "the pass of before is spent"
    assert may_sit(hands, worker, Stage.SEGMENTATION) == "too_little_gold"
    assert passed(worker, Stage.SEGMENTATION)
    assert proposed(hands) == [("general", exams.RULE)]


def test_failed_gold_opens_a_flag_with_what_it_went_by(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[0.0] * 5)
    assert hands.look().suspended == 1
    with hands.rt.db.read() as conn:
        (flag,) = flags.flags_of(conn, worker)
    assert (flag.code, flag.stage, flag.evidence["values"]) == (
        FlagCode.FAILED_GOLD,
        Stage.ATTRIBUTES,
        [0.0] * 5,
    )


def test_whoever_a_confirmed_flag_suspends_has_it_in_the_history(hands: Hands) -> None:
    worker = hands.hire(Grade.GENERAL)
    with hands.rt.db.begin() as conn:
        flag_id = flags.open_flag(
            conn, worker[0], FlagCode.TOO_FAST, evidence={"n": 20}, at=hands.now, stage=Stage.STYLES
        )
    assert hands.post(f"/tiers/flags/{flag_id}/confirm", {"reason": "so it is"}).status_code == 200
    last: dict[str, Any] = hands.get(f"/workers/{worker[0]}/grades").json["items"][-1]
    assert (last["what"], last["evidence"]) == (
        "suspended",
        {"flag_id": flag_id, "code": "too_fast", "stage": "styles", "evidence": {"n": 20}},
    )
    own = hands.get(f"/workers/{worker[0]}/grades", worker)
    assert own.status_code in (200, 403)
    assert "flag_id" not in own.text


def test_what_the_rule_goes_by_has_the_name_of_its_numbers(hands: Hands) -> None:
    policy = hands.rt.policy
    stricter = replace(policy, quality=replace(policy.quality, promote_above=0.89))
    calmer = replace(policy, requests_per_minute=policy.requests_per_minute + 1)
    assert promotion.version(stricter) != promotion.version(policy) == promotion.version(calmer)
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    hands.look()
    (proposal,) = hands.open_proposals()
    assert proposal["evidence"]["policy"] == promotion.version(policy)
