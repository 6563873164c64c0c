"""All SQL about drafts."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.drafts.models import Draft

FORGET_BATCH = 1000


def find(conn: Connection, worker_id: int, task_id: int) -> AnyRow | None:
    """A person's draft of a task."""
    wanted = sa.select(Draft.body, Draft.saved_at).where(_of(worker_id, task_id))
    return conn.execute(wanted).one_or_none()


def keep(conn: Connection, worker_id: int, task_id: int, body: Any, now: datetime) -> None:
    """The draft in place of the one before, if any.

    The caller has locked the person, so that two of their requests cannot both insert.
    """
    changed = sa.update(Draft).where(_of(worker_id, task_id)).values(body=body, saved_at=now)
    if conn.execute(changed).rowcount == 0:
        conn.execute(sa.insert(Draft).values(worker_id=worker_id, task_id=task_id, body=body, saved_at=now))


def drop(conn: Connection, worker_id: int, task_id: int) -> None:
    """No draft any more."""
    conn.execute(sa.delete(Draft).where(_of(worker_id, task_id)))


def forget(conn: Connection, before: datetime) -> int:
    """Remove a batch of the drafts last saved before a moment; how many that were."""
    old = sa.select(Draft.worker_id, Draft.task_id).where(Draft.saved_at < before).limit(FORGET_BATCH)
    gone = sa.delete(Draft).where(sa.tuple_(Draft.worker_id, Draft.task_id).in_(old))
    return conn.execute(gone).rowcount


def _of(worker_id: int, task_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(Draft.worker_id == worker_id, Draft.task_id == task_id)
