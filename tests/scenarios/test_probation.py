"""Probation over the API: a new reviewer's verdicts are given again, blind, and cost nobody anything."""

from dataclasses import replace
from typing import Any

import pytest

from crowd.policy import Policy, Stage
from crowd.review import watch
from crowd.review.probation import service
from crowd.tiers.rebuild import rebuild
from tests.scenarios.people import Crew, Person, good, refused, styles, verdict


@pytest.fixture
def policy(crew: Crew) -> Policy:
    """The usual policy, with a short probation, after which nothing is compared."""
    numbers = replace(crew.rt.policy.probation, reviews=3, later_percent=0)
    return replace(crew.rt.policy, probation=numbers)


def pass_by(crew: Crew, policy: Policy, **span: float) -> int:
    """Time goes by, and upkeep comes round."""
    crew.clock.forward(**(span or {"minutes": 5}))
    return service.upkeep(crew.rt.db, policy, crew.clock.now())


def reviewed(crew: Crew, score: int = 5) -> int:
    """An accepted image that the checker gave a score first; corrected in between where it was low."""
    image_id = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(score, "styles" if score < 4 else None))
    if score < 4:
        crew.stylist.do("styles", styles("street"))
        crew.checker.do("first_review", verdict(5))
    crew.step("second_review")
    assert crew.state(image_id) == "accepted"
    return image_id


def evidence_of(crew: Crew, person: Person) -> list[Any]:
    return [
        row
        for row in crew.admin.read(f"/workers/{person.id}/evidence?limit=200")["items"]
        if row["stage"] == Stage.FIRST_REVIEW
    ]


def test_a_new_reviewer_s_verdict_is_compared_with_an_expert_s(crew: Crew, policy: Policy) -> None:
    reviewed(crew)
    before = len(evidence_of(crew, crew.checker))
    assert pass_by(crew, policy) == 1
    umpire = crew.hire("inspector", "umpire")
    crew.clock.forward(hours=1)
    progress = crew.admin.read("/stats/progress")
    seat = umpire.claim()
    assert (seat["stage"], seat["cause"], seat["feedback"]) == ("adjudication", "split", [])
    good(umpire.submit(seat, verdict(2, "styles")))
    assert crew.admin.read("/stats/progress") == progress
    newest, *rest = evidence_of(crew, crew.checker)
    assert len(rest) == before
    shown = {name: newest[name] for name in ("kind", "value", "score", "against", "judge", "opens")}
    assert shown == {
        "kind": "agreement",
        "value": 0.0,
        "score": 5,
        "against": 2.0,
        "judge": "umpire",
        "opens": False,
    }
    assert rebuild(crew.rt.db, crew.rt.policy).changed == 0
    (source,) = watch.OVERLAP_SOURCES
    with crew.rt.db.read() as conn:
        (compared,) = source(conn, crew.checker.id, Stage.FIRST_REVIEW, None)
        assert source(conn, crew.checker.id, Stage.FIRST_REVIEW, crew.clock.now()) == []
        assert source(conn, crew.left.id, Stage.FIRST_REVIEW, None) == []
    assert (compared.score, compared.reference, compared.selected) == (5, 2.0, False)


def test_the_same_labels_are_judged_again_not_what_they_became(crew: Crew, policy: Policy) -> None:
    reviewed(crew, score=3)
    assert pass_by(crew, policy) == 2
    crew.clock.forward(hours=1)
    umpires = [crew.hire("expert", name) for name in ("one", "other")]
    seats = [umpire.claim() for umpire in umpires]
    shown = [seat["labels"]["styles"]["styles"] for seat in seats]
    assert shown == [["resort"], ["street"]]
    for umpire, seat in zip(umpires, seats, strict=True):
        good(umpire.submit(seat, verdict(5)))
    kept = {
        (row["score"], row["value"])
        for row in evidence_of(crew, crew.checker)
        if row["judge"] in ("one", "other")
    }
    assert kept == {(3, 0.0), (5, 1.0)}


