"""The SQL of who has an image at hand while its picture is to be changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.images.models import Image, ImageState
from crowd.tasks import image_queries
from crowd.tasks.models import Label, Task, TaskState

_OPEN = (TaskState.READY, TaskState.LEASED, TaskState.STUCK, TaskState.ASSIGNED)


@dataclass(frozen=True, slots=True)
class Source:
    """The image whose picture a shadow seat shows.

    `is_apart`: the seat's picture was changed since; it lies `cut_off` (pixels) right and below.
    """

    image_id: int
    is_apart: bool
    cut_off: tuple[int, int]


def source_of(conn: Connection, image_id: int) -> Source | None:
    """Whose picture an image's number shows; None for one of its own."""
    row = conn.execute(
        sa.select(Image.duplicate_of, Image.picture).where(
            Image.id == image_id, Image.state == ImageState.SHADOW
        )
    ).one_or_none()
    if row is None:
        return None
    return Source(row.duplicate_of, row.picture is not None, image_queries.cut_off(conn, image_id))


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
