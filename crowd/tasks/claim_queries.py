"""The SQL of a claim's search: which task comes next for a person.

Each lane of the queue (a stage, bounced or not) is read from the head of a partial index and never
sorted. Several lanes are one statement of `UNION ALL` branches under one LIMIT: PostgreSQL and SQLite
both run the branches one after the other and stop at the first row, so what comes later costs nothing.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow, AnySelect
from crowd.core.statements import Statement
from crowd.policy import Stage
from crowd.tasks.marks import LIFE_SECONDS, Horizon, MarkBook, Marks, Sighting
from crowd.tasks.models import Miss, QueueMark, Task
from crowd.tasks.queries import ASSIGNED, LEAST_PRIORITY, MOST_PRIORITY, READY, may_not

# Longer than any transaction that opens tasks can live (idle ones are ended after a minute): of tasks
# older than this none with a smaller id is still to appear.
SETTLED_AFTER = timedelta(seconds=90)

# A mark is one more range to search: only where it spares so many tasks, and not at every priority.
LEAST_PASSED = 50
MOST_MARKS = 3

# Priorities looked at for marks, best first.
MOST_PRIORITIES = 16

UNKNOWN = Horizon()
# Of so many of the newest tasks the priorities are looked at.
NEWEST = 32

_WHO = sa.bindparam("who", type_=Task.worker_id.type)
_NOW = sa.bindparam("at_now", type_=Task.lease_until.type)
_SETTLED = sa.bindparam("opened_before", type_=Task.opened_at.type)
_AT_MOST = sa.bindparam("at_most", type_=sa.Integer)
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_FOUND = (Task.id, Task.image_id, Task.stage, Task.priority, Task.bounced, Task.purpose, Task.reserved_until)


def next_rework(
    conn: Connection,
    worker_id: int,
    stages: Sequence[Stage],
    now: datetime,
    assigned: Sequence["Assigned"] = (),
) -> AnyRow | None:
    """Work reserved for this person, else assigned to them, else what was bounced to one of `stages`.

    In the order of `assigned` and `stages`.

    SKIP LOCKED: a task that somebody else is taking at this moment is passed over, so nobody
    waits and nobody gets it twice.
    """
    own = [each for each in assigned if each.stage in stages]
    values = {"who": worker_id, "at_now": now, "at_most": 1, **_assignments(own)}
    return _rework(tuple(stages), tuple(each.stage for each in own)).run(conn, values).first()


def assigned_at(
    conn: Connection,
    worker_id: int,
    stage: Stage,
    assigned: Sequence["Assigned"],
    now: datetime,
    *,
    limit: int,
) -> Sequence[AnyRow]:
    """The first tasks of one stage that are assigned to this person, and that they may take; locked."""
    own = [each for each in assigned if each.stage is stage]
    if not own:
        return []
    values = {"who": worker_id, "at_now": now, "at_most": limit, **_assignments(own)}
    return _assigned_lanes(stage, len(own)).run(conn, values).all()


def next_new(
    conn: Connection, worker_id: int, stage: Stage, marks: Marks, now: datetime, *, limit: int = 1
) -> Sequence[AnyRow]:
    """The first tasks of one stage that were not bounced and that this person may take; locked as above."""
    values = {"who": worker_id, "at_now": now, "at_most": limit, **_places(marks)}
    return _new(stage, len(marks.by_priority)).run(conn, values).all()


def bounced_at(
    conn: Connection, worker_id: int, stage: Stage, now: datetime, *, limit: int
) -> Sequence[AnyRow]:
    """The first tasks bounced to one stage that this person may take; locked as above."""
    return _bounced_lane(stage).run(conn, {"who": worker_id, "at_now": now, "at_most": limit}).all()


def first_open(conn: Connection, worker_id: int, stage: Stage, marks: Marks) -> AnyRow | None:
    """The first new task from the marks on that the person may take now or later.

    It is read without a lock, so a task that somebody is just taking counts as ready, and stays in sight
    should they roll back.
    """
    values = {"who": worker_id, "at_most": 1, **_places(marks)}
    return conn.execute(_first_open(stage, len(marks.by_priority)), values).first()


def marks_before(
    conn: Connection,
    stage: Stage,
    marks: Marks,
    end: AnyRow | None,
    now: datetime,
    seen: Horizon = UNKNOWN,
) -> dict[int, int]:
    """By priority, the id before which nothing new is or will be for a person; where it is worth a mark.

    `end`: their `first_open` from `marks` on. No mark goes beyond what is `seen` and the last task that
    is settled: one that commits late may stand there.
    """
    settled, beyond = now - SETTLED_AFTER, seen.task_id + 1
    known = {
        priority: max(mark, beyond)
        for priority, mark in marks.by_priority.items()
        if end is None or priority < end.priority
    }
    if end is None:
        # What passes through an empty queue leaves dead rows, at the priorities that tasks have today.
        known |= {priority: beyond for priority in seen.priorities[:MOST_MARKS] if priority not in known}
    moved = {
        priority: _behind_settled(conn, stage, priority, settled, mark) for priority, mark in known.items()
    }
    moved |= _long_runs(conn, stage, end, known, settled)
    if end is not None and end.opened_at < settled:
        moved[end.priority] = end.id
    elif end is not None:
        mark = max(marks.by_priority.get(end.priority, 1), min(beyond, end.id))
        moved[end.priority] = _behind_settled(conn, stage, end.priority, settled, mark, before=end.id)
    worth = [(priority, mark) for priority, mark in moved.items() if mark > 1]
    return dict(worth[-MOST_MARKS:])


def horizon(conn: Connection, book: MarkBook) -> Horizon:
    """Up to where all tasks are in sight, looked at anew when it is time."""
    if book.wants_sighting():
        rows = conn.execute(_NEWEST[conn.dialect.name], {}).all()
        if rows:
            newest = rows[0]
            priorities = tuple(sorted({row.priority for row in rows}))
            book.sight(Sighting(newest.id, priorities, newest.running_from, newest.running_to))
    return book.horizon


def _behind_settled(
    conn: Connection, stage: Stage, priority: int, settled: datetime, mark: int, before: int = sys.maxsize
) -> int:
    """The id after the last settled task of a priority, or the mark where none stands behind it.

    What stands before the mark is not read again: while an old snapshot is held, that is every task
    that was claimed since.
    """
    values = {
        "at_stage": stage,
        "at_priority": priority,
        "mark": mark,
        "before": before,
        "opened_before": settled,
    }
    last = conn.execute(_LAST_SETTLED, values).first()
    return mark if last is None else int(last.id) + 1


def _long_runs(
    conn: Connection, stage: Stage, end: AnyRow | None, known: Collection[int], settled: datetime
) -> dict[int, int]:
    """Marks behind what stands before `end` at better priorities than its own, where that is much.

    From one priority to the next, not over all that stands there: this may be asked at every claim of
    somebody for whom the stage holds nothing.
    """
    long: dict[int, tuple[int, int]] = {}
    beyond = LEAST_PRIORITY
    last = MOST_PRIORITY if end is None else end.priority - 1
    for _ in range(MOST_PRIORITIES):
        step = {"at_stage": stage, "beyond": beyond, "last": last}
        found = conn.execute(_NEXT_PRIORITY, step).first()
        if found is None:
            break
        beyond = found.priority
        here = {"at_stage": stage, "at_priority": beyond, "passed": LEAST_PASSED - 1}
        if beyond not in known and conn.execute(_FAR, here).first() is not None:
            mark = _behind_settled(conn, stage, beyond, settled, found.id)
            long[beyond] = (mark - found.id, mark)
    return {priority: mark for priority, (_, mark) in sorted(long.items(), key=lambda run: run[1])}


class Kept(NamedTuple):
    """A person's marks as the database has them, by priority, and their age in seconds."""

    by_priority: dict[int, int]
    age: float


