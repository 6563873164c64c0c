"""An audit from the draw to the release: who judges, what blocks, what goes back, who signs."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.audits import seats, sendback, service
from crowd.audits.models import AuditReturn, AuditSignature, Opinion
from crowd.core.db import Database
from crowd.core.errors import Conflict
from crowd.datasets import service as datasets
from crowd.images.models import Image
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks.answers import Given, Rulebook, answer
from crowd.tasks.models import Kind
from crowd.tasks.taxonomies import shelf
from tests.races.contest import together
from tests.scenarios.conftest import crew, place, postgresql_place, sqlite_place
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

assert crew
assert place
assert postgresql_place
assert sqlite_place


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "LOOK_SECONDS", 0.0)


def accepted(crew: Crew, count: int) -> list[int]:
    """Accepted images, made together."""
    images = [crew.image() for _ in range(count)]
    for _ in images:
        crew.bring("adjudication")
    return images


def draw(crew: Crew, **wanted: Any) -> Json:
    body = {"tolerable_rate": 0.3, "confidence": 0.9, "allowed_wrong": 0, "seed": 7, "reason": "before v1"}
    response = crew.admin.post("/audits", body | wanted)
    assert response.status_code == 201, response.text
    found: Json = response.json
    return found


def judge(crew: Crew, who: Person, result: Json | None = None) -> Json:
    task = who.claim()
    assert task["stage"] == "second_review"
    good(who.submit(task, result or verdict(5)))
    return task


def source(crew: Crew, task: Json) -> int:
    ((image_id,),) = crew.rows("SELECT duplicate_of FROM images WHERE id = :id", id=task["image"]["id"])
    return int(image_id)


def failed(crew: Crew, count: int = 6) -> tuple[list[int], Json, int]:
    """A lot whose audit has failed, by one image with wrong styles."""
    images = accepted(crew, count)
    audit = draw(crew)
    crew.clock.forward(minutes=1)
    wrong = source(crew, judge(crew, crew.judge, verdict(2, "styles", comment="not resort")))
    for _ in range(audit["size"] - 1):
        judge(crew, crew.judge)
    return images, crew.admin.read(f"/audits/{audit['id']}"), wrong


def run_returns(crew: Crew) -> int:
    return sendback.run_returns(crew.rt.db)


def test_experts_judge_the_sample_with_their_usual_claims_and_the_images_stay_as_they_are(crew: Crew) -> None:
    images = accepted(crew, 6)
    audit = draw(crew)
    assert (audit["verdict"], audit["lot"], audit["judged"]) == ("open", 6, 0)
    assert 0 < audit["size"] < 6
    tasks = [judge(crew, crew.judge) for _ in range(audit["size"])]
    assert crew.judge.queue_state() == "empty"
    shown = crew.admin.read(f"/audits/{audit['id']}")
    assert (shown["verdict"], shown["judged"], shown["wrong"], shown["rate"]) == (
        "passed",
        audit["size"],
        0,
        0,
    )
    assert shown["lower"] == 0
    assert shown["upper"] <= 0.3
    assert not shown["blocks_releases"]
    sampled = {source(crew, task) for task in tasks}
    assert len(sampled) == audit["size"]
    assert sampled <= set(images)
    assert not {task["image"]["id"] for task in tasks} & set(images)
    assert {crew.state(image) for image in images} == {"accepted"}
    assert crew.progress("second_review")["done"] == 12
    assert all(task["labels"]["styles"]["styles"] == ["resort"] and not task["feedback"] for task in tasks)


@ON_ONE_DATABASE
def test_nobody_judges_an_image_they_had_a_part_in(crew: Crew) -> None:
    accepted(crew, 3)
    draw(crew)
    for involved in (crew.stylist, crew.left, crew.right):
        assert involved.queue_state() == "empty"
    assert crew.hire("reviewer").queue_state() == "empty"
    assert crew.hire("general").queue_state() == "empty"
    assert crew.hire("expert").claim()["stage"] == "second_review"


@ON_ONE_DATABASE
def test_the_same_seed_draws_the_same_images(crew: Crew) -> None:
    accepted(crew, 8)
    first = draw(crew)
    sample = crew.admin.read(f"/audits/{first['id']}/images")["items"]
    assert crew.admin.post(f"/audits/{first['id']}/drop", {"reason": "drawn by mistake"}).status_code == 200
    again = draw(crew)
    assert [row["image_id"] for row in crew.admin.read(f"/audits/{again['id']}/images")["items"]] == [
        row["image_id"] for row in sample
    ]
    crew.admin.post(f"/audits/{again['id']}/drop", {"reason": "once more"})
    other = draw(crew, seed=8)
    assert [row["image_id"] for row in crew.admin.read(f"/audits/{other['id']}/images")["items"]] != [
        row["image_id"] for row in sample
    ]


@ON_ONE_DATABASE
def test_a_seat_that_is_let_go_is_given_to_somebody_else_and_an_old_token_is_spent(crew: Crew) -> None:
    accepted(crew, 2)
    audit = draw(crew)
    task = crew.judge.claim()
    assert crew.judge.release(task, skip=True).status_code == 204
    other = crew.hire("expert")
    taken = other.claim()
    assert source(crew, taken) == source(crew, task)
    assert taken["id"] != task["id"]
    refused(crew.judge.submit(task, verdict(1, "styles")), 409, "lease_lost")
    good(other.submit(taken, verdict(5)))
    assert crew.admin.read(f"/audits/{audit['id']}")["judged"] == 1
    ran_out = other.claim()
    crew.clock.forward(hours=2)
    crew.tidy()
    assert source(crew, crew.judge.claim()) == source(crew, ran_out)


@ON_ONE_DATABASE
def test_labels_are_judged_as_they_were_drawn_even_if_the_image_has_moved_on(crew: Crew) -> None:
    (image,) = accepted(crew, 1)
    draw(crew)
    good(crew.admin.decide(image, "in_work", stage="styles"))
    crew.stylist.do("styles", {"styles": ["country"], "unsure": False})
    assert crew.judge.claim()["labels"]["styles"]["styles"] == ["resort"]


def test_what_was_withdrawn_is_void_and_the_next_image_takes_its_turn(crew: Crew) -> None:
    accepted(crew, 6)
    audit = draw(crew)
    first = crew.admin.read(f"/audits/{audit['id']}/images")["items"][0]["image_id"]
    good(crew.admin.decide(first, "withdrawn"))
    for _ in range(audit["size"]):
        judge(crew, crew.judge)
    shown = crew.admin.read(f"/audits/{audit['id']}")
    assert (shown["verdict"], shown["judged"], shown["void"]) == ("passed", audit["size"], 1)


def test_a_failed_audit_blocks_releases_until_its_lot_went_back(crew: Crew) -> None:
    images, audit, wrong = failed(crew)
    assert (audit["verdict"], audit["wrong"], audit["blocks_releases"]) == ("failed", 1, True)
    body = refused(crew.admin.post("/releases", {"name": "v1"}), 409, "audit_failed")
    assert f"Audit {audit['id']}" in body["detail"]
    again = {"tolerable_rate": 0.3, "reason": "until it passes"}
    refused(crew.admin.post("/audits", again), 409, "audit_standing")
    path = f"/audits/{audit['id']}/send-back"
    preview = crew.admin.post(path, {"reason": "too many", "preview": True})
    assert preview.json == {"preview": {"styles": 1, "second_review": 5}, "id": None}
    assert {crew.state(image) for image in images} == {"accepted"}
    ordered = crew.admin.post(path, {"reason": "too many"})
    assert ordered.status_code == 202, ordered.text
    refused(crew.admin.post(path, {"reason": "too many"}), 409, "under_way")
    assert run_returns(crew) == 6
    assert crew.open_stages(wrong) == [("styles", 2)]
    for image in set(images) - {wrong}:
        assert crew.open_stages(image) == [("second_review", 2)] * 2
    (sent,) = crew.admin.read(f"/audits/{audit['id']}")["sent_back"]
    assert sent["reopened"] == {"styles": 1, "second_review": 5}
    assert sent["finished_at"]
    refused(crew.admin.post(path, {"reason": "again"}), 409, "went_back")
    refused(crew.admin.post("/releases", {"name": "v1"}), 409, "nothing_accepted")
    task = crew.stylist.claim("styles")
    assert [(each["score"], each["comment"]) for each in task["feedback"]] == [(2, "not resort")]
    good(crew.stylist.submit(task, {"styles": ["country"], "unsure": False}))
    for _ in range(5):
        crew.step("second_review")
    assert crew.admin.post("/releases", {"name": "v1"}).status_code == 201


@ON_ONE_DATABASE
def test_what_is_wrong_can_go_back_alone_and_what_was_accepted_since_is_left(crew: Crew) -> None:
    images, audit, wrong = failed(crew)
    path = f"/audits/{audit['id']}/send-back"
    good_one = next(image for image in images if image != wrong)
    good(crew.admin.decide(good_one, "in_work", stage="second_review"))
    crew.step("second_review")
    assert crew.admin.post(path, {"reason": "first", "lot": False}).status_code == 202
    assert run_returns(crew) == 1
    assert crew.admin.read(f"/audits/{audit['id']}")["blocks_releases"]
    shown = crew.admin.post(path, {"reason": "the rest", "preview": True}).json
    assert shown["preview"] == {"second_review": 4}
    assert crew.admin.post(path, {"reason": "the rest", "stage": "first_review"}).status_code == 202
    assert run_returns(crew) == 4
    assert crew.state(good_one) == "accepted"
    assert crew.admin.read(f"/audits/{audit['id']}")["sent_back"][1]["left_alone"] == {"accepted_since": 1}


@ON_ONE_DATABASE
def test_sending_back_goes_on_where_a_job_worker_was_killed(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, audit, _ = failed(crew)
    assert crew.admin.post(f"/audits/{audit['id']}/send-back", {"reason": "too many"}).status_code == 202
    monkeypatch.setattr(sendback, "PAGE", 2)
    real, pages = sendback._page, 0

    def dies_on_the_third(*args: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sendback, "_page", dies_on_the_third)
        with pytest.raises(KeyboardInterrupt):
            run_returns(crew)
    assert run_returns(crew) == 0, "it is the dead one's for a while"
    crew.clock.forward(minutes=6)
    assert run_returns(crew) == 2
    (sent,) = crew.admin.read(f"/audits/{audit['id']}")["sent_back"]
    assert sum(sent["reopened"].values()) == len(images)
    assert {crew.state(image) for image in images} == {"in_work"}


@ON_ONE_DATABASE
def test_rates_are_told_by_stage_reviewer_and_supplier_as_json_and_csv(crew: Crew) -> None:
    _, audit, _ = failed(crew)
    size = audit["size"]
    rates = {(rate["by"], rate["name"]): (rate["wrong"], rate["judged"]) for rate in audit["rates"]}
    assert rates == {
        ("lot", None): (1, size),
        ("stage", "segmentation"): (0, size),
        ("stage", "attributes"): (0, size),
        ("stage", "styles"): (1, size),
        ("stage", "first_review"): (0, size),
        ("reviewer", "checker"): (1, size),
        ("reviewer", "left"): (1, size),
        ("reviewer", "right"): (1, size),
        ("supplier", "a shop"): (1, size),
    }
    assert all(0 <= rate["lower"] <= rate["rate"] <= rate["upper"] <= 1 for rate in audit["rates"])
    text = crew.admin.get(f"/audits/{audit['id']}?format=csv")
    rows = list(csv.DictReader(io.StringIO(text.text.removeprefix("\ufeff"))))
    assert [(row["by"], row["wrong"]) for row in rows][:2] == [("lot", "1"), ("stage", "0")]
    listed = list(csv.DictReader(io.StringIO(crew.admin.get("/audits?format=csv").text)))
    assert [row["verdict"] for row in listed] == ["failed"]


@ON_ONE_DATABASE
def test_policy_may_want_a_passed_audit_of_all_that_is_released(crew: Crew) -> None:
    accepted(crew, 2)
    required = partial(service.guard_release, audited=True)
    with crew.rt.db.read() as conn:
        service.guard_release(conn, audited=False)
        with pytest.raises(Conflict, match="a shop"):
            required(conn)
    audit = draw(crew, supplier="a shop")
    for _ in range(audit["size"]):
        judge(crew, crew.judge)
    with crew.rt.db.read() as conn:
        required(conn)
    accepted(crew, 1)
    with crew.rt.db.read() as conn, pytest.raises(Conflict) as caught:
        required(conn)
    assert caught.value.code == "audit_required"


@ON_ONE_DATABASE
def test_bad_wishes_name_the_field(crew: Crew) -> None:
    wishes: list[tuple[Json, str]] = [
        ({"supplier": "nobody"}, "supplier"),
        ({"batch": "none"}, "batch"),
        ({"confidence": 1}, "confidence"),
        ({"tolerable_rate": 0}, "tolerable_rate"),
        ({"seed": -1}, "seed"),
        ({"reason": ""}, "reason"),
    ]
    for wish, field in wishes:
        response = crew.admin.post("/audits", {"reason": "why not"} | wish)
        assert list(refused(response, 422)["errors"]) == [field]
    refused(crew.admin.post("/audits", {"reason": "why not"}), 409, "nothing_accepted")
    refused(crew.judge.post("/audits", {"reason": "why not"}), 403, "grade")
    refused(crew.judge.get("/audits"), 403, "grade")
    refused(crew.admin.get("/audits/1"), 404, "no_such_audit")
    refused(crew.admin.post("/audits/1/sign", {"verdict": "approved"}), 403, "account_kind")


@ON_ONE_DATABASE
def test_two_orders_of_one_audit_and_changed_signatures_are_refused_by_the_database(crew: Crew) -> None:
    _, audit, _ = failed(crew, 1)
    values = {
        "audit_id": audit["id"],
        "reason": "why",
        "at": crew.clock.now(),
        "reopened": {},
        "left_alone": {},
    }
    with crew.rt.db.begin() as conn:
        conn.execute(sa.insert(AuditReturn).values(**values, run_after=None))
        with pytest.raises(sa.exc.IntegrityError):
            conn.execute(sa.insert(AuditReturn).values(**values, run_after=None))
        conn.rollback()
    with crew.rt.db.begin() as conn:
        service.sign(
            conn,
            audit["id"],
            by=_actor(crew.judge),
            opinion=Opinion.NOTED,
            comment="seen",
            now=crew.clock.now(),
        )
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), crew.rt.db.begin() as conn:
        conn.execute(sa.update(AuditSignature).values(comment="never said"))


def test_of_two_who_draw_at_once_one_does(crew: Crew) -> None:
    accepted(crew, 3)
    other, admin = _second(crew.rt), _actor(crew.admin)
    for seed in range(8):
        wanted = service.Wanted(None, None, 0.9, 0.3, 0, seed, "at once")
        results = together(
            partial(service.draw, crew.rt.db, wanted, by=None),
            partial(service.draw, other.db, wanted, by=None),
            seed=seed,
            spread_ms=5,
        )
        drawn = [each for each in results if isinstance(each, int)]
        (lost,) = [each for each in results if isinstance(each, Conflict)]
        assert (len(drawn), lost.code) == (1, "audit_standing")
        with crew.rt.db.begin() as conn:
            service.drop(conn, drawn[0], by=admin, reason="next", now=crew.clock.now())
    other.db.close()


def test_of_two_who_claim_at_once_each_gets_an_image_of_their_own_and_both_verdicts_count(crew: Crew) -> None:
    accepted(crew, 4)
    audit = draw(crew, tolerable_rate=0.01)
    assert audit["size"] == 4
    people = [crew.hire("expert"), crew.hire("inspector")]
    for _ in range(2):
        tasks = together(*(person.claim for person in people))
        assert len({source(crew, task) for task in tasks if isinstance(task, dict)}) == 2
        results = together(
            *(
                partial(person.submit, task, verdict(5))
                for person, task in zip(people, tasks, strict=True)
                if isinstance(task, dict)
            )
        )
        assert [getattr(each, "status_code", None) for each in results] == [200, 200]
    shown = crew.admin.read(f"/audits/{audit['id']}")
    assert (shown["verdict"], shown["judged"]) == ("passed", 4)


def test_of_two_who_send_back_at_once_one_does_and_two_job_workers_share_the_lot(crew: Crew) -> None:
    images, audit, _ = failed(crew)
    other = _second(crew.rt)
    wanted = sendback.Wanted(audit["id"], Stage.SECOND_REVIEW, "at once")

    def order(db: Database) -> int:
        with db.begin() as conn:
            return sendback.order(conn, wanted, by=None, now=crew.clock.now())

    results = together(partial(order, crew.rt.db), partial(order, other.db), spread_ms=3)
    (lost,) = [each for each in results if isinstance(each, Conflict)]
    assert lost.code == "under_way"
    opened = together(partial(sendback.run_returns, crew.rt.db), partial(sendback.run_returns, other.db))
    assert sum(each for each in opened if isinstance(each, int)) == len(images)
    with crew.rt.db.read() as conn:
        rounds = conn.execute(sa.select(Image.round).where(Image.id.in_(images))).scalars().all()
    assert set(rounds) == {2}
    other.db.close()


def _second(rt: Runtime) -> Runtime:
    return replace(rt, db=Database(rt.db.url))


def _actor(person: Person) -> Actor:
    return Actor(person.id, person.name, Grade.ADMIN, False, "token")


@ON_ONE_DATABASE
def test_rework_kept_for_somebody_comes_before_an_audit_s_seat(crew: Crew) -> None:
    accepted(crew, 3)
    author = crew.hire("expert", "author")
    crew.image_at("styles")
    author.do("styles", styles("resort"))
    crew.checker.do("first_review", verdict(3, "styles"))
    draw(crew)
    rework = author.claim()
    assert (rework["stage"], rework["round"]) == ("styles", 2)
    good(author.submit(rework, styles("street")))
    assert author.claim()["stage"] == "second_review"


def test_what_is_accepted_after_the_look_at_audits_is_not_released_unaudited(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = accepted(crew, 2)
    audit = draw(crew)
    for _ in range(audit["size"]):
        judge(crew, crew.judge)
    looked: list[int] = []

    def look(conn: Connection, *, audited: bool) -> None:
        service.guard_release(conn, audited=audited)
        if audited and not looked:
            looked.extend(accepted(crew, 1))

    monkeypatch.setattr(datasets, "guard_release", look)
    policy = replace(crew.rt.policy, audit=replace(crew.rt.policy.audit, required=True))
    release = datasets.create_release(
        crew.rt.db, "v1", taxonomy_id=1, by=None, now=crew.clock.now(), policy=policy
    )
    assert looked
    assert release.images == len(audited)


def test_an_acceptance_under_way_is_waited_for_so_that_no_audit_covers_it_unseen(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    if crew.rt.db.is_sqlite:
        pytest.skip("there writers come one after the other")
    accepted(crew, 1)
    crew.image_at("second_review")
    crew.left.do("second_review", verdict(5))
    seat = crew.right.claim("second_review")
    given = Given(token_of(seat), Kind.SUBMIT, verdict(5))
    rulebook = Rulebook(crew.rt.policy, shelf(crew.rt))
    with crew.rt.db.engine.connect() as under_way:
        ending = under_way.begin()
        assert answer(under_way, crew.right.id, seat["id"], given, rulebook, crew.clock.now()) is None
        # It has its number by now; the next row of the history is committed first.
        crew.image()
        monkeypatch.setattr(service, "SETTLE_SECONDS", 0.1)
        refused(crew.admin.post("/audits", {"reason": "too soon"}), 409, "busy")
        monkeypatch.setattr(service, "SETTLE_SECONDS", 10.0)
        with ThreadPoolExecutor(1) as pool:
            drawing = pool.submit(service.draw, crew.rt.db, WANTED, by=None)
            time.sleep(0.3)
            assert not drawing.done()
            ending.commit()
            audit = drawing.result(timeout=20)
    assert crew.rows("SELECT lot FROM audits WHERE id = :id", id=audit) == [(2,)]


WANTED = service.Wanted(None, None, 0.9, 0.3, 0, 7, "before v1")
