"""Scores from everything that can be evidence, wiped and reckoned anew: the same to the last digit."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from crowd.audits import seats as audit_seats
from crowd.policy import Stage
from crowd.review.probation import service as probation
from crowd.tiers import evidence
from crowd.tiers.quality_models import EvidenceRow
from crowd.tiers.rebuild import refit
from crowd.tiers.score import Evidence, Kind
from tests.scenarios.people import Crew, good, styles, verdict
from tests.scenarios.test_appeals import appealed, corrected, replays_the_same, task_of
from tests.scenarios.test_appeals_of_votes import outvoted

WANTED = {"tolerable_rate": 0.5, "confidence": 0.9, "allowed_wrong": 0, "seed": 7, "reason": "before v1"}


def met_gold(crew: Crew, value: float) -> None:
    """The stylist has answered a hidden gold image so well."""
    task_id = crew.rows("SELECT max(id) FROM tasks")[0][0]
    now = crew.clock.now()
    shown = Evidence(
        worker_id=crew.stylist.id,
        stage=Stage.STYLES,
        kind=Kind.GOLD,
        value=value,
        weight=1.0,
        task_id=task_id,
        at=now,
    )
    with crew.rt.db.begin() as conn:
        evidence.record(conn, crew.rt.policy, [shown])


def kinds(crew: Crew) -> tuple[set[Kind], int]:
    """The kinds of all evidence there is, and how many pieces."""
    with crew.rt.db.read() as conn:
        found = conn.execute(sa.select(EvidenceRow.kind)).scalars().all()
    return set(found), len(found)


def test_whatever_happened_the_scores_come_out_of_the_evidence_again(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_seats, "LOOK_SECONDS", 0.0)
    policy = replace(crew.rt.policy, probation=replace(crew.rt.policy.probation, reviews=2))
    disputed = corrected(crew)
    met_gold(crew, 0.5)
    appealed(crew.stylist, task_of(crew, crew.stylist, disputed, "styles"))
    umpire = crew.hire("expert")
    good(umpire.submit(umpire.claim(), verdict(5)))
    refit(crew.rt.db, crew.rt.policy, crew.clock.now())
    image_id, loser = outvoted(crew)
    appealed(loser, task_of(crew, loser, image_id, "styles"))
    umpire = crew.hire("expert")
    good(umpire.submit(umpire.claim(), styles("punk")))
    crew.split_image(verdict(2, "styles"), verdict(5))
    crew.judge.do("adjudication", verdict(4))
    crew.clock.forward(minutes=5)
    assert probation.upkeep(crew.rt.db, policy, crew.clock.now()) > 0
    crew.clock.forward(hours=2)
    umpire = crew.hire("inspector")
    good(umpire.submit(umpire.claim(), verdict(2, "styles")))
    met_gold(crew, 1.0)
    found, count = kinds(crew)
    assert found == set(Kind)
    replays_the_same(crew)
    drawn = crew.admin.post("/audits", WANTED)
    assert drawn.status_code == 201, drawn.text
    umpire = crew.hire("inspector")
    task = umpire.claim()
    assert task["stage"] == "second_review"
    good(umpire.submit(task, verdict(1, "styles")))
    assert kinds(crew) == (found, count), "an audit judges images, and nobody"
    replays_the_same(crew)
