"""How the work stands, and what only an admin can move: held, stuck and blocked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Policy, Stage
from crowd.tasks.models import Standing, Submission, Task
from crowd.tasks.queries import LEASED, READY, STUCK, may_not


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


def progress(conn: Connection, policy: Policy, now: datetime) -> dict[Stage, StageProgress]:
    """The figures of every stage at `now`.

    A lease that has run out counts as ready: the next who asks gets it.
    """
    waiting = sa.or_(Task.state == READY, sa.and_(Task.state == LEASED, Task.lease_until <= now))
    ready = _by_stage(
        conn,
        sa.select(Task.stage, sa.func.count(), sa.func.min(Task.opened_at)).where(waiting),
    )
    leased = _by_stage(
        conn,
        sa.select(Task.stage, sa.func.count()).where(Task.state == LEASED, Task.lease_until > now),
    )
    stuck = _by_stage(conn, sa.select(Task.stage, sa.func.count()).where(Task.state == STUCK))
    done = _by_stage(
        conn,
        sa.select(Submission.stage, sa.func.count()).where(Submission.standing == Standing.COUNTED),
        Submission.stage,
    )
    bounced = _by_stage(
        conn,
        sa.select(ImageEvent.target, sa.func.count()).where(ImageEvent.what == What.BOUNCED),
        ImageEvent.target,
    )
    figures = {}
    for stage in Stage:
        blocked = _count(conn, blocked_tasks(stage, policy)) if stage in ready else 0
        figures[stage] = StageProgress(
            ready=ready[stage][1] if stage in ready else 0,
            leased=leased[stage][1] if stage in leased else 0,
            done=done[stage][1] if stage in done else 0,
            bounced=bounced[stage][1] if stage in bounced else 0,
            blocked=blocked,
            blocked_for=missing_grades(stage, policy) if blocked else [],
            stuck=stuck[stage][1] if stage in stuck else 0,
            oldest_ready_seconds=(now - ready[stage][2]).total_seconds() if stage in ready else None,
        )
    return figures


def images_by_state(conn: Connection) -> dict[str, int]:
    """How many images stand in each state."""
    counted = {
        row[0]: row[1] for row in conn.execute(sa.select(Image.state, sa.func.count()).group_by(Image.state))
    }
    return {state.value: counted.get(state, 0) for state in ImageState}


def blocked_tasks(stage: Stage, policy: Policy) -> sa.Select[int]:
    """Ready tasks of a stage that nobody in good standing may take (flow.md, "Small crews")."""
    somebody = sa.exists(
        sa.select(Worker.id).where(
            Worker.suspended_at.is_(None),
            Worker.erased_at.is_(None),
            Worker.grade.in_(sorted(policy.stages[stage].grades)),
            *(~condition for condition in may_not(Worker.__table__.c.id, stage)),
        )
    )
    return sa.select(Task.id).where(
        Task.state == READY, Task.reserved_for.is_(None), Task.stage == stage, ~somebody
    )


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
        found += [_troubled(row, Trouble.STUCK, policy) for row in _beyond(conn, stuck, after, limit)]
    if kind in (None, Trouble.BLOCKED):
        for stage in Stage:
            rows = _beyond(conn, blocked_tasks(stage, policy), after, limit)
            found += [_troubled(row, Trouble.BLOCKED, policy) for row in rows]
    return sorted(found, key=trouble_key)[:limit]


def trouble_key(trouble: dict[str, Any]) -> tuple[int, int]:
    """The order of troubles: by image, then by task (0: the image itself is held)."""
    return trouble["image_id"], trouble["task_id"] or 0


def _beyond(conn: Connection, statement: AnySelect, after: tuple[int, int], limit: int) -> Sequence[AnyRow]:
    """Tasks of `statement` in the order of trouble_key, beyond `after`."""
    image_id, task_id = after
    later = sa.or_(Task.image_id > image_id, sa.and_(Task.image_id == image_id, Task.id > task_id))
    wanted = statement.with_only_columns(Task.id, Task.image_id, Task.stage, Task.opened_at)
    return conn.execute(wanted.where(later).order_by(Task.image_id, Task.id).limit(limit)).all()


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


def _by_stage(conn: Connection, statement: AnySelect, group: Any = Task.stage) -> dict[Stage, AnyRow]:
    return {row[0]: row for row in conn.execute(statement.group_by(group))}


def _count(conn: Connection, statement: AnySelect) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(statement.subquery())).scalar_one()
