"""How the work stands, and what only an admin can move: held, stuck and blocked.

Nothing here reads more the more tasks, answers or images there are: totals are kept (crowd.tasks.counts),
ages are read at the head of an index, and of what may be blocked a bounded part is looked at
(crowd.tasks.blocked).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, AnySelect, literal
from crowd.images.models import REAL_STATES, STAGE, Image, ImageEvent, ImageState, What
from crowd.policy import Policy, Stage
from crowd.tasks import counts
from crowd.tasks.blocked import (
    blocked_by_stage,
    blocked_tasks,
    count_blocked,
    crew_by_grade,
    missing_grades,
)
from crowd.tasks.models import FIGURE, Figure, Task
from crowd.tasks.queries import ASSIGNED, LEASED, READY, STUCK, WORK

# What is blocked in the rooms above, told as `troubles` tells it: beyond a key, in the order of trouble_key.
BLOCKED_ABOVE: list[Callable[[Connection, Policy, tuple[int, int], int], Sequence[dict[str, Any]]]] = []


class Trouble(StrEnum):
    """Why work does not go on by itself."""

    HELD = "held"
    STUCK = "stuck"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The figures of one stage; `oldest_ready_seconds` is null when nothing is ready.

    `blocked_at_least`: only what is next in line was looked at, so more may be blocked than `blocked`.
    """

    ready: int
    leased: int
    done: int
    bounced: int
    blocked: int
    blocked_at_least: bool
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
    crew = crew_by_grade(conn)
    figures = {}
    for stage, standing in _standings(conn, now).items():
        waiting = standing[Figure.READY] - standing.lapsed
        blocked, is_all = count_blocked(conn, stage, policy, crew, waiting) if waiting > 0 else (0, True)
        age = None if standing.oldest is None else now - standing.oldest
        figures[stage] = StageProgress(
            ready=standing[Figure.READY],
            leased=standing[Figure.LEASED],
            done=standing[Figure.DONE],
            bounced=standing[Figure.BOUNCED],
            blocked=blocked,
            blocked_at_least=not is_all,
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
        rows = _beyond(conn, stuck, after, limit)
        found += [_troubled(row, Trouble.STUCK, policy) for row in rows]
    if kind in (None, Trouble.BLOCKED):
        for statement in blocked_by_stage(conn, policy):
            rows = _beyond(conn, statement, after, limit)
            found += [_troubled(row, Trouble.BLOCKED, policy) for row in rows]
        for tell in BLOCKED_ABOVE:
            found += tell(conn, policy, after, limit)
    return sorted(found, key=trouble_key)[:limit]


def trouble_key(trouble: dict[str, Any]) -> tuple[int, int]:
    """The order of troubles: audits, then by image, then by task (0: the image itself is held)."""
    return trouble["image_id"] or 0, trouble["task_id"] or trouble.get("audit_id") or 0


def _beyond(conn: Connection, statement: AnySelect, after: tuple[int, int], limit: int) -> Sequence[AnyRow]:
    """Tasks of `statement`, which are few, in the order of trouble_key, beyond `after`.

    All of them are found first, and then put in order: a planner that expects many may else go through
    everybody's tasks in that order, until it has met enough of these.
    """
    image_id, task_id = after
    # The first condition alone says where an index begins to be read.
    later = sa.or_(Task.image_id > image_id, sa.and_(Task.image_id == image_id, Task.id > task_id))
    wanted = statement.with_only_columns(Task.id, Task.image_id, Task.stage, Task.opened_at)
    found = wanted.where(Task.image_id >= image_id, later).cte("found")
    found = found.prefix_with("MATERIALIZED", dialect="postgresql")
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