def kept_marks(conn: Connection, worker_id: int, stage: Stage, now: datetime) -> Kept:
    """The marks of a person that some process kept, if they are not too old to be used."""
    found = conn.execute(
        _KEPT, {"who": worker_id, "at_stage": stage, "made_after": now - timedelta(seconds=LIFE_SECONDS)}
    ).first()
    if found is None:
        return Kept({}, 0.0)
    # JSON has no other keys than text.
    by_priority = {int(priority): mark for priority, mark in found.by_priority.items()}
    return Kept(by_priority, max(0.0, (now - found.made_at).total_seconds()))


def keep_marks(
    conn: Connection, worker_id: int, stage: Stage, by_priority: Mapping[int, int], made_at: datetime
) -> None:
    """Have every process begin there. With the claim's transaction, so that they hold what it saw."""
    marks = {str(priority): mark for priority, mark in by_priority.items()}
    kept = {"worker_id": worker_id, "stage": stage, "by_priority": marks, "made_at": made_at}
    conn.execute(_KEEP[conn.dialect.name], kept)


def _places(marks: Marks) -> dict[str, int]:
    ordered = sorted(marks.by_priority.items())
    return {
        name: value
        for place, (priority, task_id) in enumerate(ordered)
        for name, value in ((f"priority_{place}", priority), (f"mark_{place}", task_id))
    }


