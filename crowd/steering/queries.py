"""All SQL of plans and notices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Group, Worker
from crowd.core.db import INSERT, AnyRow
from crowd.policy import Grade, Stage
from crowd.steering.models import Notice, NoticeEnd, NoticeRead, Plan


def add_plan(conn: Connection, **values: Any) -> int:
    """A stage's newest plan."""
    added: int = conn.execute(sa.insert(Plan).values(**values).returning(Plan.id)).scalar_one()
    return added


def plans(conn: Connection) -> Sequence[AnyRow]:
    """The plans that hold, in the order of the process; a plan without volume was dropped."""
    newest = sa.select(sa.func.max(Plan.id)).group_by(Plan.stage)
    return conn.execute(
        sa.select(*_PLAN)
        .outerjoin(Worker, Worker.id == Plan.person_id)
        .join(_MAKER, _MAKER.c.id == Plan.made_by)
        .where(Plan.id.in_(newest), Plan.volume.is_not(None))
        .order_by(Plan.stage)
    ).all()


def versions(conn: Connection, stage: Stage, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Every plan a stage had, oldest first, with ids beyond `after`."""
    query = (
        sa.select(*_PLAN)
        .outerjoin(Worker, Worker.id == Plan.person_id)
        .join(_MAKER, _MAKER.c.id == Plan.made_by)
        .where(Plan.stage == stage)
        .order_by(Plan.id)
        .limit(limit)
    )
    return conn.execute(query if after is None else query.where(Plan.id > after)).all()


_MAKER = sa.alias(Worker.__table__, "maker")
_PLAN = (
    Plan.id,
    Plan.stage,
    Plan.starts_on,
    Plan.ends_on,
    Plan.volume,
    Plan.person_id,
    Worker.username.label("person"),
    Plan.made_at,
    _MAKER.c.username.label("made_by"),
    Plan.reason,
)


def group_exists(conn: Connection, group_id: int) -> bool:
    """Whether there is such a group."""
    return conn.execute(sa.select(Group.id).where(Group.id == group_id)).first() is not None


def add_notice(conn: Connection, **values: Any) -> int:
    """Keep a notice; returns its id."""
    added: int = conn.execute(sa.insert(Notice).values(**values).returning(Notice.id)).scalar_one()
    return added


def end_notice(conn: Connection, notice_id: int, at: datetime, by: int, reason: str) -> bool:
    """Take a notice back; False when somebody has already."""
    insert = INSERT[conn.dialect.name](NoticeEnd).on_conflict_do_nothing()
    values = {"notice_id": notice_id, "at": at, "by_id": by, "reason": reason}
    ended = insert.values(values).returning(NoticeEnd.notice_id)
    return conn.execute(ended).one_or_none() is not None


def notice(conn: Connection, notice_id: int) -> AnyRow | None:
    """The notice of that id, as those who steer see it."""
    return conn.execute(_SENT.where(Notice.id == notice_id)).one_or_none()


def sent(conn: Connection, before: int | None, limit: int) -> Sequence[AnyRow]:
    """Every notice, newest first, with ids before `before`."""
    query = _SENT.order_by(Notice.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(Notice.id < before)).all()


_SENT = (
    sa.select(
        Notice.id,
        Notice.at,
        Worker.username.label("by"),
        Notice.title,
        Notice.text,
        Notice.grade,
        Notice.stage,
        Notice.group_id,
        Notice.expires_at,
        NoticeEnd.at.label("ended_at"),
        sa.select(sa.func.count())
        .select_from(NoticeRead)
        .where(NoticeRead.notice_id == Notice.id)
        .scalar_subquery()
        .label("reads"),
    )
    .join(Worker, Worker.id == Notice.by_id)
    .outerjoin(NoticeEnd, NoticeEnd.notice_id == Notice.id)
)


def _mine(
    grade: Grade, stages: Sequence[Stage], group_id: int | None, now: datetime
) -> list[sa.ColumnElement[bool]]:
    """Conditions on a notice that this person is to see now."""
    return [
        Notice.expires_at > now,
        ~sa.exists(sa.select(NoticeEnd.notice_id).where(NoticeEnd.notice_id == Notice.id)),
        sa.or_(Notice.grade.is_(None), Notice.grade == grade),
        sa.or_(Notice.stage.is_(None), Notice.stage.in_(list(stages))),
        sa.or_(Notice.group_id.is_(None), Notice.group_id == group_id),
    ]


def _unread(worker_id: int) -> sa.ColumnElement[bool]:
    read = sa.select(NoticeRead.at).where(
        NoticeRead.notice_id == Notice.id, NoticeRead.worker_id == worker_id
    )
    return ~sa.exists(read.correlate(Notice))


def unread(
    conn: Connection,
    worker_id: int,
    grade: Grade,
    stages: Sequence[Stage],
    group_id: int | None,
    now: datetime,
) -> int:
    """How many notices for this person they have not read."""
    query = sa.select(sa.func.count()).select_from(Notice)
    found: int = conn.execute(
        query.where(*_mine(grade, stages, group_id, now), _unread(worker_id))
    ).scalar_one()
    return found


def notices_for(
    conn: Connection,
    worker_id: int,
    grade: Grade,
    stages: Sequence[Stage],
    group_id: int | None,
    now: datetime,
    *,
    before: int | None,
    limit: int,
    only_unread: bool = False,
    only: int | None = None,
) -> Sequence[AnyRow]:
    """The notices this person is to see, newest first, with ids before `before`; or one of them."""
    query = (
        sa.select(
            Notice.id,
            Notice.at,
            Notice.title,
            Notice.text,
            Notice.expires_at,
            NoticeRead.at.label("read_at"),
        )
        .outerjoin(
            NoticeRead,
            sa.and_(NoticeRead.notice_id == Notice.id, NoticeRead.worker_id == worker_id),
        )
        .where(*_mine(grade, stages, group_id, now))
        .order_by(Notice.id.desc())
        .limit(limit)
    )
    if only_unread:
        query = query.where(NoticeRead.at.is_(None))
    if only is not None:
        query = query.where(Notice.id == only)
    return conn.execute(query if before is None else query.where(Notice.id < before)).all()


def mark_read(conn: Connection, notice_id: int, worker_id: int, at: datetime) -> None:
    """Note that the person read it; again changes nothing."""
    insert = INSERT[conn.dialect.name](NoticeRead).on_conflict_do_nothing()
    conn.execute(insert.values(notice_id=notice_id, worker_id=worker_id, at=at))
