"""The SQL of who has an image at hand while its picture is to be changed."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.tasks.models import Label, Task, TaskState

_OPEN = (TaskState.READY, TaskState.LEASED, TaskState.STUCK, TaskState.ASSIGNED)


def has_labels(conn: Connection, image_id: int) -> bool:
    """Whether anybody has labelled the image, or part of it, in any round."""
    return conn.execute(sa.select(sa.exists().where(Label.image_id == image_id))).scalar_one()


def open_tasks(conn: Connection, image_id: int) -> Sequence[AnyRow]:
    """Id and state of the image's open tasks."""
    return conn.execute(
        sa.select(Task.id, Task.state)
        .where(Task.image_id == image_id, Task.state.in_(_OPEN))
        .order_by(Task.id)
    ).all()
