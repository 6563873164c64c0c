"""Every SQL statement about the history of standing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.policy import Grade
from crowd.tiers.models import GradeEvent, Standing


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of somebody's standing; `by` is None for the command line."""

    id: int
    at: datetime
    what: Standing
    old_grade: Grade | None
    new_grade: Grade
    reason: str
    by: str | None
    evidence: Any = None


def record(
    conn: Connection,
    worker_id: int,
    what: Standing,
    *,
    old: Grade | None,
    new: Grade,
    actor_id: int | None,
    reason: str,
    at: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write one row of the history."""
    conn.execute(
        sa.insert(GradeEvent).values(
            worker_id=worker_id,
            at=at,
            what=what,
            old_grade=old,
            new_grade=new,
            actor_id=actor_id,
            reason=reason,
            evidence=evidence,
        )
    )


def history(conn: Connection, worker_id: int, *, after: int | None = None, limit: int) -> list[HistoryRow]:
    """Up to `limit` rows of a person's history beyond the row `after`, oldest first."""
    query = (
        sa.select(
            GradeEvent.id,
            GradeEvent.at,
            GradeEvent.what,
            GradeEvent.old_grade,
            GradeEvent.new_grade,
            GradeEvent.reason,
            Worker.username.label("by"),
            GradeEvent.evidence,
        )
        .outerjoin(Worker, Worker.id == GradeEvent.actor_id)
        .where(GradeEvent.worker_id == worker_id)
        .order_by(GradeEvent.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(GradeEvent.id > after)
    return [HistoryRow(**row._mapping) for row in conn.execute(query)]
