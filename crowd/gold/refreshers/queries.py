"""All SQL of refreshers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, AnySelect
from crowd.gold.models import GoldItem, GoldSeat
from crowd.gold.refreshers.models import Refresher
from crowd.policy import Stage
from crowd.tasks.models import Purpose
from crowd.tiers.quality_models import ScoreRow


def people(conn: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """People in good standing beyond the id `after`, with their grades."""
    return conn.execute(
        sa.select(Worker.id, Worker.grade)
        .where(Worker.id > after, Worker.suspended_at.is_(None), Worker.erased_at.is_(None))
        .order_by(Worker.id)
        .limit(limit)
    ).all()


def judged_stages(conn: Connection, worker_id: int, since: datetime) -> list[Stage]:
    """Where something has been judged since a moment."""
    found = sa.select(ScoreRow.stage).where(ScoreRow.worker_id == worker_id, ScoreRow.at >= since)
    return list(conn.execute(found.order_by(ScoreRow.stage)).scalars())


def last_offer(conn: Connection, worker_id: int, stage: Stage) -> AnyRow | None:
    """The newest refresher of a person at a stage."""
    found = (
        sa.select(Refresher.offered_at, Refresher.done_at)
        .where(Refresher.worker_id == worker_id, Refresher.stage == stage)
        .order_by(Refresher.offered_at.desc())
        .limit(1)
    )
    return conn.execute(found).one_or_none()


def offer(conn: Connection, **values: Any) -> bool:
    """A new refresher; False when one is open."""
    insert = INSERT[conn.dialect.name](Refresher).values(**values).on_conflict_do_nothing()
    return conn.execute(insert.returning(Refresher.id)).first() is not None


def practised_since(conn: Connection, worker_id: int, stage: Stage, since: datetime) -> tuple[int, int]:
    """Practice tasks of a stage that the person has answered since a moment, and how many of them well.

    Worked examples are none: they hand the answer over.
    """
    one: sa.ColumnElement[int] = sa.literal_column("1")
    counted = sa.func.count(sa.case((GoldSeat.passed.is_(True), one)))
    found = (
        sa.select(sa.func.count(GoldSeat.answered_at), counted)
        .join_from(GoldSeat, GoldItem, GoldItem.id == GoldSeat.gold_id)
        .where(
            GoldSeat.worker_id == worker_id,
            GoldSeat.purpose == Purpose.PRACTICE,
            GoldSeat.example.is_(False),
            GoldSeat.answered_at >= since,
            GoldItem.stage == stage,
        )
    )
    answered, right = conn.execute(found).one()
    return answered, right


def open_of(conn: Connection, worker_id: int, stage: Stage | None = None) -> Sequence[AnyRow]:
    """The refreshers that a person has not done yet."""
    found: AnySelect = sa.select(*Refresher.__table__.c).where(
        Refresher.worker_id == worker_id, Refresher.done_at.is_(None)
    )
    if stage is not None:
        found = found.where(Refresher.stage == stage)
    return conn.execute(found.order_by(Refresher.stage)).all()


def close(conn: Connection, refresher_id: int, now: datetime) -> None:
    """A refresher is done."""
    changed = sa.update(Refresher).where(Refresher.id == refresher_id, Refresher.done_at.is_(None))
    conn.execute(changed.values(done_at=now))


def refreshers(
    conn: Connection, *, worker_id: int | None, before: int | None, limit: int
) -> Sequence[AnyRow]:
    """Refreshers, newest first."""
    found: AnySelect = (
        sa.select(*Refresher.__table__.c, Worker.username)
        .join(Worker, Worker.id == Refresher.worker_id)
        .order_by(Refresher.id.desc())
        .limit(limit)
    )
    if worker_id is not None:
        found = found.where(Refresher.worker_id == worker_id)
    if before is not None:
        found = found.where(Refresher.id < before)
    return conn.execute(found).all()
