"""Plans: what a stage is to reach by when and who is in charge, and how what was done compares."""

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts import queries as people
from crowd.core.db import AnyRow
from crowd.core.errors import NotFound, field_error
from crowd.policy import Stage
from crowd.steering import figures, queries

# The pace of the last days says when a stage will be done.
PACE_DAYS = 7


def plan(
    conn: Connection, stage: Stage, values: Mapping[str, Any], *, by: int, now: datetime
) -> dict[str, Any]:
    """From now on this is the stage's plan; earlier ones stay as history. Raises a 422 about `person`."""
    person_id = values["person_id"]
    if person_id is not None:
        person = people.person(conn, person_id)
        if person is None or person.erased:
            raise field_error("person", f"there is no worker {person_id}")
    queries.add_plan(conn, stage=stage, made_at=now, made_by=by, **values)
    return _present(conn, stage)


def drop(conn: Connection, stage: Stage, *, by: int, reason: str, now: datetime) -> None:
    """The stage has no plan any more. Raises NotFound if it had none."""
    _present(conn, stage)
    queries.add_plan(conn, stage=stage, made_at=now, made_by=by, reason=reason)


def _present(conn: Connection, stage: Stage) -> dict[str, Any]:
    for row in queries.plans(conn):
        if row.stage is stage:
            return dict(row._mapping)
    raise NotFound("no_plan", f"There is no plan for {stage}.")


def against_done(conn: Connection, today: date) -> list[dict[str, Any]]:
    """Every plan that holds beside the answers its stage got."""
    return [_compare(conn, row, today) for row in queries.plans(conn)]


def _compare(conn: Connection, row: AnyRow, today: date) -> dict[str, Any]:
    done_on = figures.done_between(conn, row.stage, row.starts_on, row.ends_on)
    done = sum(done_on.values())
    days = (row.ends_on - row.starts_on).days + 1
    # Were every day the same, by the end of today.
    passed = min(days, max(0, (today - row.starts_on).days + 1))
    due = row.volume * passed // days
    left = max(0, row.volume - done)
    pace = _pace(done_on, row.starts_on, min(today, row.ends_on))
    # From tomorrow on, or from the first day if that is later still.
    days_left = days if today < row.starts_on else (row.ends_on - today).days
    return {
        **{name: row._mapping[name] for name in ("stage", "starts_on", "ends_on", "person_id", "person")},
        "volume": row.volume,
        "done": done,
        "due": due,
        "ahead": done - due,
        "per_day": pace,
        "needed_per_day": round(left / days_left, 3) if days_left > 0 else None if left else 0.0,
        "expected_on": _expected(left, pace, today),
    }


def _pace(done_on: Mapping[date, int], first: date, last: date) -> float | None:
    """Answers a day, over the last days of the plan's time."""
    days = min(PACE_DAYS, (last - first).days + 1)
    if days <= 0:
        return None
    begin = last - timedelta(days=days - 1)
    return round(sum(count for day, count in done_on.items() if begin <= day <= last) / days, 3)


def _expected(left: int, pace: float | None, today: date) -> date | None:
    if not left:
        return today
    if not pace:
        return None
    try:
        return today + timedelta(days=math.ceil(left / pace))
    except OverflowError:
        return None
