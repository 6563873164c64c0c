"""An image as a person may see it: admins everything, others their own events, and no names."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.errors import NotFound
from crowd.images.models import Image, ImageEvent, Supplier
from crowd.images.queries import findings_of
from crowd.tasks import answer_queries, handover


def image_view(conn: Connection, image_id: int, viewer_id: int | None) -> dict[str, Any]:
    """The image for `viewer_id`, or the whole of it for None. Raises NotFound.

    A worker sees only what they did themselves: so nobody in a blind seat, or who may get one,
    learns of the other.
    """
    image = conn.execute(
        sa.select(
            Image.id,
            Image.state,
            Image.round,
            Image.width,
            Image.height,
            Image.file_name,
            Image.rights,
            Supplier.name.label("supplier"),
        )
        .join(Supplier, Supplier.id == Image.supplier_id)
        .where(Image.id == image_id)
    ).one_or_none()
    if image is None:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    view: dict[str, Any] = {
        "id": image.id,
        "state": image.state,
        "round": image.round,
        "width": image.width,
        "height": image.height,
        "labels": handover.labels_view(handover.present_labels(answer_queries.label_rows(conn, image_id))),
        "history": _history(conn, image_id, viewer_id),
    }
    if viewer_id is None:
        view |= {
            "file_name": image.file_name,
            "supplier": image.supplier,
            "rights": image.rights.value,
            "findings": findings_of(conn, image_id),
        }
    return view


def _history(conn: Connection, image_id: int, viewer_id: int | None) -> list[dict[str, Any]]:
    statement = (
        sa.select(
            ImageEvent.at,
            ImageEvent.what,
            ImageEvent.stage,
            ImageEvent.target,
            ImageEvent.round,
            ImageEvent.task_id,
            ImageEvent.why,
            Worker.username.label("who"),
        )
        .join(Worker, Worker.id == ImageEvent.worker_id, isouter=True)
        .where(ImageEvent.image_id == image_id)
        .order_by(ImageEvent.id)
    )
    if viewer_id is not None:
        statement = statement.where(ImageEvent.worker_id == viewer_id)
    return [dict(row._mapping) for row in conn.execute(statement)]
