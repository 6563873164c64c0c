"""The SQL of leases: tasks are taken, kept, let go and finished, and wait for people and cease to.

Everything here is SQLAlchemy Core on a Connection whose transaction the caller's edge opened.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.statements import Statement
from crowd.policy import Stage
from crowd.tasks.models import Assignment, Claim, Miss, Task, TaskState
from crowd.tasks.queries import (
    ASSIGNED,
    CLOSED,
    DONE,
    GOLD,
    LEASED,
    READY,
    STUCK,
    TASK_COLUMNS,
    WORK,
    may_not,
)

REAP_BATCH = 500
# A gold seat that was let go waits so long for the person whose it was, and for nobody else.
REST = timedelta(days=1)
# Waits for nobody.
_UNRESERVED: dict[str, Any] = {"reserved_for": None, "reserved_until": None}

_WHO = sa.bindparam("who", type_=Task.worker_id.type)
_TASK = sa.bindparam("of_task", type_=Task.id.type)
_TOKEN = sa.bindparam("with_token", type_=Task.token.type)
_NOW = sa.bindparam("at_now", type_=Task.lease_until.type)
_UNTIL = sa.bindparam("until", type_=Task.lease_until.type)
_BATCH = sa.bindparam("in_batch", type_=Task.batch.type)

_RUNS = sa.exists(
    sa.select(Assignment.id).where(Assignment.id == Task.assignment_id, Assignment.ended_at.is_(None))
)
# Where a task goes that nobody holds any more: to those it is assigned to, as long as it is.
_BACK: sa.ColumnElement[TaskState] = sa.case(
    (Task.assignment_id.is_(None), READY), (_RUNS, ASSIGNED), else_=READY
)


# Through COALESCE, lest the planner reads everybody's leases by their end.
_UNEXPIRED = sa.func.coalesce(Task.lease_until, _NOW) > _NOW
_HELD = Statement(
    sa.select(sa.func.count())
    .select_from(Task)
    .where(Task.state == LEASED, Task.worker_id == _WHO, _UNEXPIRED, Task.batch == _BATCH)
)


def held(conn: Connection, worker_id: int, now: datetime, *, batch: bool) -> int:
    """How many unexpired leases the person holds (in the grid, or outside of it)."""
    found: int = _HELD.run(conn, {"who": worker_id, "at_now": now, "in_batch": batch}).scalar_one()
    return found


def leases_of(conn: Connection, worker_id: int, now: datetime) -> Sequence[AnyRow]:
    """The person's unexpired leases, oldest task first."""
    return conn.execute(
        sa.select(Task.id, Task.stage, Task.token, Task.lease_until, Task.purpose)
        .where(Task.state == LEASED, Task.worker_id == _WHO, _UNEXPIRED)
        .order_by(Task.id),
        {"who": worker_id, "at_now": now},
    ).all()


_TAKE = Statement(
    sa.update(Task)
    .where(
        Task.id.in_(sa.bindparam("of_tasks", type_=Task.id.type, expanding=True)),
        Task.state.in_((READY, ASSIGNED)),
    )
    .values(
        state=LEASED,
        worker_id=_WHO,
        lease_until=_UNTIL,
        token=Task.token + 1,
        batch=_BATCH,
        taxonomy_id=sa.bindparam("by_taxonomy", type_=Task.taxonomy_id.type),
    )
    .returning(*TASK_COLUMNS)
)
_ADD_CLAIM = Statement(sa.insert(Claim))


def take(
    conn: Connection,
    task_ids: Sequence[int],
    worker_id: int,
    taxonomy_id: int,
    now: datetime,
    until: datetime,
    *,
    batch: bool = False,
) -> Sequence[AnyRow]:
    """Ready → leased, each with its next token; the tasks in the order of their ids.

    The caller has locked them and found them ready.
    """
    taken = {
        "of_tasks": task_ids,
        "who": worker_id,
        "until": until,
        "in_batch": batch,
        "by_taxonomy": taxonomy_id,
    }
    tasks = sorted(_TAKE.run(conn, taken), key=lambda task: task.id)
    assert len(tasks) == len(task_ids), "they were locked when they were found ready"
    claims = [{"task_id": task.id, "token": task.token, "worker_id": worker_id, "at": now} for task in tasks]
    if len(claims) == 1:
        _ADD_CLAIM.change(conn, claims[0])
    else:
        conn.execute(sa.insert(Claim).values(claims))
    return tasks


