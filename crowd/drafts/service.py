"""Keeping how far somebody got with a task, and handing a task they hold out again."""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.clock import rfc3339
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.drafts import queries
from crowd.tasks import handover, leases
from crowd.tasks import queries as tasks
from crowd.tasks.models import TaskState

# A full segmentation (10 000 points) with room to spare.
MOST_BYTES = 512 * 1024
KEPT_FOR = timedelta(days=14)


def held_task(conn: Connection, worker_id: int, task_id: int) -> tuple[dict[str, Any], dict[str, str]]:
    """A task whose lease this person has, as on the day it was claimed, with their draft; and its headers.

    Raises NotFound, Conflict `lease_lost` for one that is not (or no longer) theirs.
    """
    task = tasks.task_row(conn, task_id)
    if task is None:
        raise NotFound("no_such_task", f"There is no task {task_id}.")
    if task.state is not TaskState.LEASED or task.worker_id != worker_id:
        raise Conflict("lease_lost", "You do not hold this task.")
    draft = queries.find(conn, worker_id, task_id)
    shown = {"body": draft.body, "saved_at": rfc3339(draft.saved_at)} if draft else None
    view = {**handover.task_view(conn, task, just_claimed=False), "draft": shown}
    return view, handover.purpose_header(task)


def save(
    conn: Connection, worker_id: int, task_id: int, token: int, body: dict[str, Any], now: datetime
) -> None:
    """Keep a draft of a task that was once leased to this person under `token`.

    Kept even after the lease is lost: the work is theirs, and the task may come back to them.
    Raises NotFound, Forbidden for a token never theirs, Unprocessable for what is too large.
    """
    if len(json.dumps(body, ensure_ascii=False).encode()) > MOST_BYTES:
        raise field_error("body", f"must not have more than {MOST_BYTES} bytes")
    # The person is locked: a later draft from another request must not be overtaken by this insert.
    tasks.lock_worker(conn, worker_id)
    leases.own_task(conn, worker_id, task_id, token)
    queries.keep(conn, worker_id, task_id, body, now)


def forget_old(conn: Connection, now: datetime) -> int:
    """Remove a batch of drafts that nobody has touched for long; how many that were."""
    return queries.forget(conn, now - KEPT_FOR)
