"""All SQL of probation: new answers in their order, and how many first reviews somebody has given."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow
from crowd.policy import Stage
from crowd.review.probation.models import Probation
from crowd.tasks.expert_models import ReadMark
from crowd.tasks.models import Kind, Standing, Submission

_NAME = "probation"


def lock_mark(conn: Connection, usual: int) -> int:
    """How far the job has read, locked; before the first time `usual` answers before the newest."""
    newest = conn.execute(sa.select(sa.func.max(Submission.id))).scalar_one() or 0
    first = {"name": _NAME, "last_id": max(0, newest - usual)}
    conn.execute(INSERT[conn.dialect.name](ReadMark).on_conflict_do_nothing(), first)
    kept = sa.select(ReadMark.last_id).where(ReadMark.name == _NAME).with_for_update()
    return conn.execute(kept).scalar_one()


def move_mark(conn: Connection, last_id: int) -> None:
    """The job has read up to this answer."""
    conn.execute(sa.update(ReadMark).where(ReadMark.name == _NAME).values(last_id=last_id))


def answers_after(conn: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """The next answers of whatever stage; `score` where it is a first review that counts."""
    is_review = sa.and_(
        Submission.stage == Stage.FIRST_REVIEW,
        Submission.standing == Standing.COUNTED,
        Submission.kind == Kind.SUBMIT,
    )
    score = sa.case((is_review, Submission.result["score"].as_integer()), else_=None)
    columns = (Submission.id, Submission.task_id, Submission.image_id, Submission.worker_id, Submission.at)
    return conn.execute(
        sa.select(*columns, score.label("score"))
        .where(Submission.id > after)
        .order_by(Submission.id)
        .limit(limit)
    ).all()


def reviews_of(conn: Connection, worker_id: int, before: int, most: int) -> int:
    """How many first reviews the person had given before an answer, counted up to `most`; from now on kept.

    Everything that they ever answered is read once, when they are met for the first time.
    """
    kept = sa.select(Probation.reviews).where(Probation.worker_id == worker_id)
    reviews = conn.execute(kept).scalar_one_or_none()
    if reviews is not None:
        return reviews
    few = (
        sa.select(Submission.id)
        .where(
            Submission.worker_id == worker_id,
            Submission.id < before,
            Submission.stage == Stage.FIRST_REVIEW,
            Submission.standing == Standing.COUNTED,
        )
        .limit(most)
        .subquery()
    )
    found = conn.execute(sa.select(sa.func.count()).select_from(few)).scalar_one()
    conn.execute(sa.insert(Probation).values(worker_id=worker_id, reviews=found))
    return found


def count_review(conn: Connection, worker_id: int) -> None:
    """One more of the person's reviews has been taken."""
    changed = sa.update(Probation).where(Probation.worker_id == worker_id)
    conn.execute(changed.values(reviews=Probation.reviews + 1))
