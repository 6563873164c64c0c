"""The engine's SQL about images: the lock every move takes, and what their history tells."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, literal
from crowd.core.statements import Statement
from crowd.images.history import CONSEQUENCES
from crowd.images.models import WHAT, Image, ImageEvent, Supplier, What
from crowd.policy import Stage
from crowd.tasks.flow import LABELLING
from crowd.tasks.models import (
    Label,
    Standing,
    Submission,
)

_LOCK = Statement(
    sa.select(Image.id, Image.state, Image.round, Image.priority, Image.width, Image.height, Image.file_name)
    .where(Image.id == sa.bindparam("of_image", type_=Image.id.type))
    .with_for_update(key_share=True)
)


def lock_image(conn: Connection, image_id: int) -> AnyRow | None:
    """The image, locked: every move of one image happens after the one before it."""
    return _LOCK.run(conn, {"of_image": image_id}).one_or_none()


_PICTURE_AND_LABELS = Statement(
    sa.select(Image.width, Image.height, Image.picture, Label.stage, Label.value)
    .join_from(Image, Label, Label.image_id == Image.id, isouter=True)
    .where(Image.id == sa.bindparam("of_image", type_=Image.id.type))
    .order_by(Label.id)
)


def picture_and_labels(conn: Connection, image_id: int) -> tuple[AnyRow, Sequence[AnyRow]]:
    """The working image (size in pixels, `picture`), and every version of its labels, oldest first."""
    rows = _PICTURE_AND_LABELS.run(conn, {"of_image": image_id}).all()
    return rows[0], [row for row in rows if row.stage is not None]


def cut_off(conn: Connection, image_id: int, task_id: int | None = None) -> tuple[int, int]:
    """How far (pixels) left and top of the working image lie from where they were before cuts.

    With `task_id` by cuts during that task alone.
    """
    cuts = sa.select(ImageEvent.why).where(
        ImageEvent.image_id == image_id, ImageEvent.what == literal(What.CROPPED, WHAT)
    )
    if task_id is not None:
        cuts = cuts.where(ImageEvent.task_id == task_id)
    kept = [why["kept"] for why in conn.execute(cuts).scalars()]
    return sum(box[0] for box in kept), sum(box[1] for box in kept)


def bounces_to(conn: Connection, image_id: int, target: Stage) -> int:
    """How often the image was bounced to `target` since an admin last reopened it there."""
    reopened = (
        sa.select(sa.func.coalesce(sa.func.max(ImageEvent.id), 0))
        .where(
            ImageEvent.image_id == image_id,
            ImageEvent.what == What.REOPENED,
            ImageEvent.target == target,
        )
        .scalar_subquery()
    )
    return conn.execute(
        sa.select(sa.func.count())
        .select_from(ImageEvent)
        .where(
            ImageEvent.image_id == image_id,
            ImageEvent.what == What.BOUNCED,
            ImageEvent.target == target,
            ImageEvent.id > reopened,
        )
    ).scalar_one()


def author_of(conn: Connection, image_id: int, target: Stage) -> int | None:
    """Who gave the answer that a bounce to `target` rejects; None when several people settled it."""
    if target in LABELLING:
        return conn.execute(
            sa.select(Label.worker_id)
            .where(Label.image_id == image_id, Label.stage == target)
            .order_by(Label.id.desc())
            .limit(1)
        ).scalar_one_or_none()
    return conn.execute(
        sa.select(Submission.worker_id)
        .where(
            Submission.image_id == image_id,
            Submission.stage == target,
            Submission.standing == Standing.COUNTED,
        )
        .order_by(Submission.id.desc())
        .limit(1)
    ).scalar_one_or_none()


_FEEDBACK = Statement(
    sa.select(ImageEvent.what, ImageEvent.at, ImageEvent.why, ImageEvent.target)
    .where(
        ImageEvent.image_id == sa.bindparam("of_image", type_=Image.id.type),
        ImageEvent.what.in_((What.BOUNCED, What.DISPUTED, What.REOPENED)),
    )
    .order_by(ImageEvent.id)
)


def feedback_rows(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """What sent an image back, with the reasons, oldest first: bounces, disputes, and reopenings."""
    return _FEEDBACK.run(conn, {"of_image": image_id}).all()


def feedback_about(conn: Connection, worker_id: int, before: int | None, limit: int) -> Sequence[AnyRow]:
    """The bounces of this person's answers, newest first."""
    statement = (
        sa.select(ImageEvent.id, ImageEvent.image_id, ImageEvent.at, ImageEvent.target, ImageEvent.why)
        .where(ImageEvent.about_id == worker_id, ImageEvent.what == What.BOUNCED)
        .order_by(ImageEvent.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(ImageEvent.id < before)
    return conn.execute(statement).all()


def image_row(conn: Connection, image_id: int) -> AnyRow | None:
    """An image with its supplier's name."""
    return conn.execute(
        sa.select(
            Image.id,
            Image.state,
            Image.round,
            Image.width,
            Image.height,
            Image.picture,
            Image.file_name,
            Image.rights,
            Supplier.name.label("supplier"),
        )
        .join(Supplier, Supplier.id == Image.supplier_id)
        .where(Image.id == image_id)
    ).one_or_none()


def events(conn: Connection, image_id: int, by: int | None) -> Sequence[AnyRow]:
    """The history of an image, oldest first; with `by` what that person did, and what came back to them.

    What followed from their answer is left out: it tells of other people's answers too.
    """
    statement = (
        sa.select(
            ImageEvent.at,
            ImageEvent.what,
            ImageEvent.stage,
            ImageEvent.target,
            ImageEvent.round,
            ImageEvent.task_id,
            ImageEvent.why,
            ImageEvent.worker_id,
            Worker.username.label("who"),
        )
        .join(Worker, Worker.id == ImageEvent.worker_id, isouter=True)
        .where(ImageEvent.image_id == image_id)
        .order_by(ImageEvent.id)
    )
    if by is not None:
        own = sa.and_(ImageEvent.worker_id == by, ImageEvent.what.not_in(CONSEQUENCES))
        feedback = sa.and_(ImageEvent.about_id == by, ImageEvent.what == What.BOUNCED)
        statement = statement.where(sa.or_(own, feedback))
    return conn.execute(statement).all()
