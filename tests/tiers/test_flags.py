"""Flags: opened once, decided once, each step kept; a confirmed one suspends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tiers import flags
from crowd.tiers.flag_models import Flag, FlagCode, FlagEvent, FlagState, FlagStep
from tests.kinds import Bearer, Client, Headers, MakeWorker, client_of

Someone = tuple[int, Headers]
EVIDENCE = {"g": 99.5, "n": 60}


@pytest.fixture
def boss(make_worker: MakeWorker, bearer: Bearer) -> Someone:
    worker_id, token = make_worker(Grade.ADMIN, name="boss")
    return worker_id, bearer(token)


@pytest.fixture
def worker(make_worker: MakeWorker, bearer: Bearer) -> Someone:
    worker_id, token = make_worker(Grade.GENERAL, name="worker")
    return worker_id, bearer(token)


def raise_flag(
    rt: Runtime,
    worker_id: int,
    *,
    code: FlagCode = FlagCode.BLANKET,
    stage: Stage | None = Stage.ATTRIBUTES,
) -> int | None:
    with rt.db.begin() as conn:
        return flags.open_flag(conn, worker_id, code, stage=stage, evidence=EVIDENCE, at=clock.now())


def raised(rt: Runtime, worker_id: int) -> int:
    flag_id = raise_flag(rt, worker_id)
    assert flag_id is not None
    return flag_id


def decide(client: Client, boss: Someone, flag_id: int, verb: str, reason: Any = "looked at it") -> Any:
    return client.post(f"/api/v1/tiers/flags/{flag_id}/{verb}", json={"reason": reason}, headers=boss[1])


@pytest.mark.parametrize("stage", [Stage.ATTRIBUTES, None])
def test_the_same_flag_opens_once_while_it_is_open(
    rt: Runtime, client: Client, boss: Someone, worker: Someone, stage: Stage | None
) -> None:
    first = raise_flag(rt, worker[0], stage=stage)
    assert first is not None
    assert raise_flag(rt, worker[0], stage=stage) is None
    assert raise_flag(rt, worker[0], stage=Stage.STYLES) is not None
    assert raise_flag(rt, worker[0], stage=stage, code=FlagCode.TOO_FAST) is not None
    assert decide(client, boss, first, "dismiss").status_code == 200
    assert raise_flag(rt, worker[0], stage=stage) is not None


@pytest.mark.parametrize("stage", [Stage.ATTRIBUTES, None])
def test_of_several_who_notice_the_same_at_once_one_opens_the_flag(
    rt: Runtime, worker: Someone, stage: Stage | None
) -> None:
    together = threading.Barrier(4)

    def notice(_: int) -> int | None:
        together.wait()
        return raise_flag(rt, worker[0], stage=stage)

    with ThreadPoolExecutor(4) as pool:
        opened = [flag_id for flag_id in pool.map(notice, range(4)) if flag_id is not None]
    assert len(opened) == 1
    with rt.db.read() as conn:
        assert [flag.id for flag in flags.flags_of(conn, worker[0])] == opened


def test_admins_see_flags_with_their_evidence_by_state_and_person(
    rt: Runtime, client: Client, boss: Someone, worker: Someone, make_worker: MakeWorker
) -> None:
    flag_id = raised(rt, worker[0])
    other = raised(rt, make_worker(Grade.GENERAL)[0])
    assert decide(client, boss, other, "dismiss").status_code == 200

    def ids(query: str) -> list[int]:
        listed = client.get(f"/api/v1/tiers/flags?{query}", headers=boss[1]).json
        return [row["id"] for row in listed["items"]]

    assert ids("") == [flag_id, other]
    assert ids("state=open") == [flag_id]
    assert ids("state=dismissed") == [other]
    assert ids(f"worker={worker[0]}") == [flag_id]
    assert ids(f"state=dismissed&worker={worker[0]}") == []
    (row,) = client.get("/api/v1/tiers/flags?state=open", headers=boss[1]).json["items"]
    assert (row["worker_id"], row["username"], row["code"]) == (worker[0], "worker", "blanket")
    assert (row["stage"], row["evidence"], row["by"]) == ("attributes", EVIDENCE, None)


def test_the_list_of_flags_goes_on_where_it_stopped(
    rt: Runtime, client: Client, boss: Someone, worker: Someone
) -> None:
    made = [raise_flag(rt, worker[0], code=code) for code in FlagCode]
    seen: list[int] = []
    cursor = ""
    while True:
        answer = client.get(f"/api/v1/tiers/flags?limit=4{cursor}", headers=boss[1]).json
        seen += [row["id"] for row in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == made


def test_a_confirmed_flag_suspends_at_once_and_leaves_rows(
    rt: Runtime, client: Client, boss: Someone, worker: Someone
) -> None:
    flag_id = raised(rt, worker[0])
    answer = decide(client, boss, flag_id, "confirm", "the same label fifty times")
    assert (answer.status_code, answer.json["state"], answer.json["by"]) == (200, "confirmed", "boss")
    assert client.get(f"/api/v1/workers/{worker[0]}", headers=boss[1]).json["suspended"] is True
    claim = client_of(client.application).post("/api/v1/tasks/claim", json={}, headers=worker[1])
    assert (claim.status_code, claim.json["code"]) == (403, "suspended")
    history = client.get(f"/api/v1/workers/{worker[0]}/grades", headers=boss[1]).json["items"]
    assert history[-1]["what"] == "suspended"
    assert "the same label fifty times" in history[-1]["reason"]
    steps = client.get(f"/api/v1/tiers/flags/{flag_id}", headers=boss[1]).json["steps"]
    assert [(step["what"], step["by"]) for step in steps] == [("opened", None), ("confirmed", "boss")]


def test_an_open_or_dismissed_flag_punishes_nobody(
    rt: Runtime, client: Client, boss: Someone, worker: Someone
) -> None:
    flag_id = raised(rt, worker[0])
    assert client.get(f"/api/v1/workers/{worker[0]}", headers=boss[1]).json["suspended"] is False
    assert decide(client, boss, flag_id, "dismiss").json["state"] == "dismissed"
    assert client.get(f"/api/v1/workers/{worker[0]}", headers=boss[1]).json["suspended"] is False


def test_where_policy_says_so_confirming_does_not_suspend(rt: Runtime, worker: Someone) -> None:
    flag_id = raised(rt, worker[0])
    with rt.db.begin() as conn:
        flags.confirm(conn, flag_id, by=None, reason="talked to them", suspends=False, at=clock.now())
        (flag,) = flags.flags_of(conn, worker[0], state=FlagState.CONFIRMED)
    assert (flag.id, flag.by, flag.reason) == (flag_id, None, "talked to them")
    with rt.db.read() as conn:
        from_workers = sa.text("SELECT suspended_at FROM workers WHERE id = :id")
        assert conn.execute(from_workers, {"id": worker[0]}).scalar_one() is None


def test_a_flag_is_decided_once(rt: Runtime, client: Client, boss: Someone, worker: Someone) -> None:
    flag_id = raised(rt, worker[0])
    assert decide(client, boss, flag_id, "dismiss").status_code == 200
    for verb in ("confirm", "dismiss"):
        again = decide(client, boss, flag_id, verb)
        assert (again.status_code, again.json["code"]) == (409, "already_decided")
    assert client.get(f"/api/v1/workers/{worker[0]}", headers=boss[1]).json["suspended"] is False


def test_of_two_admins_who_decide_at_once_one_does(
    rt: Runtime, client: Client, boss: Someone, worker: Someone, make_worker: MakeWorker, bearer: Bearer
) -> None:
    other = make_worker(Grade.ADMIN)
    flag_id = raised(rt, worker[0])
    together = threading.Barrier(2)

    def act(with_headers: Headers, verb: str) -> int:
        mine = client_of(client.application)
        together.wait()
        address = f"/api/v1/tiers/flags/{flag_id}/{verb}"
        return mine.post(address, json={"reason": "mine"}, headers=with_headers).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(act, boss[1], "confirm"), pool.submit(act, bearer(other[1]), "dismiss")]
        codes = [answer.result() for answer in answers]
    assert sorted(codes) == [200, 409]
    with rt.db.read() as conn:
        (flag,) = flags.flags_of(conn, worker[0])
        rows = conn.execute(sa.select(FlagEvent.what).order_by(FlagEvent.id)).scalars().all()
        suspended = sa.text("SELECT suspended_at IS NOT NULL FROM workers WHERE id = :id")
        is_suspended = bool(conn.execute(suspended, {"id": worker[0]}).scalar_one())
    assert rows == [FlagStep.OPENED, FlagStep(flag.state.value)]
    # Whoever came too late has changed nothing at all.
    assert is_suspended is (flag.state is FlagState.CONFIRMED) is (codes[0] == 200)


def test_nobody_decides_about_a_flag_of_their_own(rt: Runtime, client: Client, boss: Someone) -> None:
    flag_id = raised(rt, boss[0])
    for verb in ("confirm", "dismiss"):
        answer = decide(client, boss, flag_id, verb)
        assert (answer.status_code, answer.json["code"]) == (403, "yourself")


def test_a_decision_needs_a_reason(rt: Runtime, client: Client, boss: Someone, worker: Someone) -> None:
    flag_id = raised(rt, worker[0])
    for reason in ("", "   ", "x" * 1001, None):
        answer = decide(client, boss, flag_id, "confirm", reason)
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["reason"])


def test_only_admins_see_and_decide(rt: Runtime, client: Client, boss: Someone, worker: Someone) -> None:
    flag = f"/tiers/flags/{raised(rt, worker[0])}"
    for method, path in (
        ("GET", "/tiers/flags"),
        ("GET", flag),
        ("POST", f"{flag}/confirm"),
        ("POST", f"{flag}/dismiss"),
    ):
        assert client.open(f"/api/v1{path}", method=method, json={}, headers=worker[1]).status_code == 403
        assert client.open(f"/api/v1{path}", method=method, json={}).status_code == 401


def test_a_flag_that_is_not_there_is_not_found(client: Client, boss: Someone) -> None:
    assert client.get("/api/v1/tiers/flags/77", headers=boss[1]).status_code == 404
    assert decide(client, boss, 77, "confirm").status_code == 404


def test_the_steps_of_a_flag_cannot_be_changed(rt: Runtime, worker: Someone) -> None:
    raised(rt, worker[0])
    for change in (sa.delete(FlagEvent), sa.update(FlagEvent).values(reason="another")):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
            conn.execute(change)
    with rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Flag)).scalar_one() == 1
