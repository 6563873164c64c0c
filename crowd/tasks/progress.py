"""How the work stands, and what only an admin can move: held, stuck and blocked.

Nothing here reads more the more tasks, answers or images there are: totals are kept (crowd.tasks.counts),
ages are read at the head of an index, and what may be blocked is narrowed before it is looked at.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect, literal
from crowd.images.models import REAL_STATES, STAGE, Image, ImageEvent, ImageState, What
from crowd.policy import Grade, Policy, Stage
from crowd.tasks import counts
from crowd.tasks.flow import STAGES
from crowd.tasks.models import FIGURE, Figure, Part, Participation, Task
from crowd.tasks.queries import ASSIGNED, LEASED, READY, STUCK, WORK, may_not

# So many tasks or images are looked at one by one to find which of them are blocked.
LOOKED_AT = 500
# So many people, the newest first, are asked for how few images are closed to them.
ASKED = 12


# What is blocked in the rooms above, told as `troubles` tells it: beyond a key, in the order of trouble_key.
BLOCKED_ABOVE: list[Callable[[Connection, Policy, tuple[int, int], int], Sequence[dict[str, Any]]]] = []


class Trouble(StrEnum):
    """Why work does not go on by itself."""

    HELD = "held"
    STUCK = "stuck"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The figures of one stage; `oldest_ready_seconds` is null when nothing is ready."""

    ready: int
    leased: int
    done: int
    bounced: int
    blocked: int
    blocked_for: list[str]
    stuck: int
    oldest_ready_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Standing:
    """The totals of one stage; `lapsed` of the ready ones are leases that have run out."""

    figures: dict[Figure, int]
    lapsed: int
    oldest: datetime | None

    def __getitem__(self, figure: Figure) -> int:
        return self.figures.get(figure, 0)


def progress(conn: Connection, policy: Policy, now: datetime) -> dict[Stage, StageProgress]:
    """The figures of every stage at `now`.

    A lease that has run out counts as ready: the next who asks gets it.
    """
    crew = _crew(conn)
    figures = {}
    for stage, standing in _standings(conn, now).items():
        waiting = standing[Figure.READY] - standing.lapsed
        blocked = _count_blocked(conn, stage, policy, crew, waiting) if waiting > 0 else 0
        age = None if standing.oldest is None else now - standing.oldest
        figures[stage] = StageProgress(
            ready=standing[Figure.READY],
            leased=standing[Figure.LEASED],
            done=standing[Figure.DONE],
            bounced=standing[Figure.BOUNCED],
            blocked=blocked,
            blocked_for=missing_grades(stage, policy) if blocked else [],
            stuck=standing[Figure.STUCK],
            oldest_ready_seconds=None if age is None else age.total_seconds(),
        )
    return figures


def images_by_state(conn: Connection) -> dict[str, int]:
    """How many images stand in each state."""
    return {state.value: count for state, count in counts.image_counts(conn).items() if state in REAL_STATES}


def _standings(conn: Connection, now: datetime) -> dict[Stage, _Standing]:
    """Every stage's totals and its oldest waiting task, in one statement: of one moment."""
    found = {stage: _Standing({}, 0, None) for stage in Stage}
    for row in conn.execute(_figures(), {"at_now": now}):
        stage = list(Stage)[row.code]
        before = found[stage]
        oldest = [moment for moment in (before.oldest, row.oldest) if moment is not None]
        found[stage] = _Standing(
            before.figures | {row.figure: row.value},
            before.lapsed + (row.lapsed if row.figure is Figure.READY else 0),
            min(oldest, default=None),
        )
    return found


