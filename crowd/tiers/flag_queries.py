"""Every SQL statement about flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT
from crowd.policy import Stage
from crowd.tiers.flag_models import Flag, FlagCode, FlagEvent, FlagState, FlagStep

_BY = sa.orm.aliased(Worker)


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A flag as admins see it; `by` is None while it is open, and for the command line."""

    id: int
    worker_id: int
    username: str
    stage: Stage | None
    code: FlagCode
    evidence: Any
    opened_at: datetime
    state: FlagState
    decided_at: datetime | None
    by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a flag; `by` is None for a detector and the command line."""

    at: datetime
    what: FlagStep
    by: str | None
    reason: str


_FLAGS = (
    sa.select(
        Flag.id,
        Flag.worker_id,
        Worker.username,
        Flag.stage,
        Flag.code,
        Flag.evidence,
        Flag.opened_at,
        Flag.state,
        Flag.decided_at,
        _BY.username.label("by"),
        Flag.reason,
    )
    .join(Worker, Worker.id == Flag.worker_id)
    .outerjoin(_BY, _BY.id == Flag.decided_by)
)


def insert_flag(
    conn: Connection,
    worker_id: int,
    code: FlagCode,
    stage: Stage | None,
    evidence: Mapping[str, Any],
    at: datetime,
) -> int | None:
    """A new open flag's id; None when one like it is open."""
    flag = {
        "worker_id": worker_id,
        "stage": stage,
        "code": code,
        "evidence": dict(evidence),
        "opened_at": at,
        "state": FlagState.OPEN,
    }
    # Whichever of the two unique indexes holds: they decide who of several opens it.
    insert = INSERT[conn.dialect.name](Flag).values(flag).on_conflict_do_nothing()
    return conn.execute(insert.returning(Flag.id)).scalar_one_or_none()


def decide_flag(
    conn: Connection, flag_id: int, state: FlagState, actor_id: int | None, reason: str, at: datetime
) -> bool:
    """Open → `state`; False when somebody else was faster."""
    decided = (
        sa.update(Flag)
        .where(Flag.id == flag_id, Flag.state == FlagState.OPEN)
        .values(state=state, decided_at=at, decided_by=actor_id, reason=reason)
    )
    return conn.execute(decided).rowcount == 1


def record(
    conn: Connection,
    flag_id: int,
    what: FlagStep,
    *,
    actor_id: int | None,
    reason: str,
    at: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Write one step of a flag."""
    conn.execute(
        sa.insert(FlagEvent).values(
            flag_id=flag_id,
            at=at,
            what=what,
            actor_id=actor_id,
            reason=reason,
            evidence=None if evidence is None else dict(evidence),
        )
    )


def flag(conn: Connection, flag_id: int) -> FlagRow | None:
    """The flag of that id."""
    row = conn.execute(_FLAGS.where(Flag.id == flag_id)).one_or_none()
    return FlagRow(**row._mapping) if row else None


def flags(
    conn: Connection,
    *,
    state: FlagState | None = None,
    worker_id: int | None = None,
    after: int | None = None,
    limit: int,
) -> list[FlagRow]:
    """Up to `limit` flags with an id beyond `after`, oldest first."""
    query = _FLAGS.order_by(Flag.id).limit(limit)
    if after is not None:
        query = query.where(Flag.id > after)
    if state is not None:
        query = query.where(Flag.state == state)
    if worker_id is not None:
        query = query.where(Flag.worker_id == worker_id)
    return [FlagRow(**row._mapping) for row in conn.execute(query)]


def steps(conn: Connection, flag_id: int) -> list[StepRow]:
    """What happened to a flag, oldest first; at most two rows."""
    query = (
        sa.select(FlagEvent.at, FlagEvent.what, Worker.username.label("by"), FlagEvent.reason)
        .outerjoin(Worker, Worker.id == FlagEvent.actor_id)
        .where(FlagEvent.flag_id == flag_id)
        .order_by(FlagEvent.id)
    )
    return [StepRow(**row._mapping) for row in conn.execute(query)]


def has_flag(conn: Connection, worker_id: int, state: FlagState) -> bool:
    """Whether the person has a flag that stands so."""
    found = sa.select(Flag.id).where(Flag.worker_id == worker_id, Flag.state == state).limit(1)
    return conn.execute(found).first() is not None


def last_decisions(conn: Connection, worker_id: int) -> dict[tuple[FlagCode, Stage | None], datetime]:
    """When the person's last flag of each kind was decided."""
    query = (
        sa.select(Flag.code, Flag.stage, sa.func.max(Flag.decided_at).label("at"))
        .where(Flag.worker_id == worker_id, Flag.decided_at.is_not(None))
        .group_by(Flag.code, Flag.stage)
    )
    return {(row.code, row.stage): row.at for row in conn.execute(query)}
