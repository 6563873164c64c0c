"""All SQL of when the rule looks at somebody again of whom nothing new was judged."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT
from crowd.tiers.quality_models import RuleLook


def look_again(conn: Connection, worker_id: int, at: datetime) -> None:
    """Have the rule look at a person, at the latest at that moment. The caller has locked the person."""
    insert = INSERT[conn.dialect.name](RuleLook)
    due = insert.excluded.due_at
    sooner = {
        "due_at": sa.case((RuleLook.due_at < due, RuleLook.due_at), else_=due),
        "asked": RuleLook.asked + 1,
    }
    values = {"worker_id": worker_id, "due_at": at, "asked": 1}
    conn.execute(insert.on_conflict_do_update(index_elements=["worker_id"], set_=sooner), values)


def due_people(conn: Connection, now: datetime, after: int, limit: int) -> Sequence[int]:
    """The ids of people beyond `after` at whom it is time to look, in order."""
    due = sa.select(RuleLook.worker_id).where(RuleLook.due_at <= now, RuleLook.worker_id > after)
    return conn.execute(due.order_by(RuleLook.worker_id).limit(limit)).scalars().all()


def asked(conn: Connection, worker_id: int) -> int | None:
    """How often a look at this person was asked for since the last one; None: never."""
    found = sa.select(RuleLook.asked).where(RuleLook.worker_id == worker_id)
    return conn.execute(found).scalar_one_or_none()


def looked(conn: Connection, worker_id: int, seen: int, again_at: datetime | None) -> None:
    """Somebody has looked, knowing what was asked for by then; `again_at`: when to look once more.

    What was asked for meanwhile stays as it is.
    """
    here = (RuleLook.worker_id == worker_id, RuleLook.asked == seen)
    if again_at is None:
        conn.execute(sa.delete(RuleLook).where(*here))
    else:
        conn.execute(sa.update(RuleLook).where(*here).values(due_at=again_at))