@cache
def _figures() -> AnySelect:
    """The kept figures, corrected by the few leases that have run out and nobody has tidied."""
    nothing: sa.ColumnElement[int] = sa.literal_column("0")
    one: sa.ColumnElement[int] = sa.literal_column("1")
    heads = [
        sa.select(
            literal(Figure.READY, FIGURE).label("figure"),
            sa.literal_column(str(STAGE.code(stage)), sa.SmallInteger).label("code"),
            nothing.label("value"),
            nothing.label("lapsed"),
            sa.select(Task.opened_at)
            .where(Task.state == state, Task.purpose == WORK, Task.stage == literal(stage, STAGE))
            .order_by(Task.opened_at)
            .limit(1)
            .scalar_subquery()
            .label("opened_at"),
        )
        for stage in Stage
        for state in (READY, ASSIGNED)
    ]
    ran_out = (
        Task.state == LEASED,
        Task.purpose == WORK,
        Task.lease_until <= sa.bindparam("at_now", type_=Task.lease_until.type),
    )
    code = sa.type_coerce(Task.stage, sa.SmallInteger)
    lapsed = sa.select(literal(Figure.READY, FIGURE), code, one, one, Task.opened_at).where(*ran_out)
    not_leased = sa.select(literal(Figure.LEASED, FIGURE), code, -one, nothing, sa.null()).where(*ran_out)
    kept = counts.kept_rows().subquery()
    of_stages = sa.select(kept, nothing, sa.null()).where(kept.c.figure != literal(Figure.IMAGES, FIGURE))
    rows = sa.union_all(*heads, lapsed, not_leased, of_stages).subquery()
    return sa.select(
        rows.c.figure,
        rows.c.code,
        sa.cast(sa.func.sum(rows.c.value), sa.BigInteger).label("value"),
        sa.cast(sa.func.sum(rows.c.lapsed), sa.BigInteger).label("lapsed"),
        sa.func.min(rows.c.opened_at).label("oldest"),
    ).group_by(rows.c.figure, rows.c.code)


def _crew(conn: Connection) -> Counter[Grade]:
    """How many people of each grade are in good standing."""
    rows = conn.execute(
        sa.select(Worker.grade, sa.func.count()).where(*_IN_GOOD_STANDING).group_by(Worker.grade)
    )
    return Counter({row[0]: row[1] for row in rows})


_IN_GOOD_STANDING = (Worker.suspended_at.is_(None), Worker.erased_at.is_(None))


def blocked_tasks(stage: Stage, policy: Policy) -> sa.Select[int]:
    """Ready tasks of a stage that nobody in good standing may take (flow.md, "Small crews").

    What blocked means; to find them among many, add what `_narrowing` says.
    """
    somebody = sa.exists(
        sa.select(Worker.id).where(
            *_IN_GOOD_STANDING,
            Worker.grade.in_(sorted(policy.stages[stage].grades)),
            *(~_of_outer_task(condition) for condition in may_not(Worker.__table__.c.id, stage)),
        )
    )
    return sa.select(Task.id).where(*_waiting_at(stage), ~somebody)


