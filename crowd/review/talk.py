"""Talk about a task between those who held it, its reviewers, and admins.

What a second reviewer says stays hidden from everybody but themselves and admins with no part
in the image until both seats are in, and from whoever may adjudicate until that is done.
"""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden, NotFound
from crowd.review import queries
from crowd.tasks.answer_queries import has_part
from crowd.tasks.queries import task_row


def say(conn: Connection, me: Actor, task_id: int, text: str, now: datetime) -> dict[str, Any]:
    """Add a comment. Raises NotFound, Forbidden."""
    _require_party(conn, me, task_id)
    comment_id = queries.add_comment(conn, task_id, me.id, text, now)
    return {"id": comment_id, "text": text, "at": now, "own": True, "who": None}


def listen(
    conn: Connection, me: Actor, task_id: int, *, after: int = 0, limit: int = 200
) -> list[dict[str, Any]]:
    """The comments this person may see, oldest first, with ids beyond `after`. Raises NotFound, Forbidden."""
    task = _require_party(conn, me, task_id)
    sees_all = me.sees_all and not has_part(conn, task.image_id, me.id)
    hidden: set[int] = set()
    if not sees_all:
        hidden = queries.people_in_open_seats(conn, task.image_id)
        if not queries.has_sat(conn, task.image_id, me.id):
            hidden |= queries.people_in_split_seats(conn, task.image_id)
        hidden.discard(me.id)
    return [
        {
            "id": row.id,
            "text": row.text,
            "at": row.at,
            "own": row.worker_id == me.id,
            "who": row.username if sees_all else None,
        }
        for row in queries.comments_on(conn, task_id, hidden, after, limit)
    ]


def _require_party(conn: Connection, me: Actor, task_id: int) -> AnyRow:
    task = task_row(conn, task_id)
    if task is None:
        raise NotFound("no_such_task", f"There is no task {task_id}.")
    party = (
        me.sees_all
        or queries.held_task(conn, task_id, me.id)
        or queries.reviews_image(conn, task.image_id, me.id)
    )
    if not party:
        raise Forbidden("not_your_task", "You neither held nor review this task.")
    return task
