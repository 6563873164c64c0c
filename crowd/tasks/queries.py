"""The SQL that everything about tasks has in common: how one is read and locked, and who may not take it.

Everything here is SQLAlchemy Core on a Connection whose transaction the caller's edge opened.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, literal
from crowd.core.statements import Statement
from crowd.policy import Stage
from crowd.tasks.flow import STAGES
from crowd.tasks.models import (
    PART,
    PURPOSE,
    TASK_STATE,
    Claim,
    Part,
    Participation,
    Purpose,
    Submission,
    Task,
    TaskState,
)

READY, LEASED, DONE, CLOSED, STUCK, ASSIGNED = (literal(state, TASK_STATE) for state in TaskState)
WORK, SLOT, GOLD = (literal(purpose, PURPOSE) for purpose in (Purpose.WORK, Purpose.SLOT, Purpose.GOLD))

# Whoever gave a verdict does not label the image, and whoever had another part in it does
# not review it; a second review may be repeated in a later round, other reviews at any time.
_OWN_PART: dict[Stage, Part] = {
    Stage.FIRST_REVIEW: Part.FIRST_REVIEW,
    Stage.SECOND_REVIEW: Part.SECOND_REVIEW,
    Stage.ADJUDICATION: Part.ADJUDICATION,
}
# The smallest and the largest of a 16-bit number.
LEAST_PRIORITY, MOST_PRIORITY = -(2**15), 2**15 - 1

# The statements of the two hot endpoints are built once: building one takes many times longer
# than running it. Their parameters carry names that no column has.
_WHO = sa.bindparam("who", type_=Task.worker_id.type)
_TASK = sa.bindparam("of_task", type_=Task.id.type)
_TOKEN = sa.bindparam("with_token", type_=Task.token.type)
TASK_COLUMNS = tuple(Task.__table__.columns)

# Made once: an alias copies every column, and a claim would otherwise spend most of its time on that.
_SAME = sa.alias(Task.__table__, "same")
_ZERO, _ONE = (sa.literal_column(text, sa.Integer) for text in "01")


_LOCK_WORKER = Statement(
    sa.select(
        Worker.id,
        Worker.grade,
        sa.or_(Worker.suspended_at.is_not(None), Worker.erased_at.is_not(None)).label("barred"),
    )
    .where(Worker.id == _WHO)
    .with_for_update(key_share=True)
)


def lock_worker(conn: Connection, worker_id: int) -> AnyRow:
    """The person's grade, and whether they may work; locked: their requests come one after the other."""
    return _LOCK_WORKER.run(conn, {"who": worker_id}).one()


_TASK_ROW = Statement(sa.select(*TASK_COLUMNS).where(Task.id == _TASK))


def task_row(conn: Connection, task_id: int) -> AnyRow | None:
    """The task as it is now, unlocked."""
    return _TASK_ROW.run(conn, {"of_task": task_id}).one_or_none()


_TASK_AND_CLAIMANT = Statement(
    sa.select(*TASK_COLUMNS, Claim.worker_id.label("claimant_id"))
    .join_from(Task, Claim, sa.and_(Claim.task_id == Task.id, Claim.token == _TOKEN), isouter=True)
    .where(Task.id == _TASK)
)


def task_and_claimant(conn: Connection, task_id: int, token: int) -> AnyRow | None:
    """The task as it is now, unlocked, with `claimant_id`: who was given this token of it."""
    return _TASK_AND_CLAIMANT.run(conn, {"of_task": task_id, "with_token": token}).one_or_none()


_LOCK_TASK = Statement(
    sa.select(*TASK_COLUMNS, Submission.standing.label("answered"))
    .join_from(
        Task, Submission, sa.and_(Submission.task_id == Task.id, Submission.token == _TOKEN), isouter=True
    )
    .where(Task.id == _TASK)
    .with_for_update(key_share=True, of=Task)
)


def lock_task(conn: Connection, task_id: int, token: int) -> AnyRow:
    """The task, locked against reaper and claims; `answered`: what became of this token's answer, if any.

    The caller holds the lock on the token's owner, so no answer with it can come between.
    """
    return _LOCK_TASK.run(conn, {"of_task": task_id, "with_token": token}).one()


def may_not(
    worker_id: sa.ColumnElement[int] | int, stage: Stage, *, for_good: bool = False
) -> list[sa.ColumnElement[bool]]:
    """Conditions on a task of `stage` under which the person may not take it (flow.md, "Who may not").

    `for_good`: those alone that never pass; the other seat, once taken, may still be given back.
    """
    parts = sa.select(Participation.image_id).where(
        Participation.image_id == Task.image_id, Participation.worker_id == worker_id
    )
    own = _OWN_PART.get(stage)
    other_part = (
        Participation.part != literal(Part.LABELLED, PART)
        if own is None
        else Participation.part != literal(own, PART)
    )
    taken = sa.select(_SAME.c.id).where(
        _SAME.c.image_id == Task.image_id,
        _SAME.c.stage == Task.stage,
        _SAME.c.round == Task.round,
        _SAME.c.worker_id == worker_id,
        _SAME.c.state == DONE if for_good else _SAME.c.state.in_((LEASED, DONE)),
    )
    # The likelier first: where an image has several seats, somebody who has one meets the other ones.
    both = [parts.where(other_part), taken]
    rows = map(_look_up, both[::-1] if STAGES[stage].seats > 1 else both)
    return [
        # As `IS NULL` the planner would expect one task of two hundred to be free, and read whole heads of
        # queues to sort them; of what is not equal it expects nearly all.
        sa.func.coalesce(*rows, _ZERO) == _ONE,
        sa.and_(Task.excluded_id.is_not(None), Task.excluded_id == worker_id),
    ]


def _look_up(found: sa.Select[Any]) -> sa.ScalarSelect[Any]:
    """1 where there is such a row of the task at hand and the person, else null: asked task by task.

    As EXISTS it would be joined, and a planner that expects few tasks to do reads all that a person ever
    had part in, by way of everybody's parts, to keep it in a hash.
    """
    return found.with_only_columns(_ONE).limit(_ONE).correlate(Task, Worker).scalar_subquery()
