"""All SQL of the review room."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow
from crowd.core.statements import Statement
from crowd.images.models import ImageEvent, What
from crowd.policy import Stage
from crowd.review.models import Comment
from crowd.tasks.models import Claim, Part, Participation, Standing, Submission, Task, TaskState


def held_task(conn: Connection, task_id: int, worker_id: int) -> bool:
    """Whether the person holds or held this task."""
    found = sa.select(Claim.task_id).where(Claim.task_id == task_id, Claim.worker_id == worker_id).limit(1)
    return conn.execute(found).first() is not None


def reviews_image(conn: Connection, image_id: int, worker_id: int) -> bool:
    """Whether the person holds or held a review of this image."""
    found = (
        sa.select(Task.id)
        .join(Claim, Claim.task_id == Task.id)
        .where(
            Task.image_id == image_id,
            Task.stage.in_((Stage.FIRST_REVIEW, Stage.SECOND_REVIEW, Stage.ADJUDICATION)),
            Claim.worker_id == worker_id,
        )
        .limit(1)
    )
    return conn.execute(found).first() is not None


def add_comment(conn: Connection, task_id: int, worker_id: int, text: str, at: datetime) -> int:
    """Keep a comment for good."""
    comment_id: int = conn.execute(
        sa.insert(Comment)
        .values(task_id=task_id, worker_id=worker_id, text=text, at=at)
        .returning(Comment.id)
    ).scalar_one()
    return comment_id


def comments_on(
    conn: Connection, task_id: int, hidden: Collection[int], after: int, limit: int
) -> Sequence[AnyRow]:
    """What was said about a task but by the people in `hidden`, oldest first, beyond the id `after`."""
    return conn.execute(
        sa.select(Comment.id, Comment.text, Comment.at, Comment.worker_id, Worker.username)
        .join(Worker, Worker.id == Comment.worker_id)
        .where(Comment.task_id == task_id, Comment.id > after, Comment.worker_id.not_in(hidden))
        .order_by(Comment.id)
        .limit(limit)
    ).all()


def people_in_open_seats(conn: Connection, image_id: int) -> set[int]:
    """Who claimed a second review of the image whose round is not decided by both seats yet."""
    seats = sa.alias(Task.__table__, "seats")
    unfinished = sa.exists(
        sa.select(seats.c.id).where(
            seats.c.image_id == Task.image_id,
            seats.c.stage == Task.stage,
            seats.c.round == Task.round,
            seats.c.state.not_in((TaskState.DONE, TaskState.CLOSED)),
        )
    )
    return _claimants(conn, image_id, unfinished)


def people_in_split_seats(conn: Connection, image_id: int) -> set[int]:
    """Who claimed a second review of the image that a third person is asked to settle."""
    adjudications = sa.alias(Task.__table__, "adjudications")
    unsettled = sa.exists(
        sa.select(adjudications.c.id).where(
            adjudications.c.image_id == Task.image_id,
            adjudications.c.stage == Stage.ADJUDICATION,
            adjudications.c.round == Task.round,
            adjudications.c.state.not_in((TaskState.DONE, TaskState.CLOSED)),
        )
    )
    return _claimants(conn, image_id, unsettled)


_COUNTED = Statement(
    sa.select(
        Submission.task_id,
        Submission.worker_id,
        Submission.stage,
        Submission.round,
        Submission.kind,
        Submission.result,
        Submission.at,
    )
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


def has_sat(conn: Connection, image_id: int, worker_id: int) -> bool:
    """Whether the person gave a second review of the image; then they never adjudicate it."""
    found = (
        sa.select(Participation.image_id)
        .where(
            Participation.image_id == image_id,
            Participation.worker_id == worker_id,
            Participation.part == Part.SECOND_REVIEW,
        )
        .limit(1)
    )
    return conn.execute(found).first() is not None


def _claimants(conn: Connection, image_id: int, condition: sa.ColumnElement[bool]) -> set[int]:
    return set(
        conn.execute(
            sa.select(Claim.worker_id)
            .join(Task, Task.id == Claim.task_id)
            .where(Task.image_id == image_id, Task.stage == Stage.SECOND_REVIEW, condition)
        ).scalars()
    )