def test_only_the_first_reviews_are_taken_and_each_once(crew: Crew, policy: Policy) -> None:
    for _ in range(5):
        reviewed(crew)
    assert pass_by(crew, policy) == 3
    assert pass_by(crew, policy) == 0
    kept = crew.rows("SELECT own_score, state FROM rechecks ORDER BY id")
    assert kept == [(5, 1)] * 3
    assert crew.rows("SELECT reviews FROM probations") == [(3,)]


def test_of_the_later_reviews_a_share_is_taken_as_well(crew: Crew, policy: Policy) -> None:
    for _ in range(4):
        reviewed(crew)
    every = replace(policy, probation=replace(policy.probation, later_percent=100))
    assert pass_by(crew, every) == 4
    assert crew.rows("SELECT reviews FROM probations") == [(3,)], "the fourth is none of the first"


def test_who_has_long_reviewed_is_not_on_probation_when_it_is_switched_on(crew: Crew, policy: Policy) -> None:
    for _ in range(4):
        reviewed(crew)
    crew.clock.forward(minutes=5)
    (last,) = crew.rows("SELECT max(id) FROM submissions")[0]
    with crew.rt.db.begin() as conn:
        conn.exec_driver_sql(f"INSERT INTO read_marks (name, last_id) VALUES ('probation', {last})")
    reviewed(crew)
    assert pass_by(crew, policy) == 0
    assert crew.rows("SELECT * FROM rechecks") == []


def test_it_comes_after_all_work_until_it_has_waited_a_day(crew: Crew, policy: Policy) -> None:
    reviewed(crew)
    pass_by(crew, policy)
    umpire = crew.hire("expert", "umpire")
    assert umpire.ask().status_code == 204, "not before an hour"
    crew.clock.forward(hours=2)
    waiting = crew.image_at("styles")
    first = umpire.claim()
    assert first["image"]["id"] == waiting
    good(umpire.submit(first, styles()))
    held = umpire.claim()
    assert held["stage"] == "adjudication"
    assert umpire.release(held).status_code == 204
    crew.clock.forward(hours=24)
    newcomer = crew.hire("expert", "newcomer")
    crew.image_at("styles")
    assert newcomer.claim()["stage"] == "adjudication"
    assert newcomer.claim()["stage"] == "styles"


def test_nobody_who_had_a_part_judges_again_and_who_did_never_reviews_it(crew: Crew, policy: Policy) -> None:
    image_id = reviewed(crew)
    pass_by(crew, policy, hours=1)
    crew.clock.forward(hours=2)
    for involved in (crew.stylist, crew.left, crew.right):
        assert involved.ask().status_code == 204
    umpire = crew.hire("inspector", "umpire")
    seat = umpire.claim()
    good(umpire.submit(seat, verdict(5)))
    refused(umpire.get(f"/images/{image_id}"), 403)
    good(crew.admin.decide(image_id, "in_work", stage="second_review"))
    assert umpire.ask("second_review").status_code == 204


def test_an_image_in_work_keeps_nobody_from_it(crew: Crew, policy: Policy) -> None:
    crew.image_at("second_review")
    assert pass_by(crew, policy, hours=3) == 0
    assert crew.rows("SELECT state FROM rechecks") == [(0,)]
    crew.step("second_review")
    assert pass_by(crew, policy) == 1


def test_what_was_withdrawn_is_not_looked_at_again(crew: Crew, policy: Policy) -> None:
    image_id = crew.image_at("second_review")
    good(crew.admin.decide(image_id, "withdrawn"))
    assert pass_by(crew, policy) == 0
    assert crew.rows("SELECT state FROM rechecks") == [(3,)]
    second = reviewed(crew)
    pass_by(crew, policy)
    good(crew.admin.decide(second, "withdrawn"))
    crew.clock.forward(hours=2)
    assert crew.hire("expert", "umpire").ask().status_code == 204


def test_reviews_0_turns_it_off(crew: Crew, policy: Policy) -> None:
    reviewed(crew)
    off = replace(policy, probation=replace(policy.probation, reviews=0))
    assert pass_by(crew, off) == 0
    assert crew.rows("SELECT * FROM rechecks") == []