class Assigned(NamedTuple):
    """An assignment that runs, and the stage whose tasks it keeps."""

    id: int
    stage: Stage


def _assignments(own: Sequence[Assigned]) -> dict[str, int]:
    return {f"assignment_{place}": each.id for place, each in enumerate(own)}


def _assigned(stage: Stage, place: int) -> AnySelect:
    """One assignment's queue. Who-may-not holds here as everywhere."""
    assignment: sa.BindParameter[int] = sa.bindparam(f"assignment_{place}", type_=Task.id.type)
    return (
        sa.select(*_FOUND)
        .where(
            Task.state == ASSIGNED,
            Task.assignment_id == assignment,
            Task.stage == stage,
            *(~condition for condition in may_not(_WHO, stage)),
            ~_skipped(),
        )
        .order_by(Task.priority, Task.id)
        .limit(_AT_MOST)
        .with_for_update(skip_locked=True, key_share=True)
    )


@cache
def _assigned_lanes(stage: Stage, count: int) -> Statement:
    return Statement(_one_after_the_other([_assigned(stage, place) for place in range(count)]))


@cache
def _rework(stages: tuple[Stage, ...], assigned: tuple[Stage, ...]) -> Statement:
    reserved = (
        sa.select(*_FOUND)
        .where(
            Task.state == READY,
            Task.reserved_for == _WHO,
            # Through COALESCE, lest the planner finds all that is reserved by its end, and sorts it.
            sa.func.coalesce(Task.reserved_until, _NOW) > _NOW,
            Task.stage.in_(stages),
            ~_skipped(),
        )
        .order_by(Task.id)
        .limit(_AT_MOST)
        .with_for_update(skip_locked=True, key_share=True)
    )
    theirs = [_assigned(stage, place) for place, stage in enumerate(assigned)]
    bounced = [_lane(stage, bounced=True) for stage in stages]
    return Statement(_one_after_the_other([reserved, *theirs, *bounced]))


@cache
def _bounced_lane(stage: Stage) -> Statement:
    return Statement(_lane(stage, bounced=True))


@cache
def _new(stage: Stage, marks: int) -> Statement:
    return Statement(_one_after_the_other([_lane(stage, *place) for place in _ranges(marks)]))


def _lane(stage: Stage, *place: sa.ColumnElement[bool], bounced: bool = False) -> AnySelect:
    return (
        _ready(stage, *place, bounced=bounced)
        .where(*(~condition for condition in may_not(_WHO, stage)), ~_skipped())
        .with_for_update(skip_locked=True, key_share=True)
    )


def _ready(stage: Stage, *place: sa.ColumnElement[bool], bounced: bool = False) -> AnySelect:
    return (
        sa.select(*_FOUND)
        .where(
            Task.state == READY,
            Task.reserved_for.is_(None),
            Task.stage == stage,
            Task.bounced == (sa.true() if bounced else sa.false()),
            *place,
        )
        .order_by(Task.priority, Task.id)
        .limit(_AT_MOST)
    )


