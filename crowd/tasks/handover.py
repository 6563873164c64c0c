"""What is handed to the person who claims: the image, the labels so far, and why it came back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow
from crowd.images.files import address_of
from crowd.images.models import What
from crowd.policy import Stage
from crowd.tasks import image_queries
from crowd.tasks.flow import LABELLING, Cause
from crowd.tasks.labels import carry_attributes, region_parts
from crowd.tasks.models import TOLD_BESIDE

# Independent judgements are given without knowing what others found before.
_WITHOUT_FEEDBACK = frozenset(
    {
        (Stage.SECOND_REVIEW, None),
        (Stage.ADJUDICATION, Cause.SPLIT),
        (Stage.ADJUDICATION, Cause.STYLES),
    }
)


# Given a task just claimed and the present labels, what a model proposes for it; None from each: nothing.
PROPOSERS: list[Callable[[Connection, AnyRow, Mapping[Stage, Any]], dict[str, Any] | None]] = []


def present_labels(rows: Iterable[AnyRow]) -> dict[Stage, Any]:
    """The latest labels of each stage, attributes fitted to the latest regions.

    `rows`: versions of labels, oldest first. Attributes given for earlier regions keep only
    what still has a region of the same part.
    """
    labels: dict[Stage, Any] = {}
    regions_then: Any = None
    for row in rows:
        labels[row.stage] = row.value
        if row.stage is Stage.ATTRIBUTES:
            regions_then = labels.get(Stage.SEGMENTATION)
    attributes = labels.get(Stage.ATTRIBUTES)
    regions_now = labels.get(Stage.SEGMENTATION)
    if attributes and regions_then and regions_now and regions_then is not regions_now:
        carried = carry_attributes(attributes, region_parts(regions_then), region_parts(regions_now))
        labels[Stage.ATTRIBUTES] = carried
    return labels


def labels_view(labels: dict[Stage, Any]) -> dict[str, Any]:
    """Labels by stage name, null where there are none yet."""
    return {stage.value: labels.get(stage) for stage in LABELLING}


def task_view(conn: Connection, task: AnyRow, *, just_claimed: bool = True) -> dict[str, Any]:
    """A claimed task as its holder gets it (the contract's "task").

    Candidates are shown, and noted as shown, at the claim alone.
    """
    image, rows = image_queries.picture_and_labels(conn, task.image_id)
    labels = present_labels(rows)
    shows = just_claimed and not _was_cut(conn, task, image.picture)
    view: dict[str, Any] = {
        "id": task.id,
        "stage": task.stage.value,
        "round": task.round,
        "lease": lease_view(task),
        "image": {
            "id": task.image_id,
            "url": address_of(task.image_id, image.picture),
            "width": image.width,
            "height": image.height,
        },
        "labels": labels_view(labels),
        "candidates": candidates_view(conn, task, labels) if shows else None,
        "feedback": feedback_view(conn, task),
    }
    if task.stage is Stage.ADJUDICATION:
        view["cause"] = task.cause.value
        view["disputed"] = task.disputed.value if task.disputed else None
    return view


def _was_cut(conn: Connection, task: AnyRow, picture: bytes | None) -> bool:
    """Whether a part of the image was cut off since the task opened: what a model proposed fits no longer."""
    return picture is not None and any(image_queries.cut_off(conn, task.image_id, task.id))


def candidates_view(conn: Connection, task: AnyRow, labels: Mapping[Stage, Any]) -> dict[str, Any] | None:
    """What a model proposes for a task just claimed; None for nothing."""
    return next((found for propose in PROPOSERS if (found := propose(conn, task, labels))), None)


def purpose_header(task: AnyRow) -> dict[str, str]:
    """The header that tells what a task is for, where that is no secret and its stage does not say it."""
    return {"Task-Purpose": task.purpose.value} if task.purpose in TOLD_BESIDE else {}


def lease_view(task: AnyRow) -> dict[str, Any]:
    """The lease of a task: its token and when it ends."""
    return {"token": task.token, "expires_at": rfc3339(task.lease_until)}


def feedback_view(conn: Connection, task: AnyRow) -> list[dict[str, Any]]:
    """Why the image came back, oldest first, without names; nothing where it would bias a blind seat."""
    # In the first round nothing has come back yet; but a dispute may have opened an adjudication.
    first = task.round == 1 and task.stage is not Stage.ADJUDICATION
    if first or (task.stage, task.cause) in _WITHOUT_FEEDBACK:
        return []
    return flatten(image_queries.feedback_rows(conn, task.image_id))


def flatten(rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """What sent an image back as single pieces of feedback; of a reopening the verdicts it goes by."""
    assert all(row.what in (What.BOUNCED, What.DISPUTED, What.REOPENED) for row in rows)
    return [{**piece, "at": rfc3339(row.at)} for row in rows for piece in _pieces(row)]


def _pieces(row: AnyRow) -> Sequence[Mapping[str, Any]]:
    if row.what is What.REOPENED:
        return row.why.get("verdicts", ()) if isinstance(row.why, Mapping) else ()
    found: Sequence[Mapping[str, Any]] = row.why
    return found


def typed_pieces(row: AnyRow) -> list[dict[str, Any]]:
    """The reasons of one bounce event, stages as stages."""
    return [{**piece, "stage": Stage(piece["stage"])} for piece in row.why]