def took_again(conn: Connection, task: AnyRow, worker_id: int) -> bool:
    """Whether the person has taken another seat of the task's stage and round by now."""
    return (
        conn.execute(
            sa.select(Task.id)
            .where(
                Task.image_id == task.image_id,
                Task.stage == task.stage,
                Task.round == task.round,
                Task.id != task.id,
                Task.worker_id == worker_id,
                Task.state.in_((LEASED, DONE)),
            )
            .limit(1)
        ).first()
        is not None
    )


def extend(conn: Connection, task_id: int, token: int, worker_id: int, until: datetime) -> bool:
    """Keep or win back a lease, as long as the token is the newest and nobody else holds the task."""
    return (
        conn.execute(
            sa.update(Task)
            .where(
                Task.id == task_id,
                Task.token == token,
                Task.state.in_((LEASED, READY, STUCK, ASSIGNED)),
            )
            .values(state=TaskState.LEASED, worker_id=worker_id, lease_until=until)
        ).rowcount
        == 1
    )


def _let_go() -> sa.Case[TaskState]:
    """Where a lease that ends leaves its task: ready; but another shadow seat than gold is over."""
    return sa.case((Task.purpose.in_((WORK, GOLD)), _BACK), else_=CLOSED)


def _rest(holder: sa.ColumnElement[int | None], now: datetime) -> dict[str, sa.ColumnElement[Any]]:
    """Gold that is let go is kept for whom it was given to, and out of everybody else's sight.

    Like a task that went back to its place in the queue it comes first in that person's claims.
    """
    until = sa.literal(now + REST, Task.reserved_until.type)
    return {
        "reserved_for": sa.case((Task.purpose == GOLD, holder), else_=sa.null()),
        "reserved_until": sa.case((Task.purpose == GOLD, until), else_=sa.null()),
    }


def put_back(conn: Connection, task_id: int, token: int, worker_id: int, now: datetime) -> bool:
    """Leased (or expired) → ready where it stood; the token moves on, so the old one is spent.

    What is stuck meanwhile stays stuck.
    """
    holder = sa.literal(worker_id, Task.reserved_for.type)
    return (
        conn.execute(
            sa.update(Task)
            .where(Task.id == task_id, Task.token == token, Task.state.in_((LEASED, READY, STUCK, ASSIGNED)))
            .values(
                state=sa.case((Task.state == STUCK, STUCK), else_=_let_go()),
                worker_id=None,
                lease_until=None,
                batch=False,
                token=Task.token + 1,
                **_rest(holder, now),
            )
        ).rowcount
        == 1
    )