def _of_outer_task(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """The condition about the task two selects further out.

    By itself SQLAlchemy looks one select up, and would let the condition be about any task at all.
    """
    return condition.correlate(Task, Worker) if isinstance(condition, sa.Exists) else condition


def _waiting_at(stage: Stage) -> tuple[sa.ColumnElement[bool], ...]:
    return Task.state == READY, Task.reserved_for.is_(None), Task.stage == literal(stage, STAGE)


def _count_blocked(conn: Connection, stage: Stage, policy: Policy, crew: Counter[Grade], waiting: int) -> int:
    able = sum(crew[grade] for grade in policy.stages[stage].grades)
    if able == 0:
        reserved = (
            Task.state == READY,
            Task.purpose == WORK,
            Task.reserved_for.is_not(None),
            Task.stage == literal(stage, STAGE),
        )
        return waiting - conn.execute(sa.select(sa.func.count(Task.id)).where(*reserved)).scalar_one()
    narrowing = _narrowing(conn, stage, policy, able, waiting)
    if narrowing is None:
        return 0
    blocked = blocked_tasks(stage, policy).where(*narrowing).subquery()
    return conn.execute(sa.select(sa.func.count()).select_from(blocked)).scalar_one()


def _narrowing(
    conn: Connection, stage: Stage, policy: Policy, able: int, waiting: int
) -> list[sa.ColumnElement[bool]] | None:
    """Conditions that every blocked task of the stage meets, and few others; None when none can be blocked.

    `able` people may work at the stage, and about `waiting` tasks wait there unreserved. A short queue is
    looked through as it is. Else a task can only be blocked

    - after so many rounds that `able` people can have had a hand in its image (a large crew: hardly any);
    - or where each of any few people is kept out, so for one of them more than by the other seat:
      on the images in which they had another part (in most crews somebody had none, or few).

    At most LOOKED_AT tasks or images are looked at. Only in a crew of about a dozen at most, all of whom
    had other parts in hundreds of images, or who can all sit in one round's seats, is the stage's whole
    queue read, and in a larger one with much rework the tasks of late rounds; never history.
    """
    if waiting <= LOOKED_AT or able == 0:
        return []
    late = _late_rounds(policy, able)
    if late is not None:
        tasks = sa.select(Task.id).where(*_waiting_at(stage), *late).limit(LOOKED_AT + 1).subquery()
        found = conn.execute(sa.select(sa.func.count()).select_from(tasks)).scalar_one()
        if found <= LOOKED_AT:
            return late if found else None
    images = _closed_images(conn, stage, policy)
    if images is not None:
        return [Task.image_id.in_(images)] if images else None
    return late or []


def _late_rounds(policy: Policy, able: int) -> list[sa.ColumnElement[bool]] | None:
    """The rounds in which `able` people can all be kept out; None when the first is among them.

    Who is kept out has answered or holds a task of the image, and one person may be excluded besides.
    A round has the seats of every stage, more at styles, and a second adjudication.
    """
    most_in_a_round = sum(row.seats for row in STAGES.values()) + policy.votes_most
    first = -(-(able - 1) // most_in_a_round)
    if first <= 1:
        return None
    # Written out, and twice: only then do the planners see that the index of rework applies.
    return [Task.round > sa.literal_column("1"), Task.round >= sa.literal_column(str(first))]


def _closed_images(conn: Connection, stage: Stage, policy: Policy) -> set[int] | None:
    """A few images outside of which no task of the stage is blocked; None when they are not few.

    Of one more person than can sit in the other seats of a round, one is kept out by something else:
    another part in the image, or being excluded by name.
    """
    others = policy.votes_most - 1 if stage is Stage.STYLES else STAGES[stage].seats - 1
    wanted = max(others, 1 if stage is Stage.ADJUDICATION else 0) + 1
    images: set[int] = set()
    chosen: list[int] = []
    for person in _newest_people(conn, stage, policy):
        closed = _images_of_other_parts(conn, person, stage, LOOKED_AT // wanted + 1)
        if len(closed) <= LOOKED_AT // wanted:
            images.update(closed)
            chosen.append(person)
        if len(chosen) == wanted:
            excluded = _images_excluded_from(conn, chosen, stage)
            return None if excluded is None else images | excluded
    return None


def _newest_people(conn: Connection, stage: Stage, policy: Policy) -> Sequence[int]:
    grades = sorted(policy.stages[stage].grades)
    people = sa.select(Worker.id).where(*_IN_GOOD_STANDING, Worker.grade.in_(grades))
    return conn.execute(people.order_by(Worker.id.desc()).limit(ASKED)).scalars().all()


def _images_of_other_parts(conn: Connection, worker_id: int, stage: Stage, limit: int) -> Sequence[int]:
    # A review's part bears its stage's name.
    own = Part.LABELLED if STAGES[stage].labels else Part(stage.value)
    found = sa.select(Participation.image_id).where(
        Participation.worker_id == worker_id,
        Participation.part.in_([part for part in Part if part is not own]),
    )
    return conn.execute(found.limit(limit)).scalars().all()


def _images_excluded_from(conn: Connection, people: Sequence[int], stage: Stage) -> set[int] | None:
    found = sa.select(Task.image_id).where(
        Task.state == READY,
        Task.excluded_id.is_not(None),
        Task.excluded_id.in_(people),
        Task.stage == literal(stage, STAGE),
    )
    images = conn.execute(found.limit(LOOKED_AT + 1)).scalars().all()
    return set(images) if len(images) <= LOOKED_AT else None


def missing_grades(stage: Stage, policy: Policy) -> list[str]:
    """The grades of which one more person would unblock a stage."""
    return sorted(policy.stages[stage].grades)


def needs_admin(conn: Connection, image_id: int, policy: Policy) -> bool:
    """Whether one of the image's open tasks is stuck or blocked."""
    stuck = sa.select(Task.id).where(Task.image_id == image_id, Task.state == STUCK)
    blocked = (blocked_tasks(stage, policy).where(Task.image_id == image_id) for stage in Stage)
    return any(conn.execute(statement.limit(1)).first() for statement in (stuck, *blocked))


def troubles(
    conn: Connection, kind: Trouble | None, policy: Policy, after: tuple[int, int], limit: int
) -> Sequence[dict[str, Any]]:
    """What an admin has to look at, of one kind or of all, beyond the key `after` (see trouble_key)."""
    found: list[dict[str, Any]] = []
    if kind in (None, Trouble.HELD):
        found += [_held(row) for row in conn.execute(_held_images(after[0], limit))]
    if kind in (None, Trouble.STUCK):
        stuck = sa.select(Task.id).where(Task.state == STUCK)
        rows = _beyond(conn, stuck, after, limit, few=True)
        found += [_troubled(row, Trouble.STUCK, policy) for row in rows]
    if kind in (None, Trouble.BLOCKED):
        for statement, few in _blocked_by_stage(conn, policy):
            rows = _beyond(conn, statement, after, limit, few=few)
            found += [_troubled(row, Trouble.BLOCKED, policy) for row in rows]
        for tell in BLOCKED_ABOVE:
            found += tell(conn, policy, after, limit)
    return sorted(found, key=trouble_key)[:limit]


def trouble_key(trouble: dict[str, Any]) -> tuple[int, int]:
    """The order of troubles: audits, then by image, then by task (0: the image itself is held)."""
    return trouble["image_id"] or 0, trouble["task_id"] or trouble.get("audit_id") or 0


def _blocked_by_stage(conn: Connection, policy: Policy) -> Iterator[tuple[AnySelect, bool]]:
    """What is blocked at each stage, and whether little has to be read to find it all."""
    crew = _crew(conn)
    waiting = counts.task_counts(conn, Figure.READY)
    for stage in Stage:
        able = sum(crew[grade] for grade in policy.stages[stage].grades)
        narrowing = _narrowing(conn, stage, policy, able, waiting[stage])
        if narrowing is not None:
            yield blocked_tasks(stage, policy).where(*narrowing), able > 0 or waiting[stage] <= LOOKED_AT


def _beyond(
    conn: Connection, statement: AnySelect, after: tuple[int, int], limit: int, *, few: bool
) -> Sequence[AnyRow]:
    """Tasks of `statement` in the order of trouble_key, beyond `after`.

    `few`: all of them are found first, and then put in order. Else a planner that expects many may go through
    everybody's tasks in that order, until it has met enough of these.
    """
    image_id, task_id = after
    # The first condition alone says where an index begins to be read.
    later = sa.or_(Task.image_id > image_id, sa.and_(Task.image_id == image_id, Task.id > task_id))
    wanted = statement.with_only_columns(Task.id, Task.image_id, Task.stage, Task.opened_at)
    wanted = wanted.where(Task.image_id >= image_id, later)
    if not few:
        return conn.execute(wanted.order_by(Task.image_id, Task.id).limit(limit)).all()
    found = wanted.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    return conn.execute(sa.select(found).order_by(found.c.image_id, found.c.id).limit(limit)).all()


def _held_images(after: int, limit: int) -> AnySelect:
    earlier = sa.alias(ImageEvent.__table__, "earlier")
    last = (
        sa.select(sa.func.max(earlier.c.id))
        .where(earlier.c.image_id == Image.id, earlier.c.what == What.HELD)
        .correlate(Image)
        .scalar_subquery()
    )
    return (
        sa.select(Image.id, ImageEvent.at, ImageEvent.why)
        .join(ImageEvent, ImageEvent.id == last)
        .where(Image.state == ImageState.HELD, Image.id > after)
        .order_by(Image.id)
        .limit(limit)
    )


def _held(row: AnyRow) -> dict[str, Any]:
    return {"kind": Trouble.HELD, "image_id": row.id, "task_id": None, "since": row.at, "why": row.why}


def _troubled(row: AnyRow, kind: Trouble, policy: Policy) -> dict[str, Any]:
    return {
        "kind": kind,
        "image_id": row.image_id,
        "task_id": row.id,
        "stage": row.stage,
        "since": row.opened_at,
        "blocked_for": missing_grades(row.stage, policy) if kind is Trouble.BLOCKED else [],
    }
