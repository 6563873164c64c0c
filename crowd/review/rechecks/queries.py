"""All SQL of rechecks: their small queue, who may sit, and what came of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, literal
from crowd.core.statements import Statement
from crowd.images.models import IMAGE_STATE, Image, ImageState
from crowd.policy import Grade, Stage
from crowd.review.rechecks.models import RECHECK_STATE, Recheck, RecheckState
from crowd.tasks.models import TASK_STATE, Claim, Participation, Purpose, Task, TaskState

OPEN, WAITING = (literal(state, RECHECK_STATE) for state in (RecheckState.OPEN, RecheckState.WAITING))
# While an image is in work, who looks at it now might be needed for it later.
SETTLED = (literal(ImageState.ACCEPTED, IMAGE_STATE), literal(ImageState.HELD, IMAGE_STATE))
FAR_OFF = datetime(9999, 1, 1, tzinfo=UTC)
GONE = (ImageState.REFUSED, ImageState.WITHDRAWN)

_WHO = sa.bindparam("who", type_=Recheck.worker_id.type)


def _involved(who: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """The person ever had a task of the image or a part in it, or the answer is theirs."""
    held = sa.exists(
        sa.select(Claim.task_id)
        .join_from(Task, Claim, Claim.task_id == Task.id)
        .where(Task.image_id == Recheck.image_id, Claim.worker_id == who)
    )
    took_part = sa.exists(
        sa.select(Participation.image_id).where(
            Participation.image_id == Recheck.image_id, Participation.worker_id == who
        )
    )
    return sa.or_(Recheck.worker_id == who, took_part, held)


_SEAT = sa.alias(Task.__table__, "seat")
# Nobody sits there now: it was never given, or let go.
_IS_FREE = sa.or_(
    Recheck.seat_id.is_(None),
    sa.exists(
        sa.select(_SEAT.c.id).where(
            _SEAT.c.id == Recheck.seat_id, _SEAT.c.state == literal(TaskState.CLOSED, TASK_STATE)
        )
    ),
)
_IS_SETTLED = sa.exists(sa.select(Image.id).where(Image.id == Recheck.image_id, Image.state.in_(SETTLED)))
# Asked by every claim of those who adjudicate, so it puts nothing in order: mostly there is nothing.
_ANY_OPEN = Statement(sa.select(Recheck.id).where(Recheck.state == OPEN).limit(sa.literal_column("1")))
_NEXT = Statement(
    sa.select(Recheck.id, Recheck.purpose, Recheck.image_id, Recheck.cause, Recheck.labels)
    .where(
        Recheck.state == OPEN,
        Recheck.ripe_at <= sa.bindparam("ripe_by", type_=Recheck.ripe_at.type),
        Recheck.opened_at <= sa.bindparam("opened_by", type_=Recheck.opened_at.type),
        Recheck.purpose.in_(sa.bindparam("for_purposes", type_=Recheck.purpose.type, expanding=True)),
        _IS_FREE,
        _IS_SETTLED,
        ~_involved(_WHO),
    )
    .order_by(Recheck.ripe_at, Recheck.id)
    .limit(1)
    # Two who look at once: one of them gets it.
    .with_for_update(skip_locked=True, of=Recheck)
)


def next_for(
    conn: Connection, worker_id: int, purposes: Sequence[Purpose], now: datetime, *, ripe: bool
) -> AnyRow | None:
    """The recheck that this person may sit for and that has waited longest, locked; None: there is none."""
    if _ANY_OPEN.run(conn, {}).first() is None:
        return None
    ripe_by = now if ripe else FAR_OFF
    values = {"who": worker_id, "for_purposes": purposes, "ripe_by": ripe_by, "opened_by": now}
    return _NEXT.run(conn, values).first()


def add(conn: Connection, values: Mapping[str, Any]) -> int | None:
    """A new recheck; None when the answer has one of the same purpose."""
    insert = INSERT[conn.dialect.name](Recheck).values(**values).on_conflict_do_nothing()
    added: int | None = conn.execute(insert.returning(Recheck.id)).scalar_one_or_none()
    return added


def seated(conn: Connection, recheck_id: int, seat_id: int, judge_id: int) -> None:
    """Somebody sits. The caller has locked it."""
    changed = sa.update(Recheck).where(Recheck.id == recheck_id)
    conn.execute(changed.values(seat_id=seat_id, judge_id=judge_id))


def locked_by_seat(conn: Connection, seat_id: int) -> AnyRow | None:
    """The open recheck that this seat is for, locked; None when it is over or has another seat by now."""
    found = sa.select(*Recheck.__table__.c).where(Recheck.seat_id == seat_id, Recheck.state == OPEN)
    return conn.execute(found.with_for_update()).one_or_none()


def locked(conn: Connection, recheck_id: int) -> AnyRow | None:
    """A recheck that is open, locked."""
    found = sa.select(*Recheck.__table__.c).where(Recheck.id == recheck_id, Recheck.state == OPEN)
    return conn.execute(found.with_for_update()).one_or_none()


def close(
    conn: Connection, recheck_id: int, state: RecheckState, now: datetime, score: int | None = None
) -> None:
    """A recheck is over. The caller has locked it."""
    changed = sa.update(Recheck).where(Recheck.id == recheck_id)
    conn.execute(changed.values(state=state, closed_at=now, score=score))


def able(conn: Connection, recheck_ids: Collection[int], grades: Collection[Grade]) -> dict[int, int]:
    """How many people of these grades, in good standing, may sit for each of these rechecks."""
    who = (
        sa.select(Recheck.id, sa.func.count(Worker.id))
        .join_from(
            Recheck,
            Worker,
            sa.and_(
                Worker.grade.in_(sorted(grades)),
                Worker.suspended_at.is_(None),
                Worker.erased_at.is_(None),
                sa.or_(~_involved(Worker.__table__.c.id), Worker.id == Recheck.judge_id),
            ),
        )
        .where(Recheck.id.in_(sorted(recheck_ids)))
        .group_by(Recheck.id)
    )
    return {row[0]: row[1] for row in conn.execute(who)}


def settled_waiting(conn: Connection, limit: int) -> Sequence[AnyRow]:
    """Rechecks that wait for an image which is through by now, or will never be, locked; oldest first."""
    return conn.execute(
        sa.select(Recheck.id, Recheck.image_id, Recheck.task_id, Image.state.label("image_state"))
        .join_from(Recheck, Image, Image.id == Recheck.image_id)
        .where(Recheck.state == WAITING, Image.state.in_((ImageState.ACCEPTED, *GONE)))
        .order_by(Recheck.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Recheck)
    ).all()


def open_up(conn: Connection, recheck_id: int, labels: Any, opened_at: datetime, ripe_at: datetime) -> None:
    """Waiting → open, on these labels. The caller has locked it."""
    changed = sa.update(Recheck).where(Recheck.id == recheck_id)
    conn.execute(changed.values(state=OPEN, labels=labels, opened_at=opened_at, ripe_at=ripe_at))


def count_open(conn: Connection, most: int) -> int:
    """How many rechecks are open, counted up to `most`."""
    few = sa.select(Recheck.id).where(Recheck.state == OPEN).limit(most).subquery()
    return conn.execute(sa.select(sa.func.count()).select_from(few)).scalar_one()


def compared(
    conn: Connection, worker_id: int, stage: Stage, purpose: Purpose, after: datetime | None, limit: int
) -> Sequence[AnyRow]:
    """A reviewer's latest scores beside those of who looked again, oldest first."""
    found = (
        sa.select(Recheck.image_id, Recheck.own_score, Recheck.score)
        .where(
            Recheck.worker_id == worker_id,
            Recheck.score.is_not(None),
            Recheck.stage == stage,
            Recheck.purpose == purpose,
        )
        .order_by(Recheck.id.desc())
        .limit(limit)
    )
    if after is not None:
        found = found.where(Recheck.closed_at > after)
    return conn.execute(found).all()[::-1]
