"""An image as a person may see it: admins everything, others their own events, and no names."""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import NotFound
from crowd.images.files import address_of
from crowd.images.models import ImageState
from crowd.images.queries import findings_of
from crowd.tasks import answer_queries, handover, image_queries, shadows


def image_view(conn: Connection, image_id: int, viewer_id: int | None, now: datetime) -> dict[str, Any]:
    """The image for `viewer_id`, or the whole of it for None. Raises NotFound.

    A worker sees only what they did themselves: so nobody in a blind seat, or who may get one,
    learns of the other.
    """
    image = image_queries.image_row(conn, image_id)
    if image is None:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    labels = handover.present_labels(answer_queries.label_rows(conn, image_id))
    state = image.state
    if state is ImageState.SHADOW and viewer_id is not None:
        later = shadows.seen_later(conn, image_id, labels, now)
        labels, state = dict(later.labels), ImageState.ACCEPTED if later.accepted else ImageState.IN_WORK
    view: dict[str, Any] = {
        "id": image.id,
        "state": state,
        "round": image.round,
        "width": image.width,
        "height": image.height,
        "url": address_of(image.id, image.picture) if image.width else None,
        "labels": handover.labels_view(labels),
        "history": [_event(row, viewer_id) for row in image_queries.events(conn, image_id, viewer_id)],
    }
    if viewer_id is None:
        view |= {
            "file_name": image.file_name,
            "supplier": image.supplier,
            "rights": image.rights.value,
            "findings": findings_of(conn, image_id),
        }
    return view


def _event(row: AnyRow, viewer_id: int | None) -> dict[str, Any]:
    event = dict(row._mapping)
    if event.pop("worker_id") != viewer_id and viewer_id is not None:
        event["who"] = None
    return event
