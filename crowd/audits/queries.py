"""All SQL of audits: lots and samples, seats, verdicts, what stands in the way of a release."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.models import AccountKind, Worker
from crowd.audits.models import (
    AUDIT_STATE,
    Audit,
    AuditEvent,
    AuditImage,
    AuditSignature,
    AuditState,
    AuditTurn,
)
from crowd.core.db import AnyRow, literal
from crowd.images.models import IMAGE_STATE, Batch, Image, ImageEvent, ImageState, Supplier, What
from crowd.policy import Grade
from crowd.tasks.models import Miss, Participation, Task, TaskState

ACCEPTED = literal(ImageState.ACCEPTED, IMAGE_STATE)
# Values of one statement: SQLite takes some 32,000, PostgreSQL 65,535.
CHUNK = 2000

_DRAWER = sa.alias(Worker.__table__, "drawer")
_AUDITS = (
    sa.select(
        *Audit.__table__.columns,
        Supplier.name.label("supplier"),
        Batch.name.label("batch"),
        _DRAWER.c.username.label("by"),
    )
    .outerjoin(Supplier, Supplier.id == Audit.supplier_id)
    .outerjoin(Batch, Batch.id == Audit.batch_id)
    .outerjoin(_DRAWER, _DRAWER.c.id == Audit.drawn_by)
)


def in_turn(found: Any) -> Any:
    """How many places of an audit's sample have their turn: images to be judged, and the lost ones."""
    return found.size + found.void + found.replaced


def in_scope(
    supplier_id: int | None, batch_id: int | None, last_event_id: int | None = None
) -> sa.ColumnElement[bool]:
    """Accepted images; of a supplier, of a batch; not those accepted after that row of the history."""
    wanted = [Image.state == ACCEPTED]
    if last_event_id is not None:
        later = sa.select(ImageEvent.image_id).where(
            ImageEvent.id > last_event_id, ImageEvent.what == What.ACCEPTED
        )
        wanted.append(Image.id.not_in(later))
    if supplier_id is not None:
        wanted.append(Image.supplier_id == supplier_id)
    if batch_id is not None:
        wanted.append(Image.batch_id == batch_id)
    return sa.and_(*wanted)


def scope_id(conn: Connection, table: type[Supplier] | type[Batch], name: str) -> int | None:
    """The id of the supplier or batch of that name."""
    return conn.execute(sa.select(table.id).where(table.name == name)).scalar_one_or_none()


def lot_size(
    conn: Connection, supplier_id: int | None, batch_id: int | None, last_event_id: int | None = None
) -> int:
    """How many images are accepted."""
    wanted = in_scope(supplier_id, batch_id, last_event_id)
    found = sa.select(sa.func.count()).select_from(Image).where(wanted)
    return conn.execute(found).scalar_one()


def last_event(conn: Connection) -> int:
    """The newest row of any image's history."""
    return conn.execute(sa.select(sa.func.coalesce(sa.func.max(ImageEvent.id), 0))).scalar_one()


def newest_writer(conn: Connection) -> int | None:
    """A number above those of all transactions that have written so far; None where they come one by one."""
    if conn.dialect.name == "sqlite":
        return None
    newest: str = conn.exec_driver_sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").scalar_one()
    return int(newest)


def are_done(conn: Connection, before: int) -> bool:
    """Whether every transaction of a smaller number has come to its end."""
    oldest: str = conn.exec_driver_sql("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").scalar_one()
    return int(oldest) >= before


def images_at(
    conn: Connection,
    supplier_id: int | None,
    batch_id: int | None,
    places: Sequence[int],
    last_event_id: int | None = None,
) -> dict[int, AnyRow]:
    """Id and round of the accepted images at these places (from 1) of their order by id, by place."""
    numbered = (
        sa.select(Image.id, Image.round, sa.func.row_number().over(order_by=Image.id).label("place"))
        .where(in_scope(supplier_id, batch_id, last_event_id))
        .subquery("numbered")
    )
    found: dict[int, AnyRow] = {}
    for first in range(0, len(places), CHUNK):
        chosen = sa.select(numbered).where(numbered.c.place.in_(places[first : first + CHUNK]))
        found |= {row.place: row for row in conn.execute(chosen)}
    return found


def add_audit(conn: Connection, **values: Any) -> int | None:
    """The id of a new audit; None when one of the same scope stands."""
    try:
        with conn.begin_nested():
            return conn.execute(sa.insert(Audit).values(**values).returning(Audit.id)).scalar_one()
    except IntegrityError:
        return None


