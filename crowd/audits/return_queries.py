"""All SQL of lots that go back."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.models import Worker
from crowd.audits.models import Audit, AuditImage, AuditReturn
from crowd.audits.queries import accepted_since, in_scope
from crowd.core.db import AnyRow
from crowd.images.models import Image, ImageEvent, What
from crowd.policy import Stage


def add_return(conn: Connection, **values: Any) -> int | None:
    """The id of a new return; None when one of the same audit is under way."""
    try:
        with conn.begin_nested():
            return conn.execute(
                sa.insert(AuditReturn).values(**values).returning(AuditReturn.id)
            ).scalar_one()
    except IntegrityError:
        return None


def returns(conn: Connection, audit_id: int) -> Sequence[AnyRow]:
    """What went back of an audit, oldest first."""
    return conn.execute(
        sa.select(*AuditReturn.__table__.columns, Worker.username.label("by"))
        .outerjoin(Worker, Worker.id == AuditReturn.actor_id)
        .where(AuditReturn.audit_id == audit_id)
        .order_by(AuditReturn.id)
    ).all()


def due(conn: Connection, now: datetime) -> AnyRow | None:
    """The return that a job worker may take."""
    return conn.execute(
        sa.select(AuditReturn.id, AuditReturn.run_after)
        .where(AuditReturn.run_after <= now)
        .order_by(AuditReturn.run_after, AuditReturn.id)
        .limit(1)
    ).one_or_none()


def held(conn: Connection, return_id: int) -> AnyRow:
    """A return, with what is to be known of its audit."""
    return conn.execute(
        sa.select(*AuditReturn.__table__.columns, Audit.supplier_id, Audit.batch_id, Audit.last_event_id)
        .join(Audit, Audit.id == AuditReturn.audit_id)
        .where(AuditReturn.id == return_id)
    ).one()


def hold(conn: Connection, return_id: int, before: datetime, until: datetime | None, **progress: Any) -> bool:
    """Move `run_after` ahead and keep the progress; False when another job worker has taken it."""
    mine = sa.update(AuditReturn).where(AuditReturn.id == return_id, AuditReturn.run_after == before)
    return conn.execute(mine.values(run_after=until, **progress)).rowcount == 1


def lot_page(conn: Connection, found: AnyRow, after: int, limit: int) -> Sequence[int]:
    """Accepted images in the scope of an audit with ids beyond `after`."""
    wanted = in_scope(found.supplier_id, found.batch_id)
    return (
        conn.execute(sa.select(Image.id).where(wanted, Image.id > after).order_by(Image.id).limit(limit))
        .scalars()
        .all()
    )


def wrong_page(conn: Connection, audit_id: int, after: int, limit: int) -> Sequence[int]:
    """Images that an audit found wrong with ids beyond `after`."""
    return (
        conn.execute(
            sa.select(AuditImage.image_id)
            .where(AuditImage.audit_id == audit_id, AuditImage.wrong.is_(True), AuditImage.image_id > after)
            .order_by(AuditImage.image_id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def wrong_among(conn: Connection, audit_id: int, image_ids: Collection[int]) -> Mapping[int, AnyRow]:
    """Those of the images that an audit found wrong, with the verdict on each."""
    rows = conn.execute(
        sa.select(*AuditImage.__table__.columns).where(
            AuditImage.audit_id == audit_id, AuditImage.wrong.is_(True), AuditImage.image_id.in_(image_ids)
        )
    )
    return {row.image_id: row for row in rows}


def is_accepted_since(conn: Connection, image_id: int, last_event_id: int) -> bool:
    """Whether an image was accepted after that row of the history."""
    found = sa.select(ImageEvent.id).where(
        ImageEvent.image_id == image_id, ImageEvent.id > last_event_id, ImageEvent.what == What.ACCEPTED
    )
    return conn.execute(found.limit(1)).first() is not None


def count_since(conn: Connection, found: AnyRow) -> int:
    """How many accepted images in the scope of an audit are not of its lot: accepted after it was drawn."""
    newer = accepted_since(found.last_event_id).where(in_scope(found.supplier_id, found.batch_id))
    return conn.execute(sa.select(sa.func.count()).select_from(newer.distinct().subquery())).scalar_one()


def count_wrong(conn: Connection, found: AnyRow) -> dict[Stage, int]:
    """How many images found wrong are still as they were judged, by the stage to blame."""
    newer = sa.exists().where(
        ImageEvent.image_id == AuditImage.image_id,
        ImageEvent.id > found.last_event_id,
        ImageEvent.what == What.ACCEPTED,
    )
    rows = conn.execute(
        sa.select(AuditImage.blame, sa.func.count().label("images"))
        .join(Image, Image.id == AuditImage.image_id)
        .where(AuditImage.audit_id == found.id, AuditImage.wrong.is_(True), in_scope(None, None), ~newer)
        .group_by(AuditImage.blame)
    )
    return {row.blame: row.images for row in rows}
