"""The SQL of seats: tasks are opened, moved forward in their queue, and closed."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, literal
from crowd.core.statements import Statement
from crowd.images.models import IMAGE_STATE, Image, ImageState
from crowd.policy import Grade, Stage
from crowd.tasks.flow import Cause
from crowd.tasks.models import Task, TaskState
from crowd.tasks.queries import ASSIGNED, CLOSED, LEASED, LEAST_PRIORITY, READY, SLOT, STUCK, WORK

# Made once: an alias copies every column.
_SAME = sa.alias(Task.__table__, "same")


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


def open_stage(conn: Connection, image_id: int) -> Stage | None:
    """The stage at which the image is worked on; None where no task of it is open."""
    return conn.execute(
        sa.select(Task.stage)
        .where(Task.image_id == image_id, Task.purpose == WORK)
        .where(Task.state.in_((READY, LEASED, STUCK, ASSIGNED)))
        .order_by(Task.id.desc())
        .limit(1)
    ).scalar_one_or_none()


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
