"""Jobs that are done once in a while, by whichever job worker comes first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, Database
from crowd.tasks.models import DueJob

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often a job is done; who has taken it and died leaves it to others after `within`."""

    name: str
    every: timedelta
    within: timedelta


def once(db: Database, schedule: Schedule, now: datetime, work: Callable[[], T]) -> T | None:
    """Do `work` if it is due, however many processes ask; None when it is not."""
    with db.read() as conn:
        due_at = conn.execute(
            sa.select(DueJob.due_at).where(DueJob.name == schedule.name)
        ).scalar_one_or_none()
    if due_at is not None and due_at > now:
        return None
    with db.begin() as conn:
        know(conn, schedule.name, now)
        if not _postpone(conn, schedule.name, now, now + schedule.within):
            return None
    result = work()
    with db.begin() as conn:
        _postpone(conn, schedule.name, now + schedule.within, now + schedule.every)
    return result


def hasten(db: Database, schedule: Schedule, now: datetime) -> None:
    """Have a job that did not get through be due again at once."""
    with db.begin() as conn:
        conn.execute(sa.update(DueJob).where(DueJob.name == schedule.name).values(due_at=now))


def know(conn: Connection, name: str, now: datetime) -> None:
    """Have a row for the job; a new one is due at once."""
    insert = INSERT[conn.dialect.name](DueJob)
    conn.execute(insert.on_conflict_do_nothing(), {"name": name, "due_at": now})


def _postpone(conn: Connection, name: str, now: datetime, until: datetime) -> bool:
    """Move what is due at `now` to `until`; False when somebody else has."""
    due = sa.update(DueJob).where(DueJob.name == name, DueJob.due_at <= now)
    return conn.execute(due.values(due_at=until)).rowcount == 1
