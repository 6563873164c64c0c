"""All SQL of assignments: which run, for whom, and which tasks they keep."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.group_queries import IS_PRESENT
from crowd.accounts.models import Group, Membership, Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.images.models import Batch, Image
from crowd.policy import Grade, Stage
from crowd.tasks.models import Assignment, AssignmentEvent, AssignmentTurn, Task, TaskState
from crowd.tasks.queries import ASSIGNED, READY, may_not

_COLUMNS = tuple(Assignment.__table__.columns)
_RUNNING = Assignment.ended_at.is_(None)


def running_by_person(conn: Connection, now: datetime) -> Sequence[AnyRow]:
    """Who may take from which running assignments, group by group and person by person; soonest due first."""
    runs = (_RUNNING, Assignment.deadline > now)
    own = sa.select(Assignment.worker_id, Assignment.id, Assignment.stage, Assignment.deadline)
    through = (
        sa.select(Membership.worker_id, Assignment.id, Assignment.stage, Assignment.deadline)
        .join_from(Assignment, Membership, Membership.group_id == Assignment.group_id)
        .where(*runs, IS_PRESENT)
    )
    both = sa.union_all(own.where(*runs, Assignment.worker_id.is_not(None)), through).subquery()
    return conn.execute(sa.select(both).order_by(both.c.deadline, both.c.id)).all()


def add(conn: Connection, values: dict[str, Any]) -> int:
    """A new assignment's id."""
    statement = sa.insert(Assignment).values(taken=0, returned=0, seen_image_id=0, **values)
    added: int = conn.execute(statement.returning(Assignment.id)).scalar_one()
    return added


def record(
    conn: Connection,
    assignment_id: int,
    what: AssignmentTurn,
    *,
    by: int | None,
    reason: str,
    at: datetime,
) -> None:
    """Append what happened."""
    values = {"assignment_id": assignment_id, "at": at, "what": what, "actor_id": by, "reason": reason}
    conn.execute(sa.insert(AssignmentEvent).values(values))


def has_batch(conn: Connection, batch_id: int) -> bool:
    """Whether there is such a batch."""
    return conn.execute(sa.select(Batch.id).where(Batch.id == batch_id)).first() is not None


def lock(conn: Connection, assignment_id: int, *, wait: bool) -> AnyRow | None:
    """The assignment, locked; None if there is none, or (without `wait`) somebody works on it."""
    query = sa.select(*_COLUMNS).where(Assignment.id == assignment_id)
    return conn.execute(query.with_for_update(key_share=True, skip_locked=not wait)).one_or_none()


def change(conn: Connection, assignment_id: int, **values: Any) -> None:
    """Write some of its fields; the caller holds its lock."""
    conn.execute(sa.update(Assignment).where(Assignment.id == assignment_id).values(**values))


def running(conn: Connection) -> Sequence[int]:
    """Every assignment that has not ended."""
    return conn.execute(sa.select(Assignment.id).where(_RUNNING).order_by(Assignment.id)).scalars().all()


def overdue(conn: Connection, now: datetime) -> Sequence[int]:
    """Those whose deadline has come and that nobody has ended."""
    return conn.execute(sa.select(Assignment.id).where(_RUNNING, Assignment.deadline <= now)).scalars().all()


def ended_since(conn: Connection, moment: datetime) -> Sequence[int]:
    """Those that ended after a moment."""
    return conn.execute(sa.select(Assignment.id).where(Assignment.ended_at > moment)).scalars().all()


def of_person(conn: Connection, worker_id: int, kept: Sequence[Stage]) -> Sequence[int]:
    """The running assignments of this person alone, but those at the stages `kept`."""
    query = sa.select(Assignment.id).where(_RUNNING, Assignment.worker_id == worker_id)
    return conn.execute(query.where(Assignment.stage.not_in(list(kept)))).scalars().all()


def has_able_member(conn: Connection, group_id: int, grades: Collection[Grade]) -> bool:
    """Whether somebody in good standing who belongs to the group is of one of these grades."""
    found = sa.select(Worker.id).where(_belongs(group_id), *_in_good_standing(grades)).limit(1)
    return conn.execute(found).first() is not None


def _belongs(group_id: int) -> sa.ColumnElement[bool]:
    return Worker.id.in_(sa.select(Membership.worker_id).where(Membership.group_id == group_id, IS_PRESENT))


def _in_good_standing(grades: Collection[Grade]) -> tuple[sa.ColumnElement[bool], ...]:
    return Worker.suspended_at.is_(None), Worker.erased_at.is_(None), Worker.grade.in_(sorted(grades))


def _able(assignment: AnyRow, grades: Collection[Grade]) -> sa.ColumnElement[bool]:
    """Somebody whom the assignment is for may take the task at hand, now or when they let another seat go."""
    holds = (
        _belongs(assignment.group_id) if assignment.worker_id is None else Worker.id == assignment.worker_id
    )
    barred = may_not(Worker.__table__.c.id, assignment.stage, for_good=True)
    found = sa.select(Worker.id).where(holds, *_in_good_standing(grades), *(~each for each in barred))
    return sa.exists(found.correlate(Task))


def _waiting(assignment: AnyRow, grades: Collection[Grade], limit: int) -> AnySelect:
    """New tasks of the stage that nobody has or is reserved, and that somebody may take whom it is for."""
    may = (
        [_able(assignment, grades)]
        if assignment.worker_id is None
        else [~condition for condition in may_not(assignment.worker_id, assignment.stage)]
    )
    return (
        sa.select(Task.id)
        .where(
            Task.state == READY,
            Task.reserved_for.is_(None),
            Task.stage == assignment.stage,
            Task.bounced == sa.false(),
            *may,
        )
        .limit(limit)
        # What somebody is taking at this moment is theirs; what is taken here nobody finds.
        .with_for_update(skip_locked=True, key_share=True, of=Task)
    )