def add_images(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """The sample, in the transaction that draws it."""
    conn.execute(sa.insert(AuditImage).returning(AuditImage.place), list(rows)).all()


def add_event(
    conn: Connection, audit_id: int, what: AuditTurn, now: datetime, *, by: int | None, reason: str = ""
) -> None:
    """Note what happened to an audit."""
    values = {"audit_id": audit_id, "what": what, "at": now, "actor_id": by, "reason": reason}
    conn.execute(sa.insert(AuditEvent), values)


def audit(conn: Connection, audit_id: int, *, lock: bool = False) -> AnyRow | None:
    """The audit of that id; locked, if it is to be decided about."""
    if lock:
        conn.execute(sa.select(Audit.id).where(Audit.id == audit_id).with_for_update()).one_or_none()
    return conn.execute(_AUDITS.where(Audit.id == audit_id)).one_or_none()


def audit_of_scope(conn: Connection, scope: str) -> AnyRow | None:
    """The audit of that scope that stands."""
    return conn.execute(_AUDITS.where(Audit.scope == scope, Audit.ended_at.is_(None))).one_or_none()


def audits(
    conn: Connection, *, state: AuditState | None = None, after: int | None, limit: int
) -> Sequence[AnyRow]:
    """Up to `limit` audits with an id beyond `after`, oldest first."""
    query = _AUDITS.where(Audit.id > (after or 0)).order_by(Audit.id).limit(limit)
    return conn.execute(query if state is None else query.where(Audit.state == state)).all()


def decided_before(conn: Connection, moment: datetime) -> Sequence[AnyRow]:
    """The audits that passed or failed before a moment, oldest first."""
    decided = Audit.state.in_((AuditState.PASSED, AuditState.FAILED))
    return conn.execute(_AUDITS.where(decided, Audit.decided_at <= moment).order_by(Audit.id)).all()


def change(conn: Connection, audit_id: int, **values: Any) -> None:
    """Keep something about an audit that the caller has locked."""
    conn.execute(sa.update(Audit).where(Audit.id == audit_id).values(**values))


def is_dealing(conn: Connection) -> bool:
    """Whether any audit gives seats out."""
    return conn.execute(sa.select(Audit.id).where(Audit.dealing).limit(1)).first() is not None


def next_image(conn: Connection, worker_id: int, grades: Collection[Grade], now: datetime) -> AnyRow | None:
    """The next image of a sample that this person may judge, locked.

    Not one in which they had a part, nor whose seat they have just skipped.
    """
    had_a_part = sa.exists().where(
        Participation.image_id == AuditImage.image_id, Participation.worker_id == worker_id
    )
    skipped = sa.exists().where(
        Miss.task_id == AuditImage.task_id, Miss.worker_id == worker_id, Miss.skip_until > now
    )
    able = sa.exists().where(
        Worker.id == worker_id,
        Worker.grade.in_(sorted(grades)),
        Worker.suspended_at.is_(None),
        Worker.kind == AccountKind.CROWD,
    )
    return conn.execute(
        sa.select(AuditImage.audit_id, AuditImage.place, AuditImage.image_id, AuditImage.round)
        .join_from(AuditImage, Audit, Audit.id == AuditImage.audit_id)
        .outerjoin(Task, Task.id == AuditImage.task_id)
        .where(
            Audit.dealing,
            AuditImage.settled_at.is_(None),
            AuditImage.place < in_turn(Audit),
            sa.or_(AuditImage.task_id.is_(None), Task.state == TaskState.CLOSED),
            able,
            ~had_a_part,
            ~skipped,
        )
        .order_by(AuditImage.audit_id, AuditImage.place)
        .limit(1)
        # Two people at once: each gets an image of their own.
        .with_for_update(of=AuditImage, skip_locked=True)
    ).one_or_none()


def seat(conn: Connection, audit_id: int, place: int, task_id: int) -> None:
    """The image's seat is this one."""
    mine = sa.update(AuditImage).where(AuditImage.audit_id == audit_id, AuditImage.place == place)
    conn.execute(mine.values(task_id=task_id))


def seated(conn: Connection, task_id: int) -> AnyRow | None:
    """The image of a sample whose seat this is, locked."""
    found = sa.select(*AuditImage.__table__.columns).where(AuditImage.task_id == task_id)
    return conn.execute(found.with_for_update()).one_or_none()


def settle(conn: Connection, audit_id: int, place: int, **values: Any) -> None:
    """An image of the sample is judged, or void."""
    mine = sa.update(AuditImage).where(AuditImage.audit_id == audit_id, AuditImage.place == place)
    conn.execute(mine.values(**values))


def count(
    conn: Connection, audit_id: int, *, judged: int = 0, wrong: int = 0, void: int = 0, replaced: int = 0
) -> AnyRow:
    """Add to an audit's figures; the audit, locked."""
    conn.execute(
        sa.update(Audit)
        .where(Audit.id == audit_id)
        .values(
            judged=Audit.judged + judged,
            wrong=Audit.wrong + wrong,
            void=Audit.void + void,
            replaced=Audit.replaced + replaced,
        )
    )
    return conn.execute(sa.select(*Audit.__table__.columns).where(Audit.id == audit_id)).one()


def is_anything_left(conn: Connection, found: AnyRow) -> bool:
    """Whether an image of the sample is still to be judged."""
    left = sa.select(AuditImage.place).where(
        AuditImage.audit_id == found.id,
        AuditImage.settled_at.is_(None),
        AuditImage.place < in_turn(found),
    )
    return conn.execute(left.limit(1)).first() is not None


def events(conn: Connection, audit_id: int) -> Sequence[AnyRow]:
    """What happened to an audit, oldest first."""
    return conn.execute(
        sa.select(AuditEvent.at, AuditEvent.what, AuditEvent.reason, Worker.username.label("who"))
        .outerjoin(Worker, Worker.id == AuditEvent.actor_id)
        .where(AuditEvent.audit_id == audit_id)
        .order_by(AuditEvent.id)
    ).all()


def turns(conn: Connection, audit_id: int) -> int:
    """How much has happened to an audit."""
    happened = sa.select(sa.func.count()).where(AuditEvent.audit_id == audit_id)
    return conn.execute(happened).scalar_one()


def add_signature(conn: Connection, **values: Any) -> int | None:
    """Keep an auditor's opinion; its id. None when theirs about the same state of things is there."""
    try:
        with conn.begin_nested():
            added = sa.insert(AuditSignature).values(**values).returning(AuditSignature.id)
            return conn.execute(added).scalar_one()
    except IntegrityError:
        return None


def signatures(conn: Connection, audit_id: int) -> Sequence[AnyRow]:
    """Who signed, and what, oldest first."""
    columns = (column for column in AuditSignature.__table__.columns if column.name != "worker_id")
    return conn.execute(
        sa.select(*columns, Worker.username.label("who"))
        .join(Worker, Worker.id == AuditSignature.worker_id)
        .where(AuditSignature.audit_id == audit_id)
        .order_by(AuditSignature.id)
    ).all()


def failed(conn: Connection) -> AnyRow | None:
    """The oldest failed audit whose lot has not gone back."""
    standing = sa.and_(Audit.ended_at.is_(None), Audit.state == AuditState.FAILED)
    return conn.execute(_AUDITS.where(standing).order_by(Audit.id).limit(1)).one_or_none()


def uncovered(conn: Connection) -> AnyRow | None:
    """Supplier and batch of accepted images that no passed audit covers; None: there are none.

    An image accepted anew since the audit of its lot is not covered by it.
    """
    kinds = conn.execute(
        sa.select(
            Image.supplier_id, Image.batch_id, Supplier.name.label("supplier"), Batch.name.label("batch")
        )
        .join_from(Image, Supplier, Supplier.id == Image.supplier_id)
        .outerjoin(Batch, Batch.id == Image.batch_id)
        .where(Image.state == ACCEPTED)
        .distinct()
        .order_by(Image.supplier_id, Image.batch_id)
    ).all()
    return next((kind for kind in kinds if not _is_covered(conn, kind)), None)


def _is_covered(conn: Connection, kind: AnyRow) -> bool:
    passed = literal(AuditState.PASSED, AUDIT_STATE)
    last = conn.execute(
        sa.select(sa.func.max(Audit.last_event_id)).where(
            Audit.state == passed,
            sa.or_(Audit.supplier_id.is_(None), Audit.supplier_id == kind.supplier_id),
            sa.or_(Audit.batch_id.is_(None), Audit.batch_id == kind.batch_id),
        )
    ).scalar_one()
    if last is None:
        return False
    same_batch = Image.batch_id.is_not_distinct_from(kind.batch_id)
    since = accepted_since(last).where(Image.supplier_id == kind.supplier_id, same_batch)
    return conn.execute(since.limit(1)).first() is None


def accepted_since(last_event_id: int) -> sa.Select[int]:
    """Accepted images that were accepted after that row of the history."""
    return (
        sa.select(Image.id)
        .join(ImageEvent, ImageEvent.image_id == Image.id)
        .where(ImageEvent.id > last_event_id, ImageEvent.what == What.ACCEPTED, Image.state == ACCEPTED)
    )
