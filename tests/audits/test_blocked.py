"""Audits that nobody can finish say so, are drawn anew or given up; what is behind a rate; the preview."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.audits import seats, service
from crowd.audits.blocked import service as blocked
from crowd.core.errors import Conflict
from crowd.policy import Grade
from crowd.tasks.models import Part, Participation
from tests.audits.test_audits import accepted, draw, failed, judge, source
from tests.races.contest import together
from tests.scenarios.conftest import crew, place, postgresql_place, sqlite_place
from tests.scenarios.people import ON_ONE_DATABASE, Crew, Json, Person, good, refused, verdict

assert crew
assert place
assert postgresql_place
assert sqlite_place


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "LOOK_SECONDS", 0.0)


def sample(crew: Crew, audit: Json, query: str = "") -> list[Json]:
    items: list[Json] = crew.admin.read(f"/audits/{audit['id']}/images?limit=200{query}")["items"]
    return items


def had_a_part(crew: Crew, person: Person, *images: int) -> None:
    with crew.rt.db.begin() as conn:
        conn.execute(
            sa.insert(Participation),
            [
                {"image_id": image, "worker_id": person.id, "part": Part.LABELLED, "round": 1}
                for image in images
            ],
        )


def seen(crew: Crew, audit: Json) -> Json:
    found: Json = crew.admin.read(f"/audits/{audit['id']}")
    return found


def attention(crew: Crew) -> list[Json]:
    items: list[Json] = crew.admin.read("/stats/attention?limit=200")["items"]
    return items


def test_an_audit_says_how_many_images_nobody_may_judge_and_who_is_missing(crew: Crew) -> None:
    accepted(crew, 4)
    audit = draw(crew)
    assert (audit["blocked"], audit["blocked_for"]) == (audit["size"], ["expert", "inspector"])
    [told] = attention(crew)
    assert (told["kind"], told["audit_id"], told["images"]) == ("blocked", audit["id"], audit["size"])
    assert (told["image_id"], told["blocked_for"]) == (None, ["expert", "inspector"])
    newcomer = crew.hire("expert")
    assert (seen(crew, audit)["blocked"], seen(crew, audit)["blocked_for"]) == (0, [])
    assert attention(crew) == []
    # Whoever sits there keeps the image from being blocked; what waits is, once they are gone.
    newcomer.claim()
    assert crew.admin.post(f"/workers/{newcomer.id}/suspend", {"reason": "gone"}).status_code == 200
    assert seen(crew, audit)["blocked"] == audit["size"]
    [listed] = crew.admin.read("/audits")["items"]
    assert listed["blocked"] == audit["size"]


@ON_ONE_DATABASE
def test_neither_suppliers_nor_auditors_nor_other_grades_unblock(crew: Crew) -> None:
    accepted(crew, 2)
    audit = draw(crew)
    crew.hire("reviewer")
    assert crew.admin.post("/auditors", {"username": "outsider"}).status_code == 201
    assert seen(crew, audit)["blocked"] == audit["size"]
    crew.hire("inspector")
    assert seen(crew, audit)["blocked"] == 0


@ON_ONE_DATABASE
def test_attention_pages_through_audits_and_images_alike(crew: Crew) -> None:
    images = accepted(crew, 2)
    audit = draw(crew)
    good(crew.admin.decide(images[0], "in_work", stage="second_review"))
    crew.admin.post(f"/workers/{crew.left.id}/suspend", {"reason": "gone"})
    crew.admin.post(f"/workers/{crew.right.id}/suspend", {"reason": "gone"})
    whole = attention(crew)
    assert [(each.get("audit_id"), each["image_id"]) for each in whole] == [
        (audit["id"], None),
        (None, images[0]),
        (None, images[0]),
    ]
    paged, cursor = [], ""
    while True:
        page = crew.admin.read(f"/stats/attention?limit=1{cursor}")
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert paged == whole
    assert crew.admin.read("/stats/attention?kind=stuck")["items"] == []


def test_others_are_drawn_for_images_that_nobody_may_judge(crew: Crew) -> None:
    images = accepted(crew, 12)
    audit = draw(crew)
    first = sample(crew, audit)
    lost = [row["image_id"] for row in first][:2]
    had_a_part(crew, crew.judge, *lost)
    assert seen(crew, audit)["blocked"] == 2
    path = f"/audits/{audit['id']}/redraw"
    again = crew.admin.post(path, {"reason": "no expert for a month"})
    assert again.status_code == 200, again.text
    shown = again.json
    assert (shown["size"], shown["blocked"]) == (audit["size"], 0)
    assert shown["replaced"] >= 2
    assert 2 / 12 < shown["replaced_upper"] <= 1
    assert shown["history"][-1]["what"] == "redrawn"
    assert shown["history"][-1]["reason"] == "no expert for a month"
    rows = sample(crew, audit)
    assert {row["image_id"] for row in rows if row["replaced"]} >= set(lost)
    assert len({row["image_id"] for row in rows}) == len(rows) == audit["size"] + shown["replaced"]
    assert {row["image_id"] for row in rows} <= set(images)
    judged = {source(crew, judge(crew, crew.judge)) for _ in range(audit["size"])}
    assert not judged & set(lost)
    assert crew.judge.queue_state() == "empty"
    done = seen(crew, audit)
    assert (done["verdict"], done["judged"], done["replaced"]) == ("passed", audit["size"], shown["replaced"])


@ON_ONE_DATABASE
def test_a_redraw_takes_only_what_somebody_may_judge_and_what_is_of_the_lot(crew: Crew) -> None:
    images = accepted(crew, 14)
    audit = draw(crew)
    drawn = [row["image_id"] for row in sample(crew, audit)]
    spare = {image for (image,) in crew.rows("SELECT image_id FROM audit_images")} - set(drawn)
    since, barred, *rest = [image for image in images if image not in {*drawn, *spare}]
    good(crew.admin.decide(since, "in_work", stage="second_review"))
    crew.step("second_review")
    had_a_part(crew, crew.judge, barred, *drawn[:2], *spare)
    again = crew.admin.post(f"/audits/{audit['id']}/redraw", {"reason": "nobody left"}).json
    assert again["replaced"] == 2 + len(spare)
    waiting = {row["image_id"] for row in sample(crew, audit) if not row["replaced"]}
    assert len(waiting) == audit["size"]
    assert waiting >= set(drawn[2:])
    assert waiting - set(drawn) <= set(rest)


@ON_ONE_DATABASE
def test_a_redraw_is_refused_where_it_would_change_nothing_or_find_too_few(crew: Crew) -> None:
    accepted(crew, 6)
    audit = draw(crew)
    path = f"/audits/{audit['id']}/redraw"
    refused(crew.admin.post(path, {"reason": "why not"}), 409, "too_few_left")
    assert len(sample(crew, audit)) == audit["size"]
    crew.hire("expert")
    refused(crew.admin.post(path, {"reason": "why not"}), 409, "not_blocked")
    refused(crew.admin.post("/audits/99/redraw", {"reason": "why not"}), 404, "no_such_audit")
    refused(crew.stylist.post(path, {"reason": "why not"}), 403, "grade")
    crew.admin.post(f"/audits/{audit['id']}/drop", {"reason": "by mistake"})
    refused(crew.admin.post(path, {"reason": "why not"}), 409, "not_open")


def test_of_two_who_draw_anew_at_once_one_does(crew: Crew) -> None:
    accepted(crew, 12)
    audit = draw(crew)
    had_a_part(crew, crew.judge, *[row["image_id"] for row in sample(crew, audit)][:2])
    again = partial(blocked.redraw, crew.rt.db, crew.rt.policy, audit["id"], by=None, reason="at once")
    results = together(again, again, spread_ms=3)
    (replaced,) = [each for each in results if isinstance(each, int)]
    (lost,) = [each for each in results if isinstance(each, Conflict)]
    assert lost.code == "not_blocked"
    assert seen(crew, audit)["replaced"] == replaced


@ON_ONE_DATABASE
def test_a_dropped_audit_neither_blocks_nor_covers_a_release(crew: Crew) -> None:
    accepted(crew, 2)
    audit = draw(crew)
    dropped = crew.admin.post(f"/audits/{audit['id']}/drop", {"reason": "nobody can judge it"}).json
    assert (dropped["verdict"], dropped["blocks_releases"], dropped["blocked"]) == ("dropped", False, 0)
    assert attention(crew) == []
    with crew.rt.db.read() as conn:
        service.guard_release(conn, audited=False)
        with pytest.raises(Conflict) as caught:
            service.guard_release(conn, audited=True)
    assert caught.value.code == "audit_required"
    assert crew.judge.queue_state() == "empty"


BLANK: list[tuple[str, Json]] = [
    ("", {}),
    ("/1/drop", {}),
    ("/1/redraw", {}),
    ("/1/send-back", {"preview": True}),
    ("/1/send-back", {}),
]


@ON_ONE_DATABASE
def test_a_reason_of_blanks_is_none(crew: Crew) -> None:
    accepted(crew, 1)
    draw(crew)
    for path, more in BLANK:
        body = refused(crew.admin.post(f"/audits{path}", {"reason": "  \n ", **more}), 422)
        assert list(body["errors"]) == ["reason"], path
    for path, more in (("/me/appeals", {"task_id": 1}), ("/appeals/1/decide", {"upheld": True})):
        body = refused(crew.admin.post(path, {"reason": " \t ", **more}), 422)
        assert list(body["errors"]) == ["reason"], path
    kept = crew.admin.post("/audits/1/drop", {"reason": "  by mistake \n"}).json
    assert kept["history"][-1]["reason"] == "by mistake"


@ON_ONE_DATABASE
def test_the_preview_tells_what_would_be_drawn(crew: Crew) -> None:
    refused(crew.admin.get("/audits/preview"), 409, "nothing_accepted")
    accepted(crew, 6)
    shown = crew.admin.read("/audits/preview?tolerable_rate=0.3&confidence=0.9&allowed_wrong=0")
    people = sum(1 for each in crew.people.values() if _grade(crew, each) in (Grade.EXPERT, Grade.INSPECTOR))
    assert shown["judges"] == people
    audit = draw(crew)
    assert {
        name: shown[name] for name in ("lot", "size", "confidence", "tolerable_rate", "allowed_wrong")
    } == {name: audit[name] for name in ("lot", "size", "confidence", "tolerable_rate", "allowed_wrong")}
    refused(crew.admin.get("/audits/preview"), 409, "audit_standing")
    body = refused(crew.admin.get("/audits/preview?supplier=nobody"), 422)
    assert list(body["errors"]) == ["supplier"]
    refused(crew.stylist.get("/audits/preview"), 403, "grade")


@ON_ONE_DATABASE
def test_the_images_behind_each_rate_are_found(crew: Crew) -> None:
    _, audit, wrong = failed(crew)
    rates = {(rate["by"], rate["name"]): rate for rate in audit["rates"]}
    reviewer = rates[("reviewer", "left")]
    supplier = rates[("supplier", "a shop")]
    assert [row["image_id"] for row in sample(crew, audit, "&blame=styles")] == [wrong]
    assert sample(crew, audit, "&blame=attributes") == []
    assert len(sample(crew, audit, "&wrong=false")) == audit["judged"] - 1
    for query, rate in ((f"&reviewer={reviewer['id']}", reviewer), (f"&supplier={supplier['id']}", supplier)):
        assert len(sample(crew, audit, query)) == rate["judged"]
        assert [row["image_id"] for row in sample(crew, audit, f"{query}&wrong=true")] == [wrong]
    assert sample(crew, audit, f"&reviewer={crew.judge.id}") == []
    assert sample(crew, audit, "&supplier=99") == []


@ON_ONE_DATABASE
def test_that_a_seat_is_an_audits_is_told_beside_the_task_and_nowhere_in_it(crew: Crew) -> None:
    accepted(crew, 2)
    crew.image()
    crew.bring("second_review")
    plain = crew.left.ask("second_review")
    draw(crew)
    asked = crew.judge.ask()
    assert asked.headers["Task-Purpose"] == "audit"
    assert "Task-Purpose" not in plain.headers
    assert set(asked.json) == set(plain.json)
    held = crew.judge.get(f"/tasks/{asked.json['id']}")
    assert held.headers["Task-Purpose"] == "audit"
    good(crew.judge.submit(asked.json, verdict(5)))


def _grade(crew: Crew, person: Person) -> Any:
    return crew.admin.read(f"/workers/{person.id}")["grade"]
