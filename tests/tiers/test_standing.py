"""Who may move whom between grades, and what is left behind."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.accounts.auth import Actor
from crowd.accounts.models import ApiToken, Worker
from crowd.core.errors import Problem
from crowd.policy import Grade
from crowd.runtime import Runtime
from crowd.tiers import service
from crowd.tiers.models import GradeEvent
from tests.kinds import Bearer, Client, Headers, MakeWorker, client_of

Someone = tuple[int, Headers]
Change = Callable[[Connection, int], object]


@pytest.fixture
def boss(make_worker: MakeWorker, bearer: Bearer) -> Someone:
    worker_id, token = make_worker(Grade.ADMIN, name="boss")
    return worker_id, bearer(token)


@pytest.fixture
def worker(make_worker: MakeWorker, bearer: Bearer) -> Someone:
    worker_id, token = make_worker(Grade.GENERAL, name="worker", password="a long password")
    return worker_id, bearer(token)


def history(client: Client, boss: Someone, worker_id: int) -> list[tuple[Any, ...]]:
    answer = client.get(f"/api/v1/workers/{worker_id}/grades", headers=boss[1])
    assert answer.status_code == 200
    return [
        (row["what"], row["old_grade"], row["new_grade"], row["by"], row["reason"])
        for row in answer.json["items"]
    ]


def test_new_person_gets_a_token_and_a_password_that_both_work(
    client: Client, boss: Someone, bearer: Bearer
) -> None:
    answer = client.post("/api/v1/workers", json={"username": "김민지", "grade": "expert"}, headers=boss[1])
    assert answer.status_code == 201
    made = answer.json
    assert (made["username"], made["grade"]) == ("김민지", "expert")
    assert client.get("/api/v1/me", headers=bearer(made["token"])).json["id"] == made["id"]
    login = {"username": "김민지", "password": made["password"]}
    assert client.post("/api/v1/login", json=login).status_code == 200
    assert history(client, boss, made["id"]) == [("joined", None, "expert", "boss", "")]


def test_taken_name_is_a_conflict_also_in_another_normal_form(client: Client, boss: Someone) -> None:
    assert (
        client.post(
            "/api/v1/workers", json={"username": "Zoë", "grade": "general"}, headers=boss[1]
        ).status_code
        == 201
    )
    answer = client.post(
        "/api/v1/workers", json={"username": "Zoe\u0308", "grade": "general"}, headers=boss[1]
    )
    assert (answer.status_code, answer.json["code"]) == (409, "username_taken")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "two words", "grade": "general"}, "username"),
        ({"username": "erased-1", "grade": "general"}, "username"),
        ({"username": "", "grade": "general"}, "username"),
        ({"username": "x" * 65, "grade": "general"}, "username"),
        ({"username": "x", "grade": "king"}, "grade"),
        ({"username": "x", "grade": ["admin"]}, "grade"),
        ({"username": "x"}, "grade"),
        ({"username": 5, "grade": "general"}, "username"),
        ({"username": "x", "grade": "general", "admin": True}, "admin"),
    ],
)
def test_bad_new_person_is_refused_by_field(client: Client, boss: Someone, body: Any, field: str) -> None:
    answer = client.post("/api/v1/workers", json=body, headers=boss[1])
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/workers"),
        ("GET", "/workers"),
        ("POST", "/workers/{other}/grade"),
        ("GET", "/workers/{other}"),
        ("GET", "/workers/{other}/grades"),
        ("POST", "/workers/{other}/suspend"),
        ("POST", "/workers/{other}/reinstate"),
        ("POST", "/workers/{other}/erase"),
        ("GET", "/workers/{other}/tokens"),
        ("POST", "/workers/{other}/tokens"),
        ("DELETE", "/workers/{other}/tokens/1"),
    ],
)
def test_only_admins_steer(client: Client, boss: Someone, worker: Someone, method: str, path: str) -> None:
    address = "/api/v1" + path.format(other=boss[0])
    # The body is bad on purpose: who may not, is not told what would be right.
    assert client.open(address, method=method, json={}, headers=worker[1]).status_code == 403
    assert client.open(address, method=method, json={}).status_code == 401


def test_regrading_changes_rights_at_once_and_leaves_a_row(
    client: Client, boss: Someone, worker: Someone
) -> None:
    answer = client.post(
        f"/api/v1/workers/{worker[0]}/grade", json={"grade": "inspector", "reason": "passed"}, headers=boss[1]
    )
    assert (answer.status_code, answer.json["grade"]) == (200, "inspector")
    me = client.get("/api/v1/me", headers=worker[1]).json
    assert (me["grade"], me["stages"]) == ("inspector", ["second_review", "adjudication"])
    assert history(client, boss, worker[0])[1:] == [("graded", "general", "inspector", "boss", "passed")]


def test_same_grade_again_leaves_no_row(client: Client, boss: Someone, worker: Someone) -> None:
    answer = client.post(
        f"/api/v1/workers/{worker[0]}/grade", json={"grade": "general", "reason": "again"}, headers=boss[1]
    )
    assert answer.status_code == 200
    assert len(history(client, boss, worker[0])) == 1


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, None])
def test_a_change_needs_a_reason(client: Client, boss: Someone, worker: Someone, reason: Any) -> None:
    body = {"grade": "expert", "reason": reason}
    answer = client.post(f"/api/v1/workers/{worker[0]}/grade", json=body, headers=boss[1])
    assert answer.status_code == 422
    assert "reason" in answer.json["errors"]


def test_one_sees_ones_own_history_without_names(client: Client, boss: Someone, worker: Someone) -> None:
    client.post(
        f"/api/v1/workers/{worker[0]}/grade", json={"grade": "expert", "reason": "good"}, headers=boss[1]
    )
    rows = client.get(f"/api/v1/workers/{worker[0]}/grades", headers=worker[1]).json["items"]
    assert [(row["what"], row["by"]) for row in rows] == [("joined", None), ("graded", None)]


@pytest.mark.parametrize("what", ["grade", "suspend", "reinstate", "erase"])
def test_nobody_changes_their_own_standing(
    client: Client, boss: Someone, make_worker: MakeWorker, what: str
) -> None:
    make_worker(Grade.ADMIN)
    body = {"reason": "me"} | ({"grade": "general"} if what == "grade" else {})
    answer = client.post(f"/api/v1/workers/{boss[0]}/{what}", json=body, headers=boss[1])
    assert (answer.status_code, answer.json["code"]) == (403, "yourself")


@pytest.mark.parametrize(
    "change",
    [
        lambda conn, who: service.regrade(conn, who, Grade.GENERAL, by=None, reason="r"),
        lambda conn, who: service.suspend(conn, who, by=None, reason="r"),
        lambda conn, who: service.erase(conn, who, by=None, reason="r"),
    ],
)
def test_the_last_active_admin_stays(rt: Runtime, make_worker: MakeWorker, change: Change) -> None:
    last, _ = make_worker(Grade.ADMIN)
    idle, _ = make_worker(Grade.ADMIN)
    with rt.db.begin() as conn:
        service.suspend(conn, idle, by=None, reason="on leave")
    with rt.db.begin() as conn, pytest.raises(Problem) as refused:
        change(conn, last)
    assert refused.value.code == "last_admin"
    with rt.db.begin() as conn:
        service.reinstate(conn, idle, by=None, reason="back")
    with rt.db.begin() as conn:
        change(conn, last)


@pytest.mark.parametrize("attempt", range(5))
def test_two_admins_who_demote_each_other_at_once_leave_one(
    rt: Runtime, make_worker: MakeWorker, attempt: int
) -> None:
    pair = [make_worker(Grade.ADMIN)[0], make_worker(Grade.ADMIN)[0]]
    together = threading.Barrier(2)

    def demote(me: int, other: int) -> str:
        by = Actor(me, "x", Grade.ADMIN, suspended=False, via="token")
        together.wait()
        try:
            with rt.db.begin() as conn:
                service.regrade(conn, other, Grade.GENERAL, by=by, reason="race")
        except Problem as problem:
            return problem.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(demote, pair, reversed(pair)))
    assert outcomes == ["done", "last_admin"]
    with rt.db.read() as conn:
        count = sa.select(sa.func.count()).where(Worker.grade == Grade.ADMIN)
        assert conn.execute(count).scalar_one() == 1


def test_admin_demoted_meanwhile_can_do_nothing_more(rt: Runtime, make_worker: MakeWorker) -> None:
    stays, _ = make_worker(Grade.ADMIN)
    demoted, _ = make_worker(Grade.ADMIN)
    victim, _ = make_worker(Grade.GENERAL)
    stale = Actor(demoted, "x", Grade.ADMIN, suspended=False, via="token")
    with rt.db.begin() as conn:
        service.regrade(conn, demoted, Grade.GENERAL, by=None, reason="r")
    with rt.db.begin() as conn, pytest.raises(Problem) as refused:
        service.regrade(conn, victim, Grade.ADMIN, by=stale, reason="r")
    assert refused.value.status == 403
    assert stays != demoted


def test_suspended_person_sees_themselves_and_may_do_nothing(
    client: Client, boss: Someone, worker: Someone
) -> None:
    answer = client.post(f"/api/v1/workers/{worker[0]}/suspend", json={"reason": "spam"}, headers=boss[1])
    assert (answer.status_code, answer.json["suspended"]) == (200, True)
    assert client.get("/api/v1/me", headers=worker[1]).json["suspended"] is True
    refused = client.post("/api/v1/me/tokens", headers=worker[1])
    assert (refused.status_code, refused.json["code"]) == (403, "suspended")
    again = client.post(f"/api/v1/workers/{worker[0]}/suspend", json={"reason": "spam"}, headers=boss[1])
    assert again.status_code == 200
    client.post(f"/api/v1/workers/{worker[0]}/reinstate", json={"reason": "sorry"}, headers=boss[1])
    assert client.post("/api/v1/me/tokens", headers=worker[1]).status_code == 201
    assert [row[0] for row in history(client, boss, worker[0])] == ["joined", "suspended", "reinstated"]


def test_suspended_admin_steers_nothing(
    client: Client, boss: Someone, make_worker: MakeWorker, bearer: Bearer, worker: Someone
) -> None:
    other, token = make_worker(Grade.ADMIN)
    client.post(f"/api/v1/workers/{other}/suspend", json={"reason": "leave"}, headers=boss[1])
    assert client.get("/api/v1/workers", headers=bearer(token)).status_code == 403
    assert client.get(f"/api/v1/workers/{worker[0]}", headers=bearer(token)).status_code == 403


def test_erasing_takes_the_person_away_and_leaves_the_history(
    client: Client, rt: Runtime, boss: Someone, worker: Someone
) -> None:
    session = client_of(client.application)
    login = {"username": "worker", "password": "a long password"}
    assert session.post("/api/v1/login", json=login).status_code == 200
    answer = client.post(f"/api/v1/workers/{worker[0]}/erase", json={"reason": "asked for"}, headers=boss[1])
    assert (answer.status_code, answer.json["username"]) == (200, f"erased-{worker[0]}")
    assert session.get("/api/v1/me").status_code == 401
    assert client.get("/api/v1/me", headers=worker[1]).status_code == 401
    assert client.post("/api/v1/login", json=login).status_code == 401
    assert [row[0] for row in history(client, boss, worker[0])] == ["joined", "erased"]
    with rt.db.read() as conn:
        row = conn.execute(sa.select(Worker).where(Worker.id == worker[0])).mappings().one()
        tokens = conn.execute(sa.select(ApiToken).where(ApiToken.worker_id == worker[0])).all()
    assert row["password_hash"] is None
    assert all(value != "worker" for value in row.values())
    assert tokens == []


@pytest.mark.parametrize("what", ["grade", "suspend", "erase", "tokens"])
def test_nothing_more_happens_to_the_erased(
    client: Client, boss: Someone, worker: Someone, what: str
) -> None:
    client.post(f"/api/v1/workers/{worker[0]}/erase", json={"reason": "asked for"}, headers=boss[1])
    body = None if what == "tokens" else {"reason": "r"} | ({"grade": "expert"} if what == "grade" else {})
    answer = client.post(f"/api/v1/workers/{worker[0]}/{what}", json=body, headers=boss[1])
    assert (answer.status_code, answer.json["code"]) == (409, "erased")


def test_name_of_an_erased_person_is_free_again(client: Client, boss: Someone, worker: Someone) -> None:
    client.post(f"/api/v1/workers/{worker[0]}/erase", json={"reason": "asked for"}, headers=boss[1])
    answer = client.post("/api/v1/workers", json={"username": "worker", "grade": "general"}, headers=boss[1])
    assert answer.status_code == 201


def test_history_rows_cannot_be_changed(rt: Runtime, worker: Someone) -> None:
    for statement in (sa.update(GradeEvent).values(reason="nothing"), sa.delete(GradeEvent)):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
            conn.execute(statement)


def test_hooks_run_in_the_transaction_of_the_change(
    rt: Runtime, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id, _ = make_worker(Grade.GENERAL)
    told: list[int] = []
    monkeypatch.setattr(service, "STANDING_HOOKS", [lambda conn, who: told.append(who)])
    with rt.db.begin() as conn:
        service.suspend(conn, worker_id, by=None, reason="r")
        service.suspend(conn, worker_id, by=None, reason="r")
        service.reinstate(conn, worker_id, by=None, reason="r")
        service.regrade(conn, worker_id, Grade.EXPERT, by=None, reason="r")
        service.erase(conn, worker_id, by=None, reason="r")
    assert told == [worker_id] * 3

    def fail(conn: Connection, who: int) -> None:
        raise RuntimeError("no")

    other, _ = make_worker(Grade.GENERAL)
    monkeypatch.setattr(service, "STANDING_HOOKS", [fail])
    with pytest.raises(RuntimeError), rt.db.begin() as conn:
        service.suspend(conn, other, by=None, reason="r")
    with rt.db.read() as conn:
        assert accounts.find_person(conn, other).suspended is False


def test_list_of_people_pages_and_filters(client: Client, boss: Someone, make_worker: MakeWorker) -> None:
    made = [make_worker(Grade.EXPERT)[0] for _ in range(3)] + [make_worker(Grade.GENERAL)[0]]
    seen, cursor = [], None
    for _ in range(10):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/api/v1/workers", query_string=query, headers=boss[1]).json
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == [boss[0], *made]
    experts = client.get("/api/v1/workers?grade=expert", headers=boss[1]).json
    assert [item["id"] for item in experts["items"]] == made[:3]
    assert experts["next_cursor"] is None
    assert client.get("/api/v1/workers?grade=king", headers=boss[1]).status_code == 422


def test_admin_issues_and_revokes_tokens_for_others(
    client: Client, boss: Someone, worker: Someone, bearer: Bearer
) -> None:
    made = client.post(f"/api/v1/workers/{worker[0]}/tokens", headers=boss[1])
    assert made.status_code == 201
    fresh = bearer(made.json["token"])
    assert client.get("/api/v1/me", headers=fresh).json["id"] == worker[0]
    listed = client.get(f"/api/v1/workers/{worker[0]}/tokens", headers=boss[1]).json["items"]
    assert made.json["id"] in [item["id"] for item in listed]
    address = f"/api/v1/workers/{worker[0]}/tokens/{made.json['id']}"
    assert client.delete(address, headers=boss[1]).status_code == 204
    assert client.get("/api/v1/me", headers=fresh).status_code == 401
    elsewhere = f"/api/v1/workers/{boss[0]}/tokens/{made.json['id']}"
    assert client.delete(elsewhere, headers=boss[1]).status_code == 404


@pytest.mark.parametrize("path", ["", "/grades", "/tokens"])
def test_unknown_person_is_404(client: Client, boss: Someone, path: str) -> None:
    answer = client.get(f"/api/v1/workers/999999{path}", headers=boss[1])
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