def _ranges(marks: int, *, with_returned: bool = True) -> Iterator[list[sa.ColumnElement[bool]]]:
    """The queue in order, without the part before each mark but for what came back into it."""
    after: list[sa.ColumnElement[bool]] = []
    for place in range(marks):
        priority: sa.BindParameter[int] = sa.bindparam(f"priority_{place}", type_=Task.priority.type)
        mark: sa.BindParameter[int] = sa.bindparam(f"mark_{place}", type_=Task.id.type)
        here = Task.priority == priority
        yield [*after, Task.priority < priority]
        if with_returned:
            yield [here, Task.id < mark, Task.token > _ZERO]
        yield [here, Task.id >= mark]
        after = [Task.priority > priority]
    yield after


@cache
def _first_open(stage: Stage, marks: int) -> AnySelect:
    barred = may_not(_WHO, stage, for_good=True)
    return _one_after_the_other(
        [
            _ready(stage, *place).add_columns(Task.opened_at).where(*(~condition for condition in barred))
            for place in _ranges(marks, with_returned=False)
        ]
    )


_NEW_AT_STAGE = sa.and_(
    Task.state == READY,
    Task.reserved_for.is_(None),
    Task.stage == sa.bindparam("at_stage", type_=Task.stage.type),
    Task.bounced == sa.false(),
)
_NEXT_PRIORITY = (
    sa.select(Task.priority, Task.id)
    .where(
        _NEW_AT_STAGE,
        Task.priority > sa.bindparam("beyond", type_=Task.priority.type),
        # The end is where the search stopped, and dead rows may stand between the head and there.
        Task.priority <= sa.bindparam("last", type_=Task.priority.type),
    )
    .order_by(Task.priority, Task.id)
    .limit(1)
)
_AT_PRIORITY = Task.priority == sa.bindparam("at_priority", type_=Task.priority.type)
_FAR = (
    sa.select(Task.id)
    .where(_NEW_AT_STAGE, _AT_PRIORITY)
    .order_by(Task.id)
    .limit(1)
    .offset(sa.bindparam("passed", type_=sa.Integer))
)
_LAST_SETTLED = (
    sa.select(Task.id)
    .where(
        _NEW_AT_STAGE,
        _AT_PRIORITY,
        Task.opened_at < _SETTLED,
        Task.id >= sa.bindparam("mark", type_=Task.id.type),
        Task.id < sa.bindparam("before", type_=Task.id.type),
    )
    .order_by(Task.id.desc())
    .limit(1)
)


def _newest(running_from: str, running_to: str) -> AnySelect:
    columns = (
        sa.literal_column(sql, sa.BigInteger).label(name)
        for name, sql in (("running_from", running_from), ("running_to", running_to))
    )
    return sa.select(Task.id, Task.priority, *columns).order_by(Task.id.desc()).limit(NEWEST)


# Where one transaction writes at a time, nobody else is at work while this one is.
_NEWEST = {
    "sqlite": _newest("0", "0"),
    "postgresql": _newest(
        "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)",
        "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)",
    ),
}


_KEPT = sa.select(QueueMark.by_priority, QueueMark.made_at).where(
    QueueMark.worker_id == _WHO,
    QueueMark.stage == sa.bindparam("at_stage", type_=QueueMark.stage.type),
    QueueMark.made_at > sa.bindparam("made_after", type_=QueueMark.made_at.type),
)


def _keep(insert: Any) -> Any:
    row = insert(QueueMark)
    newer = {"by_priority": row.excluded.by_priority, "made_at": row.excluded.made_at}
    return row.on_conflict_do_update(index_elements=["worker_id", "stage"], set_=newer)


_KEEP = {name: _keep(insert) for name, insert in INSERT.items()}


def _skipped() -> sa.ColumnElement[bool]:
    # Not as EXISTS: joined to the queue, PostgreSQL would read everybody's misses to sort them by task.
    return Task.id.in_(sa.select(Miss.task_id).where(Miss.worker_id == _WHO, Miss.skip_until > _NOW))


def _one_after_the_other(branches: Sequence[AnySelect]) -> AnySelect:
    """The branches' rows in the branches' order; none is run once there are enough."""
    if len(branches) == 1:
        return branches[0]
    # Each branch is a derived table, since PostgreSQL locks no rows directly below a UNION.
    union = sa.union_all(*(sa.select(branch.subquery()) for branch in branches)).subquery()
    return sa.select(union).limit(_AT_MOST)
