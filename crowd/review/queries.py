"""All SQL of the review room."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.core.statements import Statement
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Stage
from crowd.review.models import Comment
from crowd.tasks.models import Claim, Part, Participation, Purpose, Standing, Submission, Task, TaskState


def tasks_held(conn: Connection, image_id: int, worker_id: int) -> Sequence[AnyRow]:
    """`id` and `stage` of the tasks of an image that the person holds or held, oldest first."""
    return conn.execute(
        sa.select(Task.id, Task.stage)
        .join(Claim, Claim.task_id == Task.id)
        .where(Task.image_id == image_id, Claim.worker_id == worker_id)
        .distinct()
        .order_by(Task.id)
    ).all()


def add_comment(conn: Connection, task_id: int, worker_id: int, text: str, at: datetime) -> int:
    """Keep a comment for good."""
    comment_id: int = conn.execute(
        sa.insert(Comment)
        .values(task_id=task_id, worker_id=worker_id, text=text, at=at)
        .returning(Comment.id)
    ).scalar_one()
    return comment_id


def comments_on(
    conn: Connection, task_id: int, viewer_id: int | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """What was said about a task, oldest first, beyond the id `after`.

    For `viewer_id` without what is withheld from them; None: for somebody who may hear everything.
    """
    return conn.execute(
        _heard(viewer_id)
        .where(Comment.task_id == task_id, Comment.id > after)
        .order_by(Comment.id)
        .limit(limit)
    ).all()


def comments_about(
    conn: Connection,
    image_id: int,
    task_ids: Sequence[int] | None,
    viewer_id: int | None,
    skipped: int,
    limit: int,
) -> Sequence[AnyRow]:
    """What was said about an image, oldest first, but for the first `skipped`; of these tasks alone if given.

    Counted, not by id, since whoever sits in a shadow seat is told of no comment's number.
    """
    found = _heard(viewer_id).where(Task.image_id == image_id)
    if task_ids is not None:
        found = found.where(Task.id.in_(task_ids))
    return conn.execute(found.order_by(Comment.id).offset(skipped).limit(limit)).all()


def newest_task(conn: Connection, image_id: int, stage: Stage) -> int | None:
    """The newest task of an image at a stage."""
    return conn.execute(
        sa.select(sa.func.max(Task.id)).where(Task.image_id == image_id, Task.stage == stage)
    ).scalar_one()


def shadow_seat(conn: Connection, image_id: int) -> AnyRow | None:
    """The shadow seat on this image: `id`, `stage`, `cause`, whose picture it shows, when first given."""
    return conn.execute(
        sa.select(
            Task.id,
            Task.stage,
            Task.cause,
            Image.duplicate_of.label("source_id"),
            sa.select(sa.func.min(Claim.at))
            .where(Claim.task_id == Task.id)
            .scalar_subquery()
            .label("given_at"),
        )
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(
            Task.image_id == image_id,
            Task.purpose.not_in((Purpose.WORK, Purpose.SLOT)),
            Image.state == ImageState.SHADOW,
        )
        .limit(1)
    ).one_or_none()


def when_opened(conn: Connection, image_id: int, stage: Stage) -> datetime | None:
    """When a stage of an image first opened."""
    return conn.execute(
        sa.select(sa.func.min(Task.opened_at)).where(
            Task.image_id == image_id, Task.stage == stage, Task.purpose == Purpose.WORK
        )
    ).scalar_one()


def said_before(
    conn: Connection, image_id: int, stages: Sequence[Stage], until: datetime, limit: int
) -> Sequence[AnyRow]:
    """What was said about these stages of an image's first round before a moment, oldest first."""
    return conn.execute(
        _heard(None)
        .where(Task.image_id == image_id, Task.round == 1, Task.stage.in_(stages), Comment.at < until)
        .order_by(Comment.id)
        .limit(limit)
    ).all()


def tasks_ever_held(conn: Connection, worker_id: int, before: int | None, limit: int) -> list[int]:
    """The tasks that the person holds or held, newest first, with ids before `before`."""
    found = sa.select(Claim.task_id).where(Claim.worker_id == worker_id)
    if before is not None:
        found = found.where(Claim.task_id < before)
    return list(conn.execute(found.distinct().order_by(Claim.task_id.desc()).limit(limit)).scalars())


