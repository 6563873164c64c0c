"""Appeals over the API: who may ask for what, who judges again, and what becomes of the scores."""

from typing import Any

import sqlalchemy as sa

from crowd.images.models import Image
from crowd.policy import Stage
from crowd.tiers.quality_models import ScoreRow, SeverityRow
from crowd.tiers.rebuild import rebuild, refit
from tests.scenarios.people import (
    ON_ONE_DATABASE,
    Crew,
    Json,
    Person,
    good,
    refused,
    styles,
    token_of,
    verdict,
)

WHY = "it was right as it stood"


def corrected(crew: Crew, stage: str = "styles", result: Json | None = None, score: int = 3) -> int:
    """An accepted image whose first review had `stage` changed: that stands against the author."""
    image_id = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(score, stage))
    crew.bring(stage, start=stage)
    crew.usual(stage)[0].do(stage, result or styles("street"))
    order = list(Stage)
    crew.bring("second_review", start=order[order.index(Stage(stage)) + 1])
    crew.step("second_review")
    assert crew.state(image_id) == "accepted"
    return image_id


def task_of(crew: Crew, person: Person, image_id: int, stage: str, nth: int = 0) -> int:
    """The person's nth answer to a stage of the image."""
    rows = crew.rows(
        "SELECT task_id FROM submissions WHERE image_id = :image AND worker_id = :who AND stage = :stage"
        " ORDER BY id",
        image=image_id,
        who=person.id,
        stage=list(Stage).index(Stage(stage)),
    )
    found: int = rows[nth][0]
    return found


def appeal(person: Person, task_id: int) -> Any:
    return person.post("/me/appeals", {"task_id": task_id, "reason": WHY})


def appealed(person: Person, task_id: int) -> Json:
    response = appeal(person, task_id)
    assert response.status_code == 201, response.text
    body: Json = response.json
    return body


def figures(crew: Crew, person: Person, stage: str) -> Json:
    found: Json = crew.admin.read(f"/workers/{person.id}/quality")["stages"].get(stage)
    return found


def stored(crew: Crew) -> list[tuple[Any, ...]]:
    with crew.rt.db.read() as conn:
        columns = ScoreRow.__table__.columns
        rows = conn.execute(sa.select(*columns).where(ScoreRow.at.is_not(None)).order_by(*columns[:2]))
        return [tuple(row) for row in rows]


def replays_the_same(crew: Crew) -> None:
    """Wiped and rebuilt from evidence, the scores are what they were to the last digit."""
    before = stored(crew)
    with crew.rt.db.begin() as conn:
        conn.execute(sa.delete(ScoreRow))
        conn.execute(sa.delete(SeverityRow))
    rebuild(crew.rt.db, crew.rt.policy)
    after = stored(crew)
    keep = slice(0, len(before[0]) - 1)
    assert [row[keep] for row in after] == [row[keep] for row in before]


def test_an_appeal_upheld_turns_the_evidence_round_and_marks_who_judged(crew: Crew) -> None:
    image_id = corrected(crew)
    lost = figures(crew, crew.stylist, "styles")
    judged = figures(crew, crew.checker, "first_review")
    history = crew.happened(image_id)
    made = appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    assert made["state"] == "open"
    umpire = crew.hire("expert", "umpire")
    seat = umpire.claim()
    good(umpire.submit(seat, verdict(5)))
    (mine,) = crew.stylist.read("/me/appeals")["items"]
    assert mine["state"] == "upheld"
    assert mine["decided_at"]
    won = figures(crew, crew.stylist, "styles")
    assert won["score"] > lost["score"]
    assert won["n"] == lost["n"], "an answer counts once, whoever judges it how often"
    marked = figures(crew, crew.checker, "first_review")
    assert marked["score"] < judged["score"]
    assert marked["n"] == judged["n"]
    assert crew.happened(image_id) == history
    assert crew.state(image_id) == "accepted"
    replays_the_same(crew)


