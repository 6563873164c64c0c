"""What people and admins see of quality, and what the rule makes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crowd.core import clock
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tiers import proposals, service
from crowd.tiers.evidence import record
from crowd.tiers.flag_models import FlagCode
from crowd.tiers.flags import confirm, open_flag
from crowd.tiers.quality_queries import scores_of
from crowd.tiers.rebuild import rebuild
from crowd.tiers.score import Evidence, Kind
from tests.kinds import Bearer, Client, MakeWorker

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Hands:
    """Everything a test of this page does, in few words."""

    def __init__(self, rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
        self.rt, self.client, self._make, self._bearer = rt, client, make_worker, bearer
        self.now = NOON
        self.boss = self.hire(Grade.ADMIN)

    def hire(self, grade: Grade) -> tuple[int, dict[str, str]]:
        worker_id, token = self._make(grade)
        return worker_id, self._bearer(token)

    def judge(
        self,
        worker: int,
        *values: float,
        kind: Kind = Kind.GOLD,
        stage: Stage = Stage.ATTRIBUTES,
        **more: Any,
    ) -> None:
        found = [
            Evidence(
                worker_id=worker,
                stage=stage,
                kind=kind,
                value=value,
                weight=1.0,
                task_id=place,
                at=self.now,
                **more,
            )
            for place, value in enumerate(values)
        ]
        with self.rt.db.begin() as conn:
            record(conn, self.rt.policy, found)

    def look(self) -> proposals.Outcome:
        return proposals.look(self.rt.db, self.rt.policy, self.now)

    def get(self, path: str, who: tuple[int, dict[str, str]] | None = None) -> Any:
        return self.client.get(f"/api/v1{path}", headers=(who or self.boss)[1])

    def post(self, path: str, body: Any, who: tuple[int, dict[str, str]] | None = None) -> Any:
        return self.client.post(f"/api/v1{path}", json=body, headers=(who or self.boss)[1])

    def open_proposals(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get("/tiers/proposals").json["items"]
        return items

    def grade(self, worker: int) -> str:
        grade: str = self.get(f"/workers/{worker}").json["grade"]
        return grade


@pytest.fixture
def hands(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> Hands:
    found = Hands(rt, client, make_worker, bearer)
    monkeypatch.setattr(clock, "now", lambda: found.now)
    monkeypatch.setattr(service, "now", lambda: found.now)
    return found


def test_an_admin_sees_score_bounds_and_how_much_was_gold(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, 1.0, 1.0)
    hands.judge(worker, 0.0, kind=Kind.AGREEMENT)
    shown = hands.get(f"/workers/{worker}/quality").json
    known = shown["stages"]["attributes"]
    assert (known["n"], known["gold_n"]) == (3, 2)
    assert known["lower"] < known["score"] < known["upper"]
    assert known["score"] == pytest.approx(6 / 8, abs=0.01)
    assert shown["flags"] == []


def test_ones_own_quality_stands_still_during_the_day(hands: Hands) -> None:
    me = hands.hire(Grade.GENERAL)
    path = f"/workers/{me[0]}/quality"
    hands.judge(me[0], 1.0, kind=Kind.AGREEMENT)
    assert hands.get(path, me).json["stages"] == {}
    hands.now += timedelta(days=1)
    morning = hands.get(path, me).json
    assert morning["stages"]["attributes"]["n"] == 1
    assert "gold_n" not in morning["stages"]["attributes"]
    assert "severity" not in morning
    hands.judge(me[0], 0.0, 0.0, kind=Kind.AGREEMENT)
    assert hands.get(path, me).json == morning
    hands.now += timedelta(days=1)
    assert hands.get(path, me).json["stages"]["attributes"]["n"] == 3


def told(hands: Hands, who: tuple[int, dict[str, str]]) -> dict[str, Any]:
    """All that somebody can read about their own answers, without the numbers of rows."""
    evidence = hands.get(f"/workers/{who[0]}/evidence", who).json["items"]
    return {
        "quality": hands.get(f"/workers/{who[0]}/quality", who).json,
        "outlook": hands.get("/me/outlook", who).json,
        "evidence": [{name: value for name, value in row.items() if name != "id"} for row in evidence],
    }


def test_with_gold_or_without_one_is_told_the_same(hands: Hands) -> None:
    with_gold, without = hands.hire(Grade.GENERAL), hands.hire(Grade.GENERAL)
    # By a rule that wrote down what was judged then: of one of them, gold too.
    days = (
        ((1.0,), (0.0, 1.0)),
        ((0.0, 0.0), ()),
        ((), (1.0, 1.0, 0.0)),
        ((1.0, 0.0), (0.5,)),
    )
    for number, (gold, judged) in enumerate(days):
        if number == 2:
            for who, n in ((with_gold, 5), (without, 2)):
                stages = {"attributes": {"n": n}}
                with hands.rt.db.begin() as conn:
                    service.regrade(
                        conn, who[0], Grade.SEMI_EXPERT, by=None, reason="so", evidence={"stages": stages}
                    )
        hands.now += timedelta(minutes=1)
        for who in (with_gold, without):
            hands.judge(who[0], *judged, kind=Kind.AGREEMENT)
        hands.judge(with_gold[0], *gold)
        assert told(hands, with_gold) == told(hands, without), number
        hands.now += timedelta(days=1)
        seen = told(hands, with_gold)
        assert seen == told(hands, without), number
    assert seen["quality"]["stages"]["attributes"]["n"] == 6
    assert {each["stage"]: each["judged"] for each in seen["outlook"]["stages"]}["attributes"] == 4
    assert hands.get(f"/workers/{with_gold[0]}/quality").json["stages"]["attributes"]["n"] == 11
    with hands.rt.db.read() as conn:
        before = {who[0]: scores_of(conn, who[0]) for who in (with_gold, without)}
    rebuild(hands.rt.db, hands.rt.policy)
    with hands.rt.db.read() as conn:
        assert {who: scores_of(conn, who) for who in before} == before


def test_who_was_judged_on_gold_alone_is_told_nothing(hands: Hands) -> None:
    me = hands.hire(Grade.GENERAL)
    hands.judge(me[0], 1.0, 0.0)
    hands.now += timedelta(days=1)
    assert told(hands, me)["quality"]["stages"] == {}
    assert all(stage["judged"] == 0 for stage in told(hands, me)["outlook"]["stages"])


def test_nobody_sees_anothers_quality_or_evidence(hands: Hands) -> None:
    one, other = hands.hire(Grade.GENERAL), hands.hire(Grade.INSPECTOR)
    for path in ("quality", "evidence"):
        assert hands.get(f"/workers/{one[0]}/{path}", other).status_code == 403
        assert hands.get(f"/workers/{one[0]}/{path}", (0, {})).status_code == 401
        assert hands.get(f"/workers/999999/{path}").status_code == 404


def test_only_confirmed_flags_are_shown_to_whom_they_concern(hands: Hands) -> None:
    me = hands.hire(Grade.GENERAL)
    with hands.rt.db.begin() as conn:
        opened = open_flag(conn, me[0], FlagCode.TOO_FAST, evidence={"seconds": 1}, at=hands.now)
        open_flag(conn, me[0], FlagCode.COPIED, evidence={}, at=hands.now)
        assert opened is not None
        confirm(conn, opened, by=None, reason="so it is", suspends=False, at=hands.now)
    path = f"/workers/{me[0]}/quality"
    assert [flag["code"] for flag in hands.get(path).json["flags"]] == ["too_fast", "copied"]
    assert [flag["code"] for flag in hands.get(path, me).json["flags"]] == ["too_fast"]


def test_evidence_is_paged_newest_first_and_ones_own_hides_gold_and_judges(hands: Hands) -> None:
    me, judge = hands.hire(Grade.GENERAL), hands.hire(Grade.REVIEWER)
    hands.judge(me[0], 1.0)
    hands.judge(me[0], 0.8, kind=Kind.REVIEW, judge_id=judge[0], score=4, image_id=5)
    path = f"/workers/{me[0]}/evidence"
    first = hands.get(f"{path}?limit=1").json
    assert [(item["kind"], item["judge"], item["image_id"]) for item in first["items"]] == [
        ("review", "reviewer-3", 5)
    ]
    second = hands.get(f"{path}?limit=1&cursor={first['next_cursor']}").json
    assert [item["kind"] for item in second["items"]] == ["gold"]
    assert second["next_cursor"] is None
    assert hands.get(path, me).json["items"] == []
    hands.now += timedelta(days=1)
    (own,) = hands.get(path, me).json["items"]
    assert (own["kind"], own["score"]) == ("review", 4)
    assert not {"judge", "image_id", "task_id", "weight", "against"} & set(own)


def test_the_rule_proposes_and_an_admin_confirms_with_the_evidence_in_the_history(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    assert hands.look().proposed == 1
    assert hands.look() == proposals.Outcome()
    (proposal,) = hands.open_proposals()
    assert (proposal["worker_id"], proposal["old_grade"], proposal["new_grade"]) == (
        worker,
        "general",
        "semi_expert",
    )
    known = proposal["evidence"]["stages"]["attributes"]
    assert known["lower"] >= 0.88
    assert known["n"] == 60
    assert hands.grade(worker) == "general"
    answer = hands.post(f"/tiers/proposals/{proposal['id']}/confirm", {"reason": "well done"})
    assert (answer.status_code, answer.json["state"]) == (200, "confirmed")
    assert hands.grade(worker) == "semi_expert"
    last = hands.get(f"/workers/{worker}/grades").json["items"][-1]
    assert (last["what"], last["by"], last["reason"]) == ("graded", "admin-1", "well done")
    assert last["evidence"]["rule"] == "bounds-1"
    assert last["evidence"]["stages"]["attributes"] == known
    again = hands.post(f"/tiers/proposals/{proposal['id']}/confirm", {})
    assert (again.status_code, again.json["code"]) == (409, "already_decided")


def test_a_dismissed_proposal_needs_a_reason_and_comes_back_after_the_cool_down(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    hands.look()
    path = f"/tiers/proposals/{hands.open_proposals()[0]['id']}/dismiss"
    for bad in ({}, {"reason": ""}, {"reason": "   "}):
        refused = hands.post(path, bad)
        assert refused.status_code == 422
        assert "reason" in refused.json["errors"]
    assert hands.post(path, {"reason": "not yet"}).json["state"] == "dismissed"
    hands.judge(worker, 1.0)
    assert hands.look().proposed == 0
    hands.now += timedelta(days=3, hours=1)
    hands.judge(worker, 1.0)
    assert hands.look().proposed == 1


def test_a_proposal_is_withdrawn_when_it_no_longer_holds(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[1.0] * 60)
    hands.look()
    hands.judge(worker, *[0.0, 1.0] * 6)
    assert hands.look().withdrawn == 1
    assert hands.open_proposals() == []
    (withdrawn,) = hands.get("/tiers/proposals?state=withdrawn").json["items"]
    assert withdrawn["by"] is None


def test_a_proposal_is_withdrawn_when_the_person_is_regraded_or_suspended(hands: Hands) -> None:
    regraded, suspended = hands.hire(Grade.GENERAL)[0], hands.hire(Grade.GENERAL)[0]
    for worker in (regraded, suspended):
        hands.judge(worker, *[1.0] * 60)
    hands.look()
    stale, _ = hands.open_proposals()
    hands.post(f"/workers/{regraded}/grade", {"grade": "reviewer", "reason": "by hand"})
    hands.post(f"/workers/{suspended}/suspend", {"reason": "by hand"})
    late = hands.post(f"/tiers/proposals/{stale['id']}/confirm", {})
    assert (late.status_code, late.json["code"]) == (409, "outdated")
    assert hands.look().withdrawn == 2
    assert hands.look().proposed == 0


def test_nobody_confirms_for_themselves_and_only_admins_see_proposals(hands: Hands) -> None:
    worker = hands.hire(Grade.GENERAL)
    hands.judge(worker[0], *[1.0] * 60)
    hands.look()
    proposal = hands.open_proposals()[0]["id"]
    assert hands.get("/tiers/proposals", worker).status_code == 403
    assert hands.post(f"/tiers/proposals/{proposal}/confirm", {}, worker).status_code == 403
    hands.post(f"/workers/{worker[0]}/grade", {"grade": "admin", "reason": "a test"})
    own = hands.post(f"/tiers/proposals/{proposal}/confirm", {}, worker)
    assert (own.status_code, own.json["code"]) == (403, "yourself")
    assert hands.post("/tiers/proposals/999999/confirm", {}).status_code == 404


def test_failed_gold_suspends_at_once_and_names_the_rule(hands: Hands) -> None:
    me = hands.hire(Grade.GENERAL)
    hands.judge(me[0], *[0.0] * 5)
    assert hands.look().suspended == 1
    assert hands.get(f"/workers/{me[0]}").json["suspended"] is True
    last = hands.get(f"/workers/{me[0]}/grades").json["items"][-1]
    assert (last["what"], last["by"]) == ("suspended", None)
    assert last["evidence"]["rule"] == "gold-1"
    own = hands.get(f"/workers/{me[0]}/grades", me).json["items"][-1]
    assert own["evidence"] is None
    assert hands.client.post("/api/v1/tasks/claim", json={}, headers=me[1]).status_code == 403


def test_who_is_reinstated_is_judged_by_the_gold_that_comes_after(hands: Hands) -> None:
    worker, _ = hands.hire(Grade.GENERAL)
    hands.judge(worker, *[0.0] * 5)
    hands.look()
    hands.now += timedelta(hours=1)
    assert hands.post(f"/workers/{worker}/reinstate", {"reason": "a second chance"}).status_code == 200
    hands.now += timedelta(hours=1)
    hands.judge(worker, *[0.0] * 4)
    assert hands.look().suspended == 0
    hands.judge(worker, 0.0)
    assert hands.look().suspended == 1
