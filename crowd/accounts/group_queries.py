"""Every SQL statement about groups and who belongs to them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Group, Membership, Worker
from crowd.core.db import AnyRow

_LATER = sa.alias(Membership.__table__, "later")
# A person's newest row is where they belong now.
IS_PRESENT = ~sa.exists(
    sa.select(_LATER.c.id).where(_LATER.c.worker_id == Membership.worker_id, _LATER.c.id > Membership.id)
)
_GROUP_COLUMNS = (Group.id, Group.kind, Group.name, Group.created_at)


def group(conn: Connection, group_id: int) -> AnyRow | None:
    """The group of that id."""
    return conn.execute(sa.select(*_GROUP_COLUMNS).where(Group.id == group_id)).one_or_none()


def group_named(conn: Connection, name: str) -> AnyRow | None:
    """The group of that name."""
    return conn.execute(sa.select(*_GROUP_COLUMNS).where(Group.name == name)).one_or_none()


def groups(conn: Connection, *, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Groups by id beyond `after`, each with how many belong to it now."""
    members = (
        sa.select(sa.func.count())
        .select_from(Membership)
        .where(Membership.group_id == Group.id, IS_PRESENT)
        .correlate(Group)
        .scalar_subquery()
    )
    query = sa.select(*_GROUP_COLUMNS, members.label("members")).order_by(Group.id).limit(limit)
    return conn.execute(query if after is None else query.where(Group.id > after)).all()


def history(conn: Connection, group_id: int, *, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Everybody's times in the group by row: from when, until when (null: still), by whom and why."""
    ended = (
        sa.select(_LATER.c.at)
        .where(_LATER.c.worker_id == Membership.worker_id, _LATER.c.id > Membership.id)
        .order_by(_LATER.c.id)
        .limit(1)
        .correlate(Membership)
        .scalar_subquery()
    )
    actor = sa.alias(Worker.__table__, "actor")
    query = (
        sa.select(
            Membership.id,
            Membership.worker_id,
            Worker.username,
            Membership.at.label("from_at"),
            sa.type_coerce(ended, Membership.at.type).label("to_at"),
            actor.c.username.label("by"),
            Membership.reason,
        )
        .join(Worker, Worker.id == Membership.worker_id)
        .outerjoin(actor, actor.c.id == Membership.actor_id)
        .where(Membership.group_id == group_id)
        .order_by(Membership.id)
        .limit(limit)
    )
    return conn.execute(query if after is None else query.where(Membership.id > after)).all()


def lock_people(conn: Connection, worker_ids: Collection[int]) -> set[int]:
    """Which of these people there are, locked in the order of their ids."""
    query = sa.select(Worker.id).where(Worker.id.in_(worker_ids), Worker.erased_at.is_(None))
    return set(conn.execute(query.order_by(Worker.id).with_for_update(key_share=True)).scalars())


def present_groups(conn: Connection, worker_ids: Collection[int]) -> dict[int, int | None]:
    """The group each of these people belongs to now; without those who never belonged to one."""
    query = sa.select(Membership.worker_id, Membership.group_id).where(
        Membership.worker_id.in_(worker_ids), IS_PRESENT
    )
    return {row.worker_id: row.group_id for row in conn.execute(query)}


def group_at(worker_id: Any, moment: Any) -> sa.ColumnElement[int]:
    """SQL: the group somebody belonged to at a moment, 0 for none; both may be columns."""
    found = (
        sa.select(sa.func.coalesce(Membership.group_id, sa.literal_column("0")))
        .where(Membership.worker_id == worker_id, Membership.at <= moment)
        .order_by(Membership.id.desc())
        .limit(1)
        .correlate_except(Membership)
        .scalar_subquery()
    )
    return sa.func.coalesce(found, sa.literal_column("0"))


def group_of(conn: Connection, worker_id: int, now: datetime) -> int | None:
    """The group a person belongs to now."""
    found: int = conn.execute(sa.select(group_at(worker_id, now))).scalar_one()
    return found or None
