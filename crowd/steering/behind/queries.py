"""All SQL of the images behind a figure: heads of indexes, and windows of the history, never the whole.

The history has no index by reason, style or day, and needs none: it is walked backwards by key, a window
at a time, up to `WINDOWS` of them for one page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, AnySelect, literal
from crowd.images.models import STAGE, Image, ImageEvent, ImageState, What
from crowd.policy import Stage
from crowd.tasks.models import Label, Standing, Submission, Task
from crowd.tasks.queries import ASSIGNED, LEASED, READY, STUCK, WORK

WINDOW = 1000
WINDOWS = 20


class Behind(StrEnum):
    """Which figure is meant: tasks as they stand, answers, what happened to images, or their main style."""

    READY = "ready"
    LEASED = "leased"
    STUCK = "stuck"
    DONE = "done"
    BOUNCED = "bounced"
    ACCEPTED = "accepted"
    STYLED = "styled"


STANDING = frozenset({Behind.READY, Behind.LEASED, Behind.STUCK})
_EVENTS = {
    Behind.BOUNCED: What.BOUNCED,
    Behind.ACCEPTED: What.ACCEPTED,
}


@dataclass(frozen=True, slots=True)
class Sought:
    """Which images: those of a figure, narrowed by stage, reason code, main style and days (UTC)."""

    figure: Behind
    stage: Stage | None = None
    code: str | None = None
    style: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page: rows (id, image_id, stage, at, state), and the key to go on from; None at the end."""

    rows: Sequence[AnyRow]
    cursor: int | None


def waiting(conn: Connection, stage: Stage, after: int | None, limit: int) -> Found:
    """Ready tasks of a stage, kept for somebody or not, the oldest first, beyond the task `after`."""
    since: list[sa.ColumnElement[bool]] = []
    if after is not None:
        seen = conn.execute(sa.select(Task.opened_at).where(Task.id == after)).scalar_one_or_none()
        if seen is None:
            return Found([], None)
        since = [Task.opened_at >= seen, sa.or_(Task.opened_at > seen, Task.id > after)]
    # Each state has an index of its own that is read from its head.
    rows = [
        row
        for state in (READY, ASSIGNED)
        for row in conn.execute(
            _tasks(stage)
            .where(Task.state == state, *since)
            .order_by(Task.opened_at, Task.id)
            .limit(limit + 1)
        )
    ]
    return _page(sorted(rows, key=lambda row: (row.at, row.id)), limit)


def held_up(conn: Connection, sought: Sought, after: int | None, limit: int) -> Found:
    """Tasks of a stage that somebody works on, or that are stuck, by id; of both there are few."""
    is_leased = sought.figure is Behind.LEASED
    # By the index of leases by time: the planner's sample may hold no lease at all.
    state = (Task.state == LEASED, Task.lease_until.is_not(None)) if is_leased else (Task.state == STUCK,)
    query = _tasks(sought.stage).where(*state, Task.id > (after or 0)).order_by(Task.id).limit(limit + 1)
    return _page(conn.execute(query).all(), limit)


def history(conn: Connection, sought: Sought, before: int | None, limit: int) -> Found:
    """Answers, events or labels that make up the figure, newest first, below the key `before`."""
    table, query, is_wanted = _walk(sought)
    first = _key_at(conn, table, _moment(sought.since, time.min))
    last = _key_at(conn, table, _moment(sought.until, time.max), at_end=True)
    high = last if before is None else min(before, last)
    rows: list[AnyRow] = []
    for low, top in _windows(first, high):
        part = query.where(table.id >= low, table.id < top).order_by(table.id.desc())
        rows += [row for row in conn.execute(part) if is_wanted(row)]
        high = low
        if len(rows) > limit:
            return _page(rows, limit)
    return Found(rows, high if high > first else None)


def _tasks(stage: Stage | None) -> AnySelect:
    assert stage is not None
    return (
        sa.select(Task.id, Task.image_id, Task.stage, Task.opened_at.label("at"), Image.state)
        .join_from(Task, Image, Image.id == Task.image_id)
        .where(Task.purpose == WORK, Task.stage == literal(stage, STAGE))
    )


def _page(rows: Sequence[AnyRow], limit: int) -> Found:
    return Found(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def _walk(sought: Sought) -> tuple[Any, AnySelect, Callable[[AnyRow], bool]]:
    """The table to walk, what to read of it, and which of its rows are wanted."""
    if sought.figure is Behind.DONE:
        answers = _of(Submission, Submission.stage).where(Submission.standing == Standing.COUNTED)
        return Submission, _narrowed(answers, Submission.stage, sought), lambda _row: True
    if sought.figure is Behind.STYLED:
        later = sa.orm.aliased(Label)
        newer = sa.exists().where(
            later.image_id == Label.image_id, later.stage == Label.stage, later.id > Label.id
        )
        labels = _of(Label, Label.stage, Label.value).where(
            Label.stage == Stage.STYLES, Image.state == ImageState.ACCEPTED, ~newer
        )
        return Label, labels, lambda row: sought.style in (None, *row.value.get("styles", [])[:1])
    events = _of(ImageEvent, sa.func.coalesce(ImageEvent.target, ImageEvent.stage), ImageEvent.why).where(
        ImageEvent.what == _EVENTS[sought.figure]
    )
    stage = ImageEvent.target if sought.figure is Behind.BOUNCED else ImageEvent.stage
    return ImageEvent, _narrowed(events, stage, sought), lambda row: _gives(row.why, sought.code)


def _of(table: Any, stage: Any, *further: Any) -> AnySelect:
    columns = (table.id, table.image_id, sa.type_coerce(stage, STAGE).label("stage"), table.at)
    return sa.select(*columns, Image.state, *further).join_from(table, Image, Image.id == table.image_id)


def _narrowed(query: AnySelect, column: Any, sought: Sought) -> AnySelect:
    return query if sought.stage is None else query.where(column == sought.stage)


def _gives(why: Any, code: str | None) -> bool:
    """Whether a bounce gave the reason."""
    if code is None:
        return True
    pieces = why if isinstance(why, list) else [why]
    return any(isinstance(piece, dict) and code in (piece.get("reasons") or ()) for piece in pieces)


def _windows(first: int, high: int) -> Iterator[tuple[int, int]]:
    for _ in range(WINDOWS):
        if high <= first:
            return
        low = max(first, high - WINDOW)
        yield low, high
        high = low


def _moment(day: date | None, part: time) -> datetime | None:
    return None if day is None else datetime.combine(day, part, UTC)


def _key_at(conn: Connection, table: Any, moment: datetime | None, *, at_end: bool = False) -> int:
    """The first key at or after the moment, by halving: keys rise with time.

    Without a moment the first key of all, or with `at_end` the one after the last.
    """
    low, high = conn.execute(sa.select(sa.func.min(table.id), sa.func.max(table.id))).one()
    if low is None:
        return 0
    if moment is None:
        return int(high) + 1 if at_end else int(low)
    beyond = high + 1
    while low < beyond:
        middle = (low + beyond) // 2
        row = conn.execute(
            sa.select(table.id, table.at).where(table.id >= middle).order_by(table.id).limit(1)
        ).one_or_none()
        if row is None or row.at >= moment:
            beyond = middle
        else:
            low = row.id + 1
    return int(low)
