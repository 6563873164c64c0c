"""Groups of people: founding them, and who belongs to which since when.

A person belongs to one group at a time, or to none, so that figures by group add up to the whole.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts import group_queries as queries
from crowd.accounts.models import Group, GroupKind, Membership
from crowd.core.clock import now
from crowd.core.db import INSERT, AnyRow
from crowd.core.errors import Conflict, NotFound, field_error

LONGEST_NAME = 200
MOST_MEMBERS = 500


def found(conn: Connection, kind: GroupKind, name: str, *, by: int | None) -> AnyRow:
    """A new group. Raises a 422 about `name`, and Conflict `name_taken`. `by` None: the command line."""
    chosen = " ".join(name.split())
    if not chosen or len(chosen) > LONGEST_NAME:
        raise field_error("name", f"must have 1 to {LONGEST_NAME} characters")
    insert = INSERT[conn.dialect.name](Group).on_conflict_do_nothing(index_elements=["name"])
    values = {"kind": kind, "name": chosen, "created_at": now(), "created_by": by}
    group_id = conn.execute(insert.values(values).returning(Group.id)).scalar_one_or_none()
    if group_id is None:
        raise Conflict("name_taken", f"There is a group called {chosen} already.")
    return find(conn, group_id)


def find(conn: Connection, group_id: int) -> AnyRow:
    """The group. Raises NotFound."""
    row = queries.group(conn, group_id)
    if row is None:
        raise NotFound("no_such_group", f"There is no group {group_id}.")
    return row


def find_named(conn: Connection, name: str) -> AnyRow:
    """The group of that name. Raises NotFound."""
    row = queries.group_named(conn, " ".join(name.split()))
    if row is None:
        raise NotFound("no_such_group", f"There is no group called {name}.")
    return row


def join(
    conn: Connection, group_id: int | None, worker_ids: Sequence[int], *, by: int | None, reason: str
) -> int:
    """From now on these people belong to the group (None: to no group). Returns how many moved.

    Raises NotFound, and a 422 about `workers` for somebody who does not exist. Whoever belongs there
    already is passed over.
    """
    if group_id is not None:
        find(conn, group_id)
    # In the order of ids, so that two who move the same people wait for each other and never deadlock.
    known = queries.lock_people(conn, sorted(set(worker_ids)))
    if missing := sorted(set(worker_ids) - known):
        raise field_error("workers", f"there is no worker {missing[0]}")
    present = queries.present_groups(conn, known)
    moving = sorted(worker_id for worker_id in known if present.get(worker_id) != group_id)
    # The moment is taken under the lock that this person's answers take too: what they answered before
    # has an earlier one and counts for the group they were in.
    _record(conn, moving, group_id, by, reason, now())
    return len(moving)


def leave(conn: Connection, group_id: int, worker_id: int, *, by: int | None, reason: str) -> None:
    """The person belongs to the group no longer; again changes nothing. Raises NotFound."""
    find(conn, group_id)
    known = queries.lock_people(conn, [worker_id])
    if queries.present_groups(conn, known).get(worker_id) == group_id:
        _record(conn, [worker_id], None, by, reason, now())


def _record(
    conn: Connection,
    worker_ids: Sequence[int],
    group_id: int | None,
    by: int | None,
    reason: str,
    at: datetime,
) -> None:
    rows = [
        {"worker_id": each, "group_id": group_id, "at": at, "actor_id": by, "reason": reason}
        for each in worker_ids
    ]
    if rows:
        conn.execute(sa.insert(Membership), rows)
