"""Plans against what was done, and notices to those they are for."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from crowd.accounts import groups
from crowd.accounts import service as accounts
from crowd.accounts.models import GroupKind
from crowd.core import clock
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.steering import telling
from tests.kinds import Answer, client_of
from tests.tasks.engine import Engine, Lease, passing

TUESDAY = datetime(2026, 3, 3, 9, tzinfo=UTC)


class Office:
    """People of a few grades who call the API, at a time that stands still."""

    def __init__(self, rt: Runtime, app: Flask) -> None:
        self.engine = Engine(rt, TUESDAY)
        self.app = app
        self.boss = self.engine.hire(Grade.ADMIN)

    def call(self, who: int, method: str, path: str, body: Any = None) -> Answer:
        with self.engine.db.begin() as conn:
            _, token = accounts.issue_token(conn, who)
        headers = {"Authorization": f"Bearer {token}"}
        return client_of(self.app).open(f"/api/v1{path}", method=method, json=body, headers=headers)

    def unread(self, who: int) -> int:
        count: int = self.call(who, "GET", "/me").json["notices"]["unread"]
        return count


@pytest.fixture
def office(rt: Runtime, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Office:
    made = Office(rt, app)
    monkeypatch.setattr(clock, "now", lambda: made.engine.now)
    monkeypatch.setattr(groups, "now", lambda: made.engine.now)
    return made


def draw(office: Office, drawer: int, count: int) -> None:
    for _ in range(count):
        office.engine.add_image()
        lease = office.engine.claim(drawer, Stage.SEGMENTATION)
        assert isinstance(lease, Lease)
        assert office.engine.answer(lease, passing(lease)) is None


def test_a_plan_is_held_against_what_was_done(office: Office) -> None:
    drawer = office.engine.hire(Grade.GENERAL)
    plan = {"starts_on": "2026-03-02", "ends_on": "2026-03-11", "volume": 20, "person": office.boss}
    put = office.call(office.boss, "PUT", "/plans/segmentation", plan)
    assert (put.status_code, put.json["volume"], put.json["person_id"]) == (200, 20, office.boss)
    draw(office, drawer, 3)
    office.engine.now += timedelta(days=1)
    draw(office, drawer, 3)
    telling.tell(office.engine.db)
    [row] = office.call(office.boss, "GET", "/stats/plans").json["items"]
    # Three of ten days have passed: 6 of 20 are due; 14 are left for 7 days; 6 in 3 days is the pace.
    assert (row["done"], row["due"], row["ahead"]) == (6, 6, 0)
    assert (row["per_day"], row["needed_per_day"], row["expected_on"]) == (2.0, 2.0, "2026-03-11")
    office.engine.now += timedelta(days=3)
    [late] = office.call(office.boss, "GET", "/stats/plans").json["items"]
    assert (late["due"], late["ahead"], late["needed_per_day"]) == (12, -6, 3.5)
    office.engine.now += timedelta(days=30)
    [over] = office.call(office.boss, "GET", "/stats/plans").json["items"]
    assert (over["due"], over["ahead"], over["needed_per_day"], over["per_day"]) == (20, -14, None, 0.0)
    assert over["expected_on"] is None


def test_a_new_plan_replaces_the_old_one_which_stays_as_history(office: Office) -> None:
    plan = {"starts_on": "2026-03-02", "ends_on": "2026-03-11", "volume": 20}
    for volume, reason in ((20, "first"), (30, "more came")):
        body = {**plan, "volume": volume, "reason": reason}
        assert office.call(office.boss, "PUT", "/plans/styles", body).status_code == 200
    [present] = office.call(office.boss, "GET", "/plans").json["items"]
    assert (present["stage"], present["volume"], present["reason"]) == ("styles", 30, "more came")
    dropped = office.call(office.boss, "POST", "/plans/styles/drop", {"reason": "another way"})
    assert dropped.status_code == 204
    assert office.call(office.boss, "GET", "/plans").json["items"] == []
    assert office.call(office.boss, "GET", "/stats/plans").json["items"] == []
    versions = office.call(office.boss, "GET", "/plans/styles").json["items"]
    assert [(row["volume"], row["reason"]) for row in versions] == [
        (20, "first"),
        (30, "more came"),
        (None, "another way"),
    ]
    again = office.call(office.boss, "POST", "/plans/styles/drop", {"reason": "again"})
    assert (again.status_code, again.json["code"]) == (404, "no_plan")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ends_on": "2026-03-01"}, "ends_on"),
        ({"volume": 0}, "volume"),
        ({"person": 9999}, "person"),
        ({"starts_on": "soon"}, "starts_on"),
    ],
)
def test_a_plan_that_cannot_be_names_its_field(office: Office, change: dict[str, Any], field: str) -> None:
    plan = {"starts_on": "2026-03-02", "ends_on": "2026-03-11", "volume": 20, **change}
    refused = office.call(office.boss, "PUT", "/plans/styles", plan)
    assert (refused.status_code, list(refused.json["errors"])) == (422, [field])


@pytest.mark.parametrize(
    ("starts_on", "ends_on"),
    [("0001-01-01", "0001-01-02"), ("0001-01-01", "9999-12-31"), ("9999-12-30", "9999-12-31")],
)
def test_a_plan_at_the_ends_of_time_is_told_too(office: Office, starts_on: str, ends_on: str) -> None:
    plan = {"starts_on": starts_on, "ends_on": ends_on, "volume": 10**12}
    assert office.call(office.boss, "PUT", "/plans/styles", plan).status_code == 200
    [row] = office.call(office.boss, "GET", "/stats/plans").json["items"]
    assert (row["done"], row["volume"]) == (0, 10**12)


def test_plans_are_for_admins_and_for_stages_there_are(office: Office) -> None:
    worker = office.engine.hire(Grade.GENERAL)
    assert office.call(worker, "GET", "/plans").status_code == 403
    assert office.call(worker, "GET", "/stats/plans").status_code == 403
    plan = {"starts_on": "2026-03-02", "ends_on": "2026-03-11", "volume": 20}
    assert office.call(worker, "PUT", "/plans/styles", plan).status_code == 403
    assert office.call(office.boss, "PUT", "/plans/lunch", plan).status_code == 404


@pytest.mark.parametrize(
    ("audience", "readers"),
    [
        (lambda _school: {}, {"drawer", "pupil", "expert", "boss"}),
        (lambda _school: {"grade": "expert"}, {"expert"}),
        (lambda _school: {"stage": "segmentation"}, {"drawer", "pupil"}),
        (lambda school: {"group": school}, {"pupil"}),
        (lambda school: {"group": school, "grade": "expert"}, set()),
    ],
    ids=["everybody", "a grade", "a stage", "a group", "a grade of a group"],
)
def test_a_notice_is_seen_by_those_it_is_for(
    office: Office, audience: Callable[[int], dict[str, Any]], readers: set[str]
) -> None:
    people = {
        "drawer": office.engine.hire(Grade.GENERAL),
        "pupil": office.engine.hire(Grade.GENERAL),
        "expert": office.engine.hire(Grade.EXPERT),
        "boss": office.boss,
    }
    with office.engine.db.begin() as conn:
        school = groups.found(conn, GroupKind.SCHOOL, "Hill School", by=None).id
        groups.join(conn, school, [people["pupil"]], by=None, reason="")
    office.engine.now += timedelta(minutes=1)
    body = {"title": "Collars", "text": "See the guideline.", **audience(school)}
    sent = office.call(office.boss, "POST", "/notices", body)
    assert sent.status_code == 201, sent.text
    for name, person in people.items():
        items = office.call(person, "GET", "/notices").json["items"]
        assert [row["title"] for row in items] == (["Collars"] if name in readers else []), name
        assert office.unread(person) == (name in readers)
        read = office.call(person, "POST", f"/notices/{sent.json['id']}/read")
        assert read.status_code == (204 if name in readers else 404)
        assert office.unread(person) == 0
    [told] = office.call(office.boss, "GET", "/notices/sent").json["items"]
    assert told["reads"] == len(readers)


def test_a_notice_read_twice_is_read_once_and_stays_in_the_list(office: Office) -> None:
    worker = office.engine.hire(Grade.GENERAL)
    ids = [
        office.call(office.boss, "POST", "/notices", {"title": title, "text": "…"}).json["id"]
        for title in ("one", "two", "three")
    ]
    for _ in range(2):
        assert office.call(worker, "POST", f"/notices/{ids[1]}/read").status_code == 204
    assert office.unread(worker) == 2
    titles = [row["title"] for row in office.call(worker, "GET", "/notices").json["items"]]
    assert titles == ["three", "two", "one"]
    unread = office.call(worker, "GET", "/notices?unread=true&limit=1").json
    assert [row["title"] for row in unread["items"]] == ["three"]
    rest = office.call(worker, "GET", f"/notices?unread=true&cursor={unread['next_cursor']}").json
    assert [row["title"] for row in rest["items"]] == ["one"]


def test_a_notice_goes_when_it_expires_or_is_taken_back(office: Office) -> None:
    worker = office.engine.hire(Grade.GENERAL)
    soon = (office.engine.now + timedelta(hours=1)).isoformat()
    office.call(office.boss, "POST", "/notices", {"title": "short", "text": "…", "expires_at": soon})
    kept = office.call(office.boss, "POST", "/notices", {"title": "long", "text": "…"}).json["id"]
    assert office.unread(worker) == 2
    office.engine.now += timedelta(hours=2)
    assert office.unread(worker) == 1
    taken = office.call(office.boss, "POST", f"/notices/{kept}/end", {"reason": "wrong"})
    assert (taken.status_code, taken.json["ended_at"] is not None) == (200, True)
    again = office.call(office.boss, "POST", f"/notices/{kept}/end", {"reason": "wrong"})
    assert (again.status_code, again.json["code"]) == (409, "ended")
    assert office.call(worker, "GET", "/notices").json["items"] == []
    assert office.unread(worker) == 0


def test_only_admins_write_and_only_what_can_be(office: Office) -> None:
    worker = office.engine.hire(Grade.GENERAL)
    body = {"title": "t", "text": "x"}
    assert office.call(worker, "POST", "/notices", body).status_code == 403
    assert office.call(worker, "GET", "/notices/sent").status_code == 403
    for change, field in (
        ({"title": ""}, "title"),
        ({"group": 9999}, "group"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"grade": "king"}, "grade"),
    ):
        refused = office.call(office.boss, "POST", "/notices", {**body, **change})
        assert (refused.status_code, list(refused.json["errors"])) == (422, [field])