def threads_on(conn: Connection, task_ids: Sequence[int], viewer_id: int) -> Sequence[AnyRow]:
    """Of these tasks those about which others said something that the viewer may hear, newest task first.

    With how much (`said`), and `text` and `at` of the last.
    """
    heard = (
        sa.select(Comment.task_id, sa.func.count().label("said"), sa.func.max(Comment.id).label("last_id"))
        .join(Task, Task.id == Comment.task_id)
        .where(Comment.task_id.in_(task_ids), Comment.worker_id != viewer_id, ~_withheld(viewer_id))
        .group_by(Comment.task_id)
        .subquery("heard")
    )
    return conn.execute(
        sa.select(
            Task.id.label("task_id"),
            Task.image_id,
            Task.stage,
            Task.round,
            heard.c.said,
            Comment.text,
            Comment.at,
        )
        .join_from(heard, Task, Task.id == heard.c.task_id)
        .join(Comment, Comment.id == heard.c.last_id)
        .order_by(Task.id.desc())
    ).all()


def _heard(viewer_id: int | None) -> AnySelect:
    heard = (
        sa.select(
            Comment.id, Comment.text, Comment.at, Comment.worker_id, Worker.username, Task.stage, Task.round
        )
        .join_from(Comment, Task, Task.id == Comment.task_id)
        .join(Worker, Worker.id == Comment.worker_id)
    )
    return heard if viewer_id is None else heard.where(~_withheld(viewer_id))


def _withheld(viewer_id: int) -> sa.ColumnElement[bool]:
    """Whether this comment is kept from the viewer for now, wherever on the image it was made.

    What people in a second review say, until both seats are in; and of a split, from all but those who
    sat, until a third person has settled it. Nobody's own words.
    """
    seat, seated = sa.alias(Task.__table__, "seat"), sa.alias(Claim.__table__, "seated")
    sat = sa.exists(
        sa.select(Participation.image_id)
        .where(
            Participation.image_id == seat.c.image_id,
            Participation.worker_id == viewer_id,
            Participation.part == Part.SECOND_REVIEW,
        )
        .correlate(seat)
    )
    unsettled = sa.or_(
        _unfinished(seat, Stage.SECOND_REVIEW), sa.and_(_unfinished(seat, Stage.ADJUDICATION), ~sat)
    )
    in_seat = sa.exists(
        sa.select(seat.c.id)
        .join_from(seat, seated, seated.c.task_id == seat.c.id)
        .where(
            seat.c.image_id == Task.image_id,
            seat.c.stage == Stage.SECOND_REVIEW,
            seated.c.worker_id == Comment.worker_id,
            unsettled,
        )
        .correlate(Task, Comment)
    )
    return sa.and_(Comment.worker_id != viewer_id, in_seat)


def _unfinished(seat: sa.FromClause, stage: Stage) -> sa.ColumnElement[bool]:
    """Whether a task of `stage` is open in the round of the seat."""
    beside = sa.alias(Task.__table__, f"beside_{stage.value}")
    return sa.exists(
        sa.select(beside.c.id)
        .where(
            beside.c.image_id == seat.c.image_id,
            beside.c.stage == stage,
            beside.c.round == seat.c.round,
            beside.c.state.not_in((TaskState.DONE, TaskState.CLOSED)),
        )
        .correlate(seat)
    )


_COUNTED = Statement(
    sa.select(
        Submission.task_id,
        Submission.worker_id,
        Submission.stage,
        Submission.round,
        Submission.kind,
        Submission.result,
        Submission.at,
        Task.cause,
        Task.disputed,
    )
    .join(Task, Task.id == Submission.task_id)
    .where(
        Submission.image_id == sa.bindparam("of_image", type_=Submission.image_id.type),
        Submission.standing == Standing.COUNTED,
    )
    .order_by(Submission.id)
)


def counted_answers(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """Every answer to an image that counted, oldest first."""
    return _COUNTED.run(conn, {"of_image": image_id}).all()


def accepted_before(conn: Connection, image_id: int) -> datetime | None:
    """When the image was accepted before the present time."""
    moments = (
        sa.select(ImageEvent.at)
        .where(ImageEvent.image_id == image_id, ImageEvent.what == What.ACCEPTED)
        .order_by(ImageEvent.id.desc())
        .offset(1)
        .limit(1)
    )
    return conn.execute(moments).scalar_one_or_none()
