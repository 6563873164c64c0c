"""Talk about tasks between those who held them, their reviewers, and admins.

What a second reviewer says stays hidden from everybody but themselves and admins with no part
in the image until both seats are in, and from whoever may adjudicate until that is done. Whoever sits in a
shadow seat hears what they would hear beside work (docs/decisions/0025-comments-that-meet.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.core.db import AnyRow
from crowd.core.errors import Forbidden, NotFound, field_error
from crowd.core.schemas import Page, cursor_of
from crowd.images import queries as images
from crowd.policy import Stage
from crowd.review import queries
from crowd.tasks.answer_queries import has_part
from crowd.tasks.flow import LABELLING, ORDER, REVIEWING, Cause
from crowd.tasks.queries import task_row

# Of a person's tasks so many are looked through for one page of their threads.
LOOKED_THROUGH = 500
# So much of what was said beside a known image is shown to whoever reviews it in a shadow seat.
MOST_BESIDE = 200


@dataclass(frozen=True, slots=True)
class Standpoint:
    """Whence somebody hears the talk about an image: the tasks of it that they held."""

    held: Sequence[AnyRow]
    sees_all: bool

    @property
    def furthest(self) -> int:
        """The order of the last review they held; -1 if none."""
        return max((ORDER[task.stage] for task in self.held if task.stage in REVIEWING), default=-1)


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
    rows = queries.comments_on(conn, task_id, None if sees_all else me.id, after, limit)
    return [{"id": row.id, **_told(row, me, sees_all=sees_all)} for row in rows]


def say_about(
    conn: Connection, me: Actor, image_id: int, stage: Stage, text: str, now: datetime
) -> dict[str, Any]:
    """Add a comment to the task of a stage: the last that one held there, else the newest there is.

    Raises NotFound, Forbidden, and a 422 about `stage` where it is none that this person may talk about.
    """
    task = task_row(conn, _task_to_talk_about(conn, _standpoint(conn, me, image_id), image_id, stage))
    assert task is not None
    queries.add_comment(conn, task.id, me.id, text, now)
    return {"text": text, "at": now, "own": True, "who": None, "stage": task.stage, "round": task.round}


def listen_about(
    conn: Connection, me: Actor, image_id: int, *, after: int = 0, limit: int = 200
) -> list[dict[str, Any]]:
    """What was said on the tasks of an image that this person may hear of, oldest first, but for `after`.

    Whoever labelled hears of the tasks they held; its reviewers and admins of all.
    Raises NotFound, Forbidden.
    """
    from_here = _standpoint(conn, me, image_id)
    all_tasks = from_here.sees_all or from_here.furthest >= 0
    earlier = _as_beside_work(conn, me, image_id) if from_here.furthest >= 0 else []
    heard = earlier[after : after + limit]
    if len(heard) < limit:
        task_ids = None if all_tasks else [task.id for task in from_here.held]
        viewer = None if from_here.sees_all else me.id
        skipped, wanted = max(0, after - len(earlier)), limit - len(heard)
        rows = queries.comments_about(conn, image_id, task_ids, viewer, skipped, wanted)
        heard += [_placed(row, me, sees_all=from_here.sees_all) for row in rows]
    return [{**each, "place": place} for place, each in enumerate(heard, start=after + 1)]


def own_threads(conn: Connection, me: Actor, before: int | None) -> Page:
    """What others said about tasks that this person held, newest task first.

    A page looks through LOOKED_THROUGH of their tasks, and may be empty though more follow.
    """
    looked_through = queries.tasks_ever_held(conn, me.id, before, LOOKED_THROUGH)
    rows = queries.threads_on(conn, looked_through, me.id) if looked_through else []
    more = len(looked_through) == LOOKED_THROUGH
    return {
        "items": [dict(row._mapping) for row in rows],
        "next_cursor": cursor_of(looked_through[-1]) if more else None,
    }


def _require_party(conn: Connection, me: Actor, task_id: int) -> AnyRow:
    task = task_row(conn, task_id)
    if task is None:
        raise NotFound("no_such_task", f"There is no task {task_id}.")
    held = queries.tasks_held(conn, task.image_id, me.id)
    reviews = any(each.stage in REVIEWING for each in held)
    if not (me.sees_all or reviews or any(each.id == task_id for each in held)):
        raise Forbidden("not_your_task", "You neither held nor review this task.")
    return task


def _standpoint(conn: Connection, me: Actor, image_id: int) -> Standpoint:
    held = queries.tasks_held(conn, image_id, me.id)
    if not held and images.image_file(conn, image_id) is None:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    if not held and not me.sees_all:
        raise Forbidden("not_your_image", "You have had no task of this image.")
    return Standpoint(held, sees_all=me.sees_all and not held)


def _task_to_talk_about(conn: Connection, from_here: Standpoint, image_id: int, stage: Stage) -> int:
    own = [int(task.id) for task in from_here.held if task.stage is stage]
    if own:
        return own[-1]
    # Not what lies ahead: behind a shadow seat there is already what work would only come to.
    if from_here.sees_all or ORDER[stage] < from_here.furthest:
        found = queries.newest_task(conn, image_id, stage)
        seat = None if found or from_here.sees_all else queries.shadow_seat(conn, image_id)
        if found or seat:
            return int(found or seat.id)  # type: ignore[union-attr]  # one of them is there
    raise field_error("stage", "no task of this stage for you to talk about")


def _as_beside_work(conn: Connection, me: Actor, image_id: int) -> list[dict[str, Any]]:
    """What whoever reviews in a shadow seat hears: what was said of its picture before it was reviewed.

    As long ago as it was then. Nothing that could tell how it ended, nor of votes to those who vote anew.
    """
    seat = queries.shadow_seat(conn, image_id)
    if seat is None:
        return []
    until = Stage.STYLES if seat.cause is Cause.STYLES else Stage.FIRST_REVIEW
    opened = queries.when_opened(conn, seat.source_id, until)
    if opened is None:
        return []
    stages = [stage for stage in LABELLING if ORDER[stage] < ORDER[until]]
    rows = queries.said_before(conn, seat.source_id, stages, opened, MOST_BESIDE)
    later = seat.given_at - opened
    return [{**_placed(row, me, sees_all=False), "at": row.at + later} for row in rows]


def _placed(row: AnyRow, me: Actor, *, sees_all: bool) -> dict[str, Any]:
    return {"stage": row.stage, "round": row.round, **_told(row, me, sees_all=sees_all)}


def _told(row: AnyRow, me: Actor, *, sees_all: bool) -> dict[str, Any]:
    return {
        "text": row.text,
        "at": row.at,
        "own": row.worker_id == me.id,
        "who": row.username if sees_all else None,
    }