def test_after_a_fit_of_severity_an_appeal_replays_the_same_too(crew: Crew) -> None:
    image_id = corrected(crew)
    refit(crew.rt.db, crew.rt.policy, crew.clock.now())
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    good(umpire.submit(umpire.claim(), verdict(4)))
    corrected(crew)
    replays_the_same(crew)
    assert refit(crew.rt.db, crew.rt.policy, crew.clock.now()).scores


def test_an_appeal_dismissed_leaves_everything_as_it_was(crew: Crew) -> None:
    image_id = corrected(crew)
    before = stored(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    good(umpire.submit(umpire.claim(), verdict(3, "styles")))
    assert crew.stylist.read("/me/appeals")["items"][0]["state"] == "dismissed"
    assert stored(crew) == before
    shown = crew.admin.read("/appeals?state=dismissed")["items"]
    assert [(one["username"], one["by"], one["withdrawn"]) for one in shown] == [("stylist", "umpire", [])]
    assert crew.admin.read("/appeals?state=open")["items"] == []


def test_a_no_for_something_else_upholds_the_appeal(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    good(umpire.submit(umpire.claim(), verdict(2, "attributes")))
    assert crew.stylist.read("/me/appeals")["items"][0]["state"] == "upheld"


def test_who_judges_again_sees_what_was_judged_and_nothing_of_the_dispute(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("inspector", "umpire")
    seat = umpire.claim()
    crew.split_image()
    usual = crew.judge.claim("adjudication")
    assert seat["labels"]["styles"]["styles"] == ["resort"], "not what it was changed to"
    assert seat["image"]["id"] != image_id
    assert seat.keys() == usual.keys()
    for name in ("stage", "round", "cause", "disputed", "candidates", "feedback"):
        assert seat[name] == usual[name]
    assert umpire.read("/me")["leases"][0]["stage"] == "adjudication"
    own = umpire.image(seat["image"]["id"])
    assert own["history"] == []
    assert own["state"] == "in_work"
    refused(umpire.get(f"/images/{image_id}"), 403)


def test_who_judges_again_sees_the_picture_as_it_was_covered_since(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    with crew.rt.db.begin() as conn:
        conn.execute(sa.update(Image).where(Image.id == image_id).values(picture=b"c" * 32))
    umpire = crew.hire("expert", "umpire")
    assert umpire.claim()["image"]["url"].endswith(f"?v={(b'c' * 8).hex()}")


def test_the_seat_counts_nowhere_in_the_progress(crew: Crew) -> None:
    image_id = corrected(crew)
    before = crew.admin.read("/stats/progress")
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    seat = umpire.claim()
    good(umpire.submit(seat, verdict(5)))
    assert crew.admin.read("/stats/progress") == before
    assert image_id not in {row["id"] for row in umpire.read("/me")["leases"]}
    refused(crew.admin.decide(seat["image"]["id"], "in_work"), 404)


def test_nobody_who_had_a_part_is_given_the_seat(crew: Crew) -> None:
    image_id = corrected(crew)
    idler = crew.hire("inspector", "idler")
    crew.split_image()
    held = idler.claim("adjudication")
    assert idler.release(held, skip=True).status_code == 204
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    for involved in (crew.stylist, crew.left, crew.right):
        assert involved.ask().status_code == 204
    assert crew.admin.read("/appeals")["items"][0]["blocked"] is False
    assert idler.claim()["labels"]["styles"]["styles"] == ["resort"]


def test_an_appeal_that_nobody_may_judge_is_an_admin_s_to_decide(crew: Crew) -> None:
    image_id = corrected(crew)
    made = appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    lost = figures(crew, crew.stylist, "styles")
    (listed,) = crew.admin.read("/appeals")["items"]
    assert listed["blocked"] is True
    body = {"upheld": True, "reason": "I have looked"}
    refused(crew.stylist.post(f"/appeals/{made['id']}/decide", body), 403)
    decided = good(crew.admin.post(f"/appeals/{made['id']}/decide", body))
    assert (decided["state"], decided["by"], decided["why"]) == ("upheld", "admin", "I have looked")
    assert figures(crew, crew.stylist, "styles")["score"] > lost["score"]
    refused(crew.admin.post(f"/appeals/{made['id']}/decide", body), 409, "already_decided")
    replays_the_same(crew)


def test_an_admin_does_not_decide_what_somebody_can_judge(crew: Crew) -> None:
    image_id = corrected(crew)
    made = appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    body = {"upheld": False, "reason": "no"}
    refused(crew.admin.post(f"/appeals/{made['id']}/decide", body), 409, "not_blocked")
    umpire.claim()
    refused(crew.admin.post(f"/appeals/{made['id']}/decide", body), 409, "not_blocked")
    refused(crew.admin.post("/appeals/999/decide", body), 404)
    refused(crew.admin.post(f"/appeals/{made['id']}/decide", {"upheld": 1, "reason": ""}), 422)


def test_of_an_answer_there_is_one_appeal(crew: Crew) -> None:
    image_id = corrected(crew)
    task_id = task_of(crew, crew.stylist, image_id, "styles")
    assert [one["task_id"] for one in crew.stylist.read("/me/appeals/possible")["items"]] == [task_id]
    appealed(crew.stylist, task_id)
    refused(appeal(crew.stylist, task_id), 409, "already_appealed")
    assert crew.stylist.read("/me/appeals/possible")["items"] == []
    umpire = crew.hire("expert", "umpire")
    good(umpire.submit(umpire.claim(), verdict(3, "styles")))
    refused(appeal(crew.stylist, task_id), 409, "already_appealed")


def test_what_nothing_counts_against_is_not_appealed_and_says_so_alike(crew: Crew) -> None:
    image_id = corrected(crew)
    second = task_of(crew, crew.stylist, image_id, "styles", 1)
    drawn = task_of(crew, crew.drawer, image_id, "segmentation")
    bounced = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(3, "styles"))
    waiting = task_of(crew, crew.stylist, bounced, "styles")
    shown = [
        refused(appeal(crew.stylist, second), 409, "nothing_against"),
        refused(appeal(crew.drawer, drawn), 409, "nothing_against"),
        refused(appeal(crew.stylist, waiting), 409, "nothing_against"),
    ]
    assert len({one["detail"] for one in shown}) == 1
    refused(appeal(crew.drawer, second), 404, "no_such_task")
    refused(appeal(crew.drawer, 10**6), 404, "no_such_task")
    refused(crew.drawer.post("/me/appeals", {"task_id": drawn, "reason": ""}), 422)
    refused(crew.drawer.post("/me/appeals", {"task_id": "x"}), 422)


def test_an_appeal_comes_in_time_and_not_too_many_at_once(crew: Crew) -> None:
    tasks = []
    most = crew.rt.policy.appeals.open_most
    for _ in range(most + 1):
        image_id = corrected(crew)
        tasks.append(task_of(crew, crew.stylist, image_id, "styles"))
    for task_id in tasks[:most]:
        appealed(crew.stylist, task_id)
    refused(appeal(crew.stylist, tasks[-1]), 409, "too_many_appeals")
    assert len(crew.stylist.read("/me/appeals?limit=2")["items"]) == 2
    umpire = crew.hire("expert", "umpire")
    good(umpire.submit(umpire.claim(), verdict(5)))
    crew.clock.forward(days=crew.rt.policy.appeals.days, seconds=1)
    refused(appeal(crew.stylist, tasks[-1]), 409, "too_late")
    assert crew.stylist.read("/me/appeals/possible")["items"] == []


def test_a_seat_let_go_goes_to_somebody_else(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    first, second = crew.hire("expert", "first"), crew.hire("expert", "second")
    seat = first.claim()
    assert second.ask().status_code == 204
    assert first.release(seat).status_code == 204
    assert first.ask().status_code == 204, "they have seen it"
    again = second.claim()
    crew.clock.forward(hours=1)
    crew.tidy()
    refused(second.submit(again, verdict(5)), 409, "lease_lost")
    third = crew.hire("expert", "third")
    good(third.submit(third.claim(), verdict(5)))
    assert crew.stylist.read("/me/appeals")["items"][0]["state"] == "upheld"
    assert crew.admin.read("/appeals")["items"][0]["by"] == "third"


def test_a_reviewer_appeals_against_an_adjudicator(crew: Crew) -> None:
    image_id = crew.split_image(verdict(2, "styles"), verdict(5))
    crew.judge.do("adjudication", verdict(5))
    assert crew.state(image_id) == "accepted"
    task_id = task_of(crew, crew.left, image_id, "second_review")
    lost = figures(crew, crew.left, "second_review")
    appealed(crew.left, task_id)
    umpire = crew.hire("inspector", "umpire")
    good(umpire.submit(umpire.claim(), verdict(1, "styles")))
    assert figures(crew, crew.left, "second_review")["score"] > lost["score"]
    assert figures(crew, crew.judge, "adjudication")["score"] < 0.8, "below where everybody begins"
    replays_the_same(crew)


def test_a_refused_send_back_can_be_appealed(crew: Crew) -> None:
    image_id = crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    crew.drawer.do("segmentation")
    crew.bring("second_review", start="attributes")
    crew.step("second_review")
    task_id = task_of(crew, crew.tagger, image_id, "attributes")
    appealed(crew.tagger, task_id)
    lost = figures(crew, crew.tagger, "attributes")
    umpire = crew.hire("expert", "umpire")
    seat = umpire.claim()
    assert all(seat["labels"].values()), "what came later stands in for what was not there yet"
    good(umpire.submit(seat, verdict(2, "segmentation")))
    assert crew.tagger.read("/me/appeals")["items"][0]["state"] == "upheld"
    assert figures(crew, crew.tagger, "attributes")["score"] > lost["score"]
    replays_the_same(crew)


def test_reserved_and_bounced_work_comes_before_an_appeal_and_new_work_after_it(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    crew.stylist.post("/me/appeals", {})
    crew.image_at("styles")
    assert umpire.claim("styles")["stage"] == "styles", "who asks for one stage gets that"
    crew.image_at("styles")
    first = umpire.claim()
    assert first["stage"] == "adjudication"
    good(umpire.submit(first, verdict(5)))


def test_an_image_that_is_opened_again_is_not_reviewed_by_who_judged_its_appeal(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("inspector", "umpire")
    good(umpire.submit(umpire.claim(), verdict(5)))
    good(crew.admin.decide(image_id, "in_work", stage="second_review"))
    assert umpire.ask("second_review").status_code == 204
    assert crew.left.claim("second_review")["image"]["id"] == image_id


def test_while_the_image_is_in_work_again_the_appeal_waits(crew: Crew) -> None:
    image_id = corrected(crew)
    task_id = task_of(crew, crew.stylist, image_id, "styles")
    appealed(crew.stylist, task_id)
    good(crew.admin.decide(image_id, "in_work", stage="second_review"))
    umpire = crew.hire("expert", "umpire")
    assert umpire.ask().status_code == 204
    crew.step("second_review")
    good(umpire.submit(umpire.claim(), verdict(5)))
    assert crew.stylist.read("/me/appeals")["items"][0]["state"] == "upheld"
    replays_the_same(crew)


@ON_ONE_DATABASE
def test_only_admins_see_appeals_of_others(crew: Crew) -> None:
    image_id = corrected(crew)
    made = appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    for path in ("/appeals", f"/appeals/{made['id']}"):
        refused(crew.stylist.get(path), 403)
    assert crew.admin.read(f"/appeals/{made['id']}")["reason"] == WHY
    refused(crew.admin.get("/appeals/77"), 404)
    assert crew.checker.read("/me/appeals")["items"] == []
    assert "judge" not in crew.stylist.read("/me/appeals")["items"][0]
    assert {"by", "username"}.isdisjoint(crew.stylist.read("/me/appeals")["items"][0])


def test_a_late_verdict_after_the_decision_changes_nothing(crew: Crew) -> None:
    image_id = corrected(crew)
    appealed(crew.stylist, task_of(crew, crew.stylist, image_id, "styles"))
    umpire = crew.hire("expert", "umpire")
    seat = umpire.claim()
    good(umpire.submit(seat, verdict(5)))
    after = stored(crew)
    good(umpire.submit(seat, verdict(1, "styles")))
    assert token_of(seat)
    assert stored(crew) == after