def expired(conn: Connection, now: datetime, limit: int = REAP_BATCH) -> Sequence[AnyRow]:
    """Leases that have run out, locked; SKIP LOCKED lets two reapers share the work."""
    return conn.execute(
        sa.select(Task.id, Task.token, Task.worker_id)
        .where(Task.state == LEASED, Task.lease_until <= now)
        .order_by(Task.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()


def lapse(conn: Connection, task_id: int, token: int, now: datetime) -> bool:
    """Leased and expired → ready.

    The token stays, so that a late answer still counts; `batch` too, for a late heartbeat.
    """
    rest = sa.literal(now + REST, Task.reserved_until.type)
    return (
        conn.execute(
            sa.update(Task)
            .where(
                Task.id == task_id,
                Task.token == token,
                Task.state == LEASED,
                Task.lease_until <= now,
            )
            .values(
                state=_let_go(),
                worker_id=None,
                lease_until=None,
                reserved_for=sa.case((Task.purpose == GOLD, Task.worker_id), else_=Task.reserved_for),
                reserved_until=sa.case((Task.purpose == GOLD, rest), else_=Task.reserved_until),
            )
        ).rowcount
        == 1
    )


def end_reservations(conn: Connection, now: datetime) -> int:
    """Rework whose author did not come is opened to everybody allowed; a shadow seat is over.

    Rows another process works on are passed over, as in `expired`: two that wait for each other's would stop.
    """
    ended = sa.and_(Task.state == READY, Task.reserved_for.is_not(None), Task.reserved_until <= now)
    oldest = sa.select(Task.id).where(ended).order_by(Task.reserved_until).limit(REAP_BATCH)
    ids = list(conn.execute(oldest.with_for_update(skip_locked=True, key_share=True)).scalars())
    statement = sa.update(Task).where(Task.id.in_(ids), ended)
    return conn.execute(statement.values(**_UNRESERVED, **_over())).rowcount if ids else 0


def _over() -> dict[str, sa.ColumnElement[Any]]:
    """What else becomes of a task that waits for nobody any more: a shadow seat closes, its token is spent.

    A token of 0 becomes 1, which nobody was given: it says that the task was kept from the others, so that
    those whose searches begin further on by now find it (`ix_tasks_returned`). Who holds a task may finish
    it, whatever has become of the reservation.
    """
    over = sa.and_(Task.purpose != WORK, Task.state == READY)
    was_kept = sa.and_(Task.state == READY, Task.token == 0)
    return {
        "state": sa.case((over, CLOSED), else_=Task.state),
        "token": sa.case((over, Task.token + 1), (was_kept, 1), else_=Task.token),
    }


def note_miss(conn: Connection, task_id: int, worker_id: int, skip_until: datetime | None) -> int:
    """Remember that the person let the task go. Returns how many different people have by now."""
    changed = conn.execute(
        sa.update(Miss)
        .where(Miss.task_id == task_id, Miss.worker_id == worker_id)
        .values(
            skip_until=sa.func.coalesce(
                sa.bindparam("until", skip_until, Miss.skip_until.type), Miss.skip_until
            )
        )
    ).rowcount
    if not changed:
        conn.execute(sa.insert(Miss).values(task_id=task_id, worker_id=worker_id, skip_until=skip_until))
    return conn.execute(
        sa.select(sa.func.count()).select_from(Miss).where(Miss.task_id == task_id)
    ).scalar_one()


def forget_misses(conn: Connection, task_id: int) -> None:
    """A task that got its answer is stuck no longer."""
    conn.execute(sa.delete(Miss).where(Miss.task_id == task_id))


def mark_stuck(conn: Connection, task_id: int) -> None:
    """Ready → stuck: out of the queue, shown to admins."""
    waits = Task.state.in_((READY, ASSIGNED))
    conn.execute(sa.update(Task).where(Task.id == task_id, waits).values(state=TaskState.STUCK))


_FINISH = Statement(
    sa.update(Task)
    .where(Task.id == _TASK, Task.token == _TOKEN, Task.state.in_((LEASED, READY, STUCK, ASSIGNED)))
    .values(
        state=DONE,
        worker_id=_WHO,
        lease_until=None,
        batch=False,
        reserved_for=None,
        reserved_until=None,
    )
)


def finish(conn: Connection, task_id: int, token: int, worker_id: int) -> bool:
    """→ done, by the newest token only; also when the lease ran out and nobody else has claimed."""
    by = {"of_task": task_id, "with_token": token, "who": worker_id}
    return _FINISH.change(conn, by) == 1


def somebody_holds(conn: Connection, worker_id: int, stages: Sequence[Stage], now: datetime) -> bool:
    """Whether work this person could do is leased to, reserved for or assigned to somebody else."""
    for stage in stages:
        allowed = [~condition for condition in may_not(worker_id, stage)]
        leased = sa.select(Task.id).where(
            Task.state == LEASED,
            Task.stage == stage,
            Task.worker_id != worker_id,
            Task.purpose == WORK,
            *allowed,
        )
        reserved = sa.select(Task.id).where(
            Task.state == READY,
            Task.stage == stage,
            Task.reserved_for.is_not(None),
            Task.reserved_for != worker_id,
            Task.purpose == WORK,
            *allowed,
        )
        assigned = sa.select(Task.id).where(Task.state == ASSIGNED, Task.stage == stage, *allowed)
        for statement in (leased, reserved, assigned):
            if conn.execute(statement.limit(1)).first() is not None:
                return True
    return False


def end_leases_of(conn: Connection, worker_id: int) -> list[int]:
    """Every lease of the person ends; the tokens are spent. Returns the tasks."""
    return list(
        conn.execute(
            sa.update(Task)
            .where(Task.state == LEASED, Task.worker_id == worker_id)
            .values(
                state=sa.case((Task.purpose == WORK, _BACK), else_=CLOSED),
                worker_id=None,
                lease_until=None,
                batch=False,
                token=Task.token + 1,
            )
            .returning(Task.id)
        ).scalars()
    )


def end_reservations_of(conn: Connection, worker_id: int, kept: Collection[Stage]) -> None:
    """Rework no longer waits for this person, but at the stages `kept`."""
    statement = sa.update(Task).where(Task.state.in_((READY, LEASED)), Task.reserved_for == worker_id)
    if kept:
        statement = statement.where(Task.stage.not_in(list(kept)))
    conn.execute(statement.values(**_UNRESERVED, **_over()))
