"""Refreshers: practice offered to whoever drifts, at the stage where it shows. Nobody has to."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow, Database
from crowd.gold.refreshers import queries
from crowd.gold.refreshers.rules import Judged, drift
from crowd.policy import Policy, Stage
from crowd.tasks import due
from crowd.tasks.shadows import Testimony
from crowd.tiers import flags, quality_queries
from crowd.tiers.flag_models import FlagCode

LOOK = due.Schedule("refreshers", every=timedelta(hours=6), within=timedelta(hours=1))
BATCH = 200


def look_if_due(db: Database, policy: Policy, now: datetime) -> int | None:
    """`look` four times a day, however many processes ask; None when it is not due."""
    return due.once(db, LOOK, now, lambda: look(db, policy, now))


def look(db: Database, policy: Policy, now: datetime) -> int:
    """Offer a refresher to everybody who drifts; how many were offered."""
    if policy.refreshers.items == 0:
        return 0
    offered = after = 0
    while True:
        with db.read() as conn:
            batch = queries.people(conn, after, BATCH)
        for person in batch:
            with db.begin() as conn:
                offered += _look_at(conn, person, policy, now)
        if len(batch) < BATCH:
            return offered
        after = batch[-1].id


def practised(conn: Connection, said: Testimony) -> None:
    """A practice task was answered: maybe the last one of a refresher."""
    for row in queries.open_of(conn, said.worker_id, said.task.stage):
        answered, _ = queries.practised_since(conn, said.worker_id, row.stage, row.offered_at)
        if answered >= row.items:
            queries.close(conn, row.id, said.at)


def refreshers_section(conn: Connection, me: Actor) -> list[dict[str, Any]]:
    """The part of GET /me that offers practice."""
    found = []
    for row in queries.open_of(conn, me.id):
        answered, right = queries.practised_since(conn, me.id, row.stage, row.offered_at)
        found.append(
            {
                "stage": row.stage.value,
                "items": row.items,
                "answered": answered,
                "right": right,
                "offered_at": rfc3339(row.offered_at),
            }
        )
    return found


def _look_at(conn: Connection, person: AnyRow, policy: Policy, now: datetime) -> int:
    numbers = policy.refreshers
    rest = now - timedelta(days=numbers.rest_days)
    kept = policy.stages_for(person.grade)
    stages = [stage for stage in queries.judged_stages(conn, person.id, rest) if stage in kept]
    return sum(_offer(conn, person.id, stage, policy, rest, now) for stage in stages)


def _offer(
    conn: Connection, worker_id: int, stage: Stage, policy: Policy, rest: datetime, now: datetime
) -> int:
    last = queries.last_offer(conn, worker_id, stage)
    if last is not None and (last.done_at is None or last.done_at > rest):
        return 0
    since = last.done_at if last is not None else None
    most = policy.refreshers.recent + policy.refreshers.earlier
    rows = quality_queries.newest_evidence(conn, worker_id, stage, since, most)
    judged = [Judged(row.value, row.weight) for row in rows]
    gold = quality_queries.latest_gold(conn, worker_id, since, policy.quality.gold_window).get(stage, [])
    why = drift(judged, gold, policy.refreshers, policy.quality)
    if why is None:
        return 0
    if last is not None:
        # Practice did not help, so an admin is to look.
        flags.open_flag(conn, worker_id, FlagCode.DRIFT, stage=stage, evidence=why, at=now)
    items = policy.refreshers.items
    return queries.offer(conn, worker_id=worker_id, stage=stage, items=items, why=why, offered_at=now)
