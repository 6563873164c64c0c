"""All SQL of what a sample says: its images, and the wrong ones by stage, reviewer and supplier."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.audits.models import AuditImage
from crowd.audits.queries import in_turn
from crowd.core.db import AnyRow
from crowd.images.models import Image, Supplier
from crowd.policy import Stage
from crowd.tasks.models import Standing, Submission


@dataclass(frozen=True, slots=True)
class Behind:
    """Which images of a sample are wanted: what is behind a rate. None: whatever it is.

    `reviews` and `passing` say what it is that a `reviewer` let an image through.
    """

    wrong: bool | None = None
    blame: Stage | None = None
    reviewer: int | None = None
    supplier: int | None = None
    reviews: Collection[Stage] = ()
    passing: int = 0


def sample(
    conn: Connection, found: AnyRow, behind: Behind, *, after: int | None, limit: int
) -> Sequence[AnyRow]:
    """The images that are or were to be judged, in the order in which they were drawn."""
    return conn.execute(
        sa.select(
            *(column for column in AuditImage.__table__.columns if column.name != "worker_id"),
            Worker.username.label("who"),
        )
        .outerjoin(Worker, Worker.id == AuditImage.worker_id)
        .where(
            AuditImage.audit_id == found.id,
            AuditImage.place > (-1 if after is None else after),
            AuditImage.place < in_turn(found),
            *_narrowed(found.id, behind),
        )
        .order_by(AuditImage.place)
        .limit(limit)
    ).all()


def _narrowed(audit_id: int, behind: Behind) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = []
    if behind.wrong is not None:
        wanted.append(AuditImage.wrong.is_(behind.wrong))
    if behind.blame is not None:
        wanted.append(AuditImage.blame == behind.blame)
    if behind.supplier is not None:
        theirs = sa.exists().where(Image.id == AuditImage.image_id, Image.supplier_id == behind.supplier)
        wanted += [AuditImage.wrong.is_not(None), theirs]
    if behind.reviewer is not None:
        through = _let_through(audit_id, behind.reviews, behind.passing)
        mine = sa.select(through.c.image_id).where(through.c.worker_id == behind.reviewer)
        wanted += [AuditImage.wrong.is_not(None), AuditImage.image_id.in_(mine)]
    return wanted


_JUDGED = (sa.func.count().label("judged"), sa.func.count().filter(AuditImage.wrong.is_(True)).label("wrong"))


def wrong_by_stage(conn: Connection, audit_id: int) -> dict[Stage, int]:
    """How many images of the sample are wrong, by the stage to blame."""
    rows = conn.execute(
        sa.select(AuditImage.blame, sa.func.count().label("images"))
        .where(AuditImage.audit_id == audit_id, AuditImage.wrong.is_(True))
        .group_by(AuditImage.blame)
    )
    return {row.blame: row.images for row in rows}


def by_supplier(conn: Connection, audit_id: int) -> Sequence[AnyRow]:
    """How many images of the sample are judged and wrong, by supplier."""
    return conn.execute(
        sa.select(Supplier.id, Supplier.name, *_JUDGED)
        .join_from(AuditImage, Image, Image.id == AuditImage.image_id)
        .join(Supplier, Supplier.id == Image.supplier_id)
        .where(AuditImage.audit_id == audit_id, AuditImage.wrong.is_not(None))
        .group_by(Supplier.id, Supplier.name)
        .order_by(Supplier.id)
    ).all()


def by_reviewer(conn: Connection, audit_id: int, stages: Collection[Stage], passing: int) -> Sequence[AnyRow]:
    """How many images of the sample are judged and wrong, by who had let them through in their last round."""
    let_through = _let_through(audit_id, stages, passing)
    return conn.execute(
        sa.select(Worker.id, Worker.username.label("name"), *_JUDGED)
        .join_from(AuditImage, let_through, let_through.c.image_id == AuditImage.image_id)
        .join(Worker, Worker.id == let_through.c.worker_id)
        .where(AuditImage.audit_id == audit_id, AuditImage.wrong.is_not(None))
        .group_by(Worker.id, Worker.username)
        .order_by(Worker.id)
    ).all()


def _let_through(audit_id: int, stages: Collection[Stage], passing: int) -> sa.Subquery:
    """Who let which images of a sample through in their last round."""
    drawn = sa.alias(AuditImage.__table__, "drawn")
    return (
        sa.select(Submission.image_id, Submission.round, Submission.worker_id)
        .join(
            drawn,
            sa.and_(drawn.c.image_id == Submission.image_id, drawn.c.round == Submission.round),
        )
        .where(
            drawn.c.audit_id == audit_id,
            Submission.stage.in_(stages),
            Submission.standing == Standing.COUNTED,
            Submission.result["score"].as_integer() >= passing,
        )
        .distinct()
        .subquery("let_through")
    )
