"""All SQL about tasks, claims and leases, each statement with the sentence that says why it is safe.

Everything here is SQLAlchemy Core on a Connection whose transaction the caller's edge opened.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, literal
from crowd.core.statements import Statement
from crowd.images.models import IMAGE_STATE, Image, ImageState
from crowd.policy import Grade, Stage
from crowd.tasks.flow import STAGES, Cause
from crowd.tasks.models import (
    PART,
    PURPOSE,
    TASK_STATE,
    Assignment,
    Claim,
    Miss,
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

REAP_BATCH = 500
# A gold seat that was let go waits so long for the person whose it was, and for nobody else.
REST = timedelta(days=1)
# The smallest and the largest of a 16-bit number.
LEAST_PRIORITY, MOST_PRIORITY = -(2**15), 2**15 - 1

# The statements of the two hot endpoints are built once: building one takes many times longer
# than running it. Their parameters carry names that no column has.
_WHO = sa.bindparam("who", type_=Task.worker_id.type)
_TASK = sa.bindparam("of_task", type_=Task.id.type)
_TOKEN = sa.bindparam("with_token", type_=Task.token.type)
_NOW = sa.bindparam("at_now", type_=Task.lease_until.type)
_UNTIL = sa.bindparam("until", type_=Task.lease_until.type)
_BATCH = sa.bindparam("in_batch", type_=Task.batch.type)
_TASK_COLUMNS = tuple(Task.__table__.columns)

# Made once: an alias copies every column, and a claim would otherwise spend most of its time on that.
_SAME = sa.alias(Task.__table__, "same")
_ZERO, _ONE = (sa.literal_column(text, sa.Integer) for text in "01")


_RUNS = sa.exists(
    sa.select(Assignment.id).where(Assignment.id == Task.assignment_id, Assignment.ended_at.is_(None))
)
# Where a task goes that nobody holds any more: to those it is assigned to, as long as it is.
_BACK: sa.ColumnElement[TaskState] = sa.case(
    (Task.assignment_id.is_(None), READY), (_RUNS, ASSIGNED), else_=READY
)
# Waits for nobody.
_UNRESERVED: dict[str, Any] = {"reserved_for": None, "reserved_until": None}


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


_TASK_ROW = Statement(sa.select(*_TASK_COLUMNS).where(Task.id == _TASK))


def task_row(conn: Connection, task_id: int) -> AnyRow | None:
    """The task as it is now, unlocked."""
    return _TASK_ROW.run(conn, {"of_task": task_id}).one_or_none()


_TASK_AND_CLAIMANT = Statement(
    sa.select(*_TASK_COLUMNS, Claim.worker_id.label("claimant_id"))
    .join_from(Task, Claim, sa.and_(Claim.task_id == Task.id, Claim.token == _TOKEN), isouter=True)
    .where(Task.id == _TASK)
)


def task_and_claimant(conn: Connection, task_id: int, token: int) -> AnyRow | None:
    """The task as it is now, unlocked, with `claimant_id`: who was given this token of it."""
    return _TASK_AND_CLAIMANT.run(conn, {"of_task": task_id, "with_token": token}).one_or_none()


_LOCK_TASK = Statement(
    sa.select(*_TASK_COLUMNS, Submission.standing.label("answered"))
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
    .returning(*_TASK_COLUMNS)
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


def end_rest(conn: Connection, task_id: int) -> None:
    """A shadow seat that was let go is over, as if somebody else had taken it."""
    conn.execute(
        sa.update(Task)
        .where(Task.id == task_id, Task.state == READY, Task.purpose != WORK)
        .values(state=TaskState.CLOSED, token=Task.token + 1, **_UNRESERVED)
    )


def somebody_took(conn: Connection, stage: Stage, worker_id: int, ends_from: datetime) -> bool:
    """Whether somebody else holds a task of the stage by a lease that ends at `ends_from` or later."""
    return (
        conn.execute(
            sa.select(Task.id)
            .where(
                Task.lease_until >= ends_from,
                Task.state == LEASED,
                Task.purpose == WORK,
                Task.stage == stage,
                Task.worker_id != worker_id,
            )
            .limit(1)
        ).first()
        is not None
    )


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


def close_open(conn: Connection, image_id: int) -> int:
    """Every open task of the image → closed; whoever holds one finds out by `superseded`."""
    return conn.execute(
        sa.update(Task)
        .where(Task.image_id == image_id, Task.state.in_((READY, LEASED, STUCK, ASSIGNED)))
        .values(
            state=TaskState.CLOSED,
            lease_until=None,
            reserved_for=None,
            reserved_until=None,
            batch=False,
        )
    ).rowcount


def _bind(name: str, column: Any) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=column.type)


_OPENED = (
    "bounced",
    "priority",
    "cause",
    "disputed",
    "excluded_id",
    "reserved_for",
    "reserved_until",
    "opened_at",
)


def _seats_so_far(image_id: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    # The image's lock is held: nobody adds a seat of the same number.
    return (
        sa.select(sa.func.coalesce(sa.func.max(_SAME.c.seat), 0))
        .where(
            _SAME.c.image_id == image_id,
            _SAME.c.stage == _bind("at_stage", Task.stage),
            _SAME.c.round == _bind("in_round", Task.round),
        )
        .scalar_subquery()
    )


_SEAT = {
    "stage": _bind("at_stage", Task.stage),
    "round": _bind("in_round", Task.round),
    "batch": sa.false(),
    "token": sa.literal_column("0"),
    **{name: _bind(f"with_{name}", Task.__table__.c[name]) for name in _OPENED},
}
_OF_IMAGE = _bind("of_image", Task.image_id)
_ADD_TASK = Statement(
    sa.insert(Task)
    .values(image_id=_OF_IMAGE, seat=_seats_so_far(_OF_IMAGE) + 1, state=READY, purpose=WORK, **_SEAT)
    .returning(Task.id)
)
# The seat, and one more for each number put aside beside the image: a slot next to it in the queue's order.
_ADD_TASK_AND_SLOTS = Statement(
    sa.insert(Task)
    .from_select(
        ["image_id", "seat", "state", "purpose", *_SEAT],
        sa.union_all(
            sa.select(_OF_IMAGE, _seats_so_far(_OF_IMAGE) + 1, READY, WORK, *_SEAT.values()),
            sa.select(Image.id, _seats_so_far(Image.__table__.c.id) + 1, CLOSED, SLOT, *_SEAT.values()).where(
                Image.duplicate_of == _OF_IMAGE, Image.state == literal(ImageState.SPARE, IMAGE_STATE)
            ),
        ),
    )
    .returning(Task.id)
)


def open_task(
    conn: Connection,
    image: AnyRow,
    stage: Stage,
    image_round: int,
    now: datetime,
    *,
    bounced: bool = False,
    cause: Cause | None = None,
    disputed: Stage | None = None,
    excluded_id: int | None = None,
    reserved_for: int | None = None,
    reserved_until: datetime | None = None,
) -> int:
    """A new seat, ready. The seat's number is the next one of its stage and round.

    Work that is done for the first time brings its slots along (docs/decisions/0011-shadow-seats.md).
    """
    is_first = image_round == 1 and cause is None and not bounced
    added = (_ADD_TASK_AND_SLOTS if is_first else _ADD_TASK).run(
        conn,
        {
            "of_image": image.id,
            "at_stage": stage,
            "in_round": image_round,
            "with_bounced": bounced,
            "with_priority": image.priority,
            "with_cause": cause,
            "with_disputed": disputed,
            "with_excluded_id": excluded_id,
            "with_reserved_for": reserved_for,
            "with_reserved_until": reserved_until,
            "with_opened_at": now,
        },
    )
    task_id: int = min(added.scalars())
    return task_id


def bring_forward(conn: Connection, task_ids: Collection[int]) -> list[int]:
    """Move new ready tasks, which nobody has claimed yet, one priority forward; returns which were moved.

    Those that somebody is just taking are passed over, so nobody waits. The token rises as if they had been
    claimed and come back: marks may stand behind their new place, and what came back is looked for before
    marks (docs/decisions/0004-where-a-search-begins.md). It keeps a task from coming forward twice, too.
    """
    unclaimed = sa.and_(
        Task.id.in_(sorted(task_ids)),
        Task.state == READY,
        Task.token == sa.literal_column("0"),
        Task.reserved_for.is_(None),
        Task.bounced == sa.false(),
        Task.priority > LEAST_PRIORITY,
    )
    chosen = sa.select(Task.id).where(unclaimed).order_by(Task.id).with_for_update(skip_locked=True)
    ids = list(conn.execute(chosen).scalars())
    if ids:
        moved = sa.update(Task).where(Task.id.in_(ids), unclaimed)
        conn.execute(moved.values(priority=Task.priority - 1, token=Task.token + 1))
    return ids


def may_be_reserved_for(conn: Connection, worker_id: int, grades: Collection[Grade]) -> bool:
    """Whether rework may wait for this person: in good standing and still of the grade."""
    return (
        conn.execute(
            sa.select(Worker.id).where(
                Worker.id == worker_id,
                Worker.suspended_at.is_(None),
                Worker.erased_at.is_(None),
                Worker.grade.in_(sorted(grades)),
            )
        ).one_or_none()
        is not None
    )


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
