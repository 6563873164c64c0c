"""All SQL about images of a sample that nobody may judge."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import AccountKind, Worker
from crowd.audits.models import Audit, AuditImage, AuditState
from crowd.audits.queries import ACCEPTED, CHUNK, in_turn
from crowd.core.db import AnyRow
from crowd.images.models import Image, ImageEvent, What
from crowd.policy import Grade
from crowd.tasks.models import Participation, Task, TaskState

_OF: dict[str, Any] = {"able": Worker.__table__, "sample": AuditImage.__table__, "images": Image.__table__}


def judges(conn: Connection, grades: Collection[Grade]) -> int:
    """How many people of these grades are in good standing."""
    return conn.execute(sa.select(sa.func.count()).select_from(Worker).where(*_able(grades))).scalar_one()


def counts(
    conn: Connection, grades: Collection[Grade], audit_ids: Collection[int] | None = None
) -> dict[int, int]:
    """How many images of each open audit (None: of every one) wait and nobody may judge; none: left out."""
    # Mostly there is no audit: then nothing else is looked at.
    standing = sa.select(Audit.id).where(Audit.dealing, Audit.state == AuditState.OPEN)
    if audit_ids is not None:
        standing = standing.where(Audit.id.in_(sorted(audit_ids)))
    waiting = conn.execute(standing).scalars().all()
    if not waiting:
        return {}
    rows = conn.execute(
        sa.select(AuditImage.audit_id, sa.func.count().label("images"))
        .join_from(AuditImage, Audit, Audit.id == AuditImage.audit_id)
        .outerjoin(Task, Task.id == AuditImage.task_id)
        .where(AuditImage.audit_id.in_(waiting), *_waiting(grades))
        .group_by(AuditImage.audit_id)
    )
    return {row.audit_id: row.images for row in rows}


def locked(conn: Connection, audit_id: int, grades: Collection[Grade]) -> Sequence[AnyRow]:
    """The images of an audit that wait and nobody may judge, locked; by place."""
    return conn.execute(
        sa.select(AuditImage.place, AuditImage.image_id)
        .join_from(AuditImage, Audit, Audit.id == AuditImage.audit_id)
        .outerjoin(Task, Task.id == AuditImage.task_id)
        .where(AuditImage.audit_id == audit_id, *_waiting(grades))
        .order_by(AuditImage.place)
        .with_for_update(of=AuditImage, skip_locked=True)
    ).all()


def spares(conn: Connection, found: AnyRow, grades: Collection[Grade]) -> Sequence[AnyRow]:
    """The images that take the turn of others, in the order in which they do; `blocked`: nobody may judge."""
    return conn.execute(
        sa.select(AuditImage.place, _nobody_may(AuditImage.image_id, "sample", grades).label("blocked"))
        .where(AuditImage.audit_id == found.id, AuditImage.place >= in_turn(found))
        .order_by(AuditImage.place)
    ).all()


def drawable(
    conn: Connection, found: AnyRow, image_ids: Sequence[int], grades: Collection[Grade]
) -> set[int]:
    """Those of the images that are of an audit's lot, not in its sample, and that somebody may judge."""
    accepted_since = sa.exists().where(
        ImageEvent.image_id == Image.id,
        ImageEvent.id > found.last_event_id,
        ImageEvent.what == What.ACCEPTED,
    )
    drawn = sa.exists().where(AuditImage.audit_id == found.id, AuditImage.image_id == Image.id)
    fit: set[int] = set()
    for first in range(0, len(image_ids), CHUNK):
        chosen = sa.select(Image.id).where(
            Image.id.in_(image_ids[first : first + CHUNK]),
            Image.state == ACCEPTED,
            ~accepted_since,
            ~drawn,
            ~_nobody_may(Image.id, "images", grades),
        )
        fit.update(conn.execute(chosen).scalars())
    return fit


def replace(conn: Connection, audit_id: int, places: Sequence[int], now: datetime) -> None:
    """These images of the sample are judged by nobody: others take their turn."""
    for first in range(0, len(places), CHUNK):
        theirs = AuditImage.place.in_(places[first : first + CHUNK])
        conn.execute(
            sa.update(AuditImage)
            .where(AuditImage.audit_id == audit_id, theirs)
            .values(replaced=True, settled_at=now)
        )


def last_place(conn: Connection, audit_id: int) -> int:
    """The last place of a sample."""
    found = sa.select(sa.func.max(AuditImage.place)).where(AuditImage.audit_id == audit_id)
    return conn.execute(found).scalar_one()


def _waiting(grades: Collection[Grade]) -> list[sa.ColumnElement[bool]]:
    """Nobody sits there (`tasks`: who sat there last), nobody has, and nobody may."""
    return [
        Audit.dealing,
        AuditImage.settled_at.is_(None),
        AuditImage.place < in_turn(Audit),
        sa.or_(AuditImage.task_id.is_(None), Task.state == TaskState.CLOSED),
        _nobody_may(AuditImage.image_id, "sample", grades),
    ]


def _nobody_may(image_id: Any, of: str, grades: Collection[Grade]) -> sa.ColumnElement[bool]:
    """Nobody of these grades is left who had no part in the image, which is of the table `of`."""
    # By itself SQLAlchemy would look one select up alone, and ask about any image at all.
    had_a_part = (
        sa.exists()
        .where(Participation.image_id == image_id, Participation.worker_id == Worker.id)
        .correlate(_OF[of], _OF["able"])
    )
    return ~sa.exists().where(*_able(grades), ~had_a_part).correlate(_OF[of])


def _able(grades: Collection[Grade]) -> list[sa.ColumnElement[bool]]:
    return [
        Worker.grade.in_(sorted(grades)),
        Worker.suspended_at.is_(None),
        Worker.erased_at.is_(None),
        Worker.kind == AccountKind.CROWD,
    ]
