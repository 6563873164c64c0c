"""Notices: what those who steer tell people of a grade, a stage or a group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.accounts.group_queries import group_of
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, field_error
from crowd.policy import Policy
from crowd.steering import queries

USUAL_LIFE = timedelta(days=30)
LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody notices are for, at a moment."""

    me: Actor
    policy: Policy
    now: datetime

    def about(self, conn: Connection) -> tuple[Any, ...]:
        """What decides which notices are theirs."""
        me = self.me
        group = group_of(conn, me.id, self.now)
        return me.id, me.grade, self.policy.stages_for(me.grade), group, self.now


def send(conn: Connection, values: Mapping[str, Any], *, by: int, now: datetime) -> AnyRow:
    """A new notice. Raises a 422 about `group` or `expires_at`."""
    if values["group_id"] is not None and not queries.group_exists(conn, values["group_id"]):
        raise field_error("group", f"there is no group {values['group_id']}")
    expires_at = values["expires_at"] or now + USUAL_LIFE
    if not now < expires_at <= now + LONGEST_LIFE:
        raise field_error("expires_at", f"must lie in the next {LONGEST_LIFE.days} days")
    notice_id = queries.add_notice(conn, **{**values, "expires_at": expires_at}, at=now, by_id=by)
    return find(conn, notice_id)


def find(conn: Connection, notice_id: int) -> AnyRow:
    """The notice, as those who steer see it. Raises NotFound."""
    row = queries.notice(conn, notice_id)
    if row is None:
        raise NotFound("no_such_notice", f"There is no notice {notice_id}.")
    return row


def end(conn: Connection, notice_id: int, *, by: int, reason: str, now: datetime) -> AnyRow:
    """Nobody is shown the notice any more. Raises NotFound, and Conflict `ended`."""
    find(conn, notice_id)
    if not queries.end_notice(conn, notice_id, now, by, reason):
        raise Conflict("ended", "The notice has been taken back.")
    return find(conn, notice_id)


def listen(
    conn: Connection, reader: Reader, *, before: int | None, limit: int, only_unread: bool
) -> Sequence[AnyRow]:
    """What the person is to see, newest first."""
    about = reader.about(conn)
    return queries.notices_for(conn, *about, before=before, limit=limit, only_unread=only_unread)


def read(conn: Connection, reader: Reader, notice_id: int) -> None:
    """The person has read the notice; again changes nothing. Raises NotFound for one not for them."""
    if not queries.notices_for(conn, *reader.about(conn), before=None, limit=1, only=notice_id):
        raise NotFound("no_such_notice", f"There is no notice {notice_id} for you.")
    queries.mark_read(conn, notice_id, reader.me.id, reader.now)


def unread(conn: Connection, reader: Reader) -> int:
    """How many notices the person has not read."""
    return queries.unread(conn, *reader.about(conn))