def head_of_queue(conn: Connection, assignment: AnyRow, grades: Collection[Grade], limit: int) -> list[int]:
    """The first tasks in the order of claims, locked. `grades`: those that work at the stage."""
    query = _waiting(assignment, grades, limit).order_by(Task.priority, Task.id)
    return list(conn.execute(query).scalars())


def next_of_batch(
    conn: Connection, assignment: AnyRow, grades: Collection[Grade], limit: int
) -> tuple[list[int], int | None]:
    """Tasks of the next `limit` images of the batch, locked; and the last of these, None at its end."""
    images = conn.execute(
        sa.select(Image.id)
        .where(Image.batch_id == assignment.batch_id, Image.id > assignment.seen_image_id)
        .order_by(Image.id)
        .limit(limit)
    ).scalars()
    ids = list(images)
    # The second seats of images may make it more.
    query = (
        _waiting(assignment, grades, 2 * limit).where(Task.image_id.in_(ids)).order_by(Task.image_id, Task.id)
    )
    tasks = list(conn.execute(query).scalars()) if ids else []
    return tasks, ids[-1] if len(ids) == limit else None


def keep(conn: Connection, assignment_id: int, task_ids: Sequence[int]) -> int:
    """Ready → assigned. The caller has locked them. Returns how many."""
    statement = sa.update(Task).where(Task.id.in_(task_ids), Task.state == READY)
    return conn.execute(statement.values(state=TaskState.ASSIGNED, assignment_id=assignment_id)).rowcount


def give_back(conn: Connection, assignment_id: int, limit: int) -> int:
    """Assigned → ready, up to `limit` tasks. Returns how many."""
    found = sa.select(Task.id).where(Task.assignment_id == assignment_id, Task.state == ASSIGNED)
    return _give_back(conn, found.limit(limit))


def give_back_barred(conn: Connection, assignment: AnyRow, grades: Collection[Grade], limit: int) -> int:
    """Assigned → ready, of the first `limit` tasks in line those that nobody may take whom it is for.

    What nobody takes comes to stand in front. Returns how many.
    """
    here = (Task.assignment_id == assignment.id, Task.state == ASSIGNED)
    line = sa.select(Task.id).where(*here, Task.stage == assignment.stage)
    first = conn.execute(line.order_by(Task.priority, Task.id).limit(limit)).scalars().all()
    if not first:
        return 0
    return _give_back(conn, sa.select(Task.id).where(Task.id.in_(first), ~_able(assignment, grades)))


def _give_back(conn: Connection, found: sa.Select[int]) -> int:
    """Assigned → ready.

    A token of 0 becomes 1, which nobody was given: it says that the task was away, so that searches that
    begin further on find it (`ix_tasks_returned`). Any other stays, and with it a late answer's right.
    """
    locked = found.with_for_update(skip_locked=True, key_share=True, of=Task)
    ids = list(conn.execute(locked).scalars())
    away = sa.case((Task.token == 0, 1), else_=Task.token)
    statement = sa.update(Task).where(Task.id.in_(ids), Task.state == ASSIGNED)
    return conn.execute(statement.values(state=TaskState.READY, token=away)).rowcount if ids else 0


def listed(
    conn: Connection, *, after: int | None, limit: int, only: int | None = None, runs: bool = False
) -> Sequence[AnyRow]:
    """Assignments with ids beyond `after`, or one, with the names of what they are about."""
    made, ended = (sa.alias(AssignmentEvent.__table__, name) for name in ("made", "ended"))
    by = sa.alias(Worker.__table__, "by")
    query = (
        sa.select(
            *_COLUMNS,
            Worker.username,
            Group.name.label("group_name"),
            Batch.name.label("batch_name"),
            by.c.username.label("made_by"),
            made.c.reason.label("reason"),
            ended.c.reason.label("end_reason"),
        )
        .outerjoin(Worker, Worker.id == Assignment.worker_id)
        .outerjoin(Group, Group.id == Assignment.group_id)
        .outerjoin(Batch, Batch.id == Assignment.batch_id)
        .outerjoin(made, _event(made, AssignmentTurn.MADE))
        .outerjoin(ended, _event(ended, AssignmentTurn.ENDED))
        .outerjoin(by, by.c.id == made.c.actor_id)
        .order_by(Assignment.id)
        .limit(limit)
    )
    if only is not None:
        query = query.where(Assignment.id == only)
    if runs:
        query = query.where(_RUNNING)
    return conn.execute(query if after is None else query.where(Assignment.id > after)).all()


def _event(events: Any, what: AssignmentTurn) -> sa.ColumnElement[bool]:
    return sa.and_(events.c.assignment_id == Assignment.id, events.c.what == what)


def counted(conn: Connection, assignment_ids: Sequence[int]) -> dict[int, dict[TaskState, int]]:
    """How many of their tasks stand where; read from the assignments' own index."""
    query = (
        sa.select(Task.assignment_id, Task.state, sa.func.count().label("tasks"))
        .where(Task.assignment_id.in_(assignment_ids))
        .group_by(Task.assignment_id, Task.state)
    )
    found: dict[int, dict[TaskState, int]] = {each: {} for each in assignment_ids}
    for row in conn.execute(query):
        found[row.assignment_id][row.state] = row.tasks
    return found
