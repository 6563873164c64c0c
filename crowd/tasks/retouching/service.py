"""Who may change a working image, and when: its labels must go on fitting it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound
from crowd.images import pictures
from crowd.images.files import address_of
from crowd.images.history import Happening
from crowd.images.models import REAL_STATES, ImageState, What
from crowd.images.pictures import NewPicture, Rectangle
from crowd.policy import Stage
from crowd.runtime import Runtime
from crowd.tasks import image_queries, leases
from crowd.tasks import queries as tasks
from crowd.tasks.models import Purpose, TaskState
from crowd.tasks.retouching import queries

_ENDED = (ImageState.REFUSED, ImageState.WITHDRAWN)
# Whoever judges an image looks at it as closely as whoever drew it; docs/decisions/0023.
_COVERING = frozenset({Stage.SEGMENTATION, Stage.FIRST_REVIEW, Stage.SECOND_REVIEW, Stage.ADJUDICATION})
_LESSONS = (Purpose.PRACTICE, Purpose.EXAM)


class How(StrEnum):
    """How a face is made unrecognisable: by coarse blocks over it, or by cutting off what lies above."""

    MOSAIC = "mosaic"
    CROP = "crop"


@dataclass(frozen=True, slots=True)
class Marked:
    """Faces somebody marked (x, y, width, height; pixels of the working image), and what becomes of them."""

    regions: Sequence[Rectangle]
    how: How
    reason: str = ""


def cover_at_hand(rt: Runtime, worker_id: int, task_id: int, token: int, marked: Marked) -> dict[str, Any]:
    """Cover faces in the image of a segmentation or review that this person holds; the image and its shift.

    Everybody is shown the new picture from then on, and no answer is touched. Cutting is for segmentations.
    Raises NotFound, Forbidden (never theirs), Conflict (`lease_lost`, `superseded`, `not_segmentation`,
    `lesson`, `labelled`, `changed`), and a 422 about `regions`.
    """
    with rt.db.read() as conn:
        task = leases.own_task(conn, worker_id, task_id, token)
        _require_held(task, worker_id, token)
        _require_stage(task, marked)
        if marked.how is How.CROP:
            _require_unlabelled(conn, task.image_id)
        source = queries.source_of(conn, task.image_id) if marked.how is How.MOSAIC else None
    new = _made(rt, task.image_id, marked)
    changes = [(new, marked.regions)]
    if source is not None:
        changes.append(_of_source(rt, new, marked, source))
    with rt.db.begin() as conn:
        # The images before the task, as everybody who needs both; several in the order of their ids.
        for image_id in sorted(each.image_id for each, _ in changes):
            image_queries.lock_image(conn, image_id)
        _require_held(tasks.lock_task(conn, task_id, token), worker_id, token)
        if marked.how is How.CROP:
            _require_unlabelled(conn, task.image_id)
        what = What.CROPPED if marked.how is How.CROP else What.COVERED
        happening = Happening(what, worker_id=worker_id, stage=task.stage, task_id=task_id)
        now = clock.now()
        for each, regions in changes:
            pictures.take(conn, each, happening, regions, now)
    return _shown(new)


def cover_image(rt: Runtime, actor_id: int, image_id: int, marked: Marked) -> dict[str, Any]:
    """The refining team covers faces in any image that may still be used; the image and its shift.

    Raises NotFound, Conflict (`ended`, `changed`; with `crop` `labelled` and `at_hand`), and a 422.
    """
    with rt.db.read() as conn:
        _require_open(conn, image_id, cut=marked.how is How.CROP)
    new = _made(rt, image_id, marked)
    what = What.CROPPED if marked.how is How.CROP else What.COVERED
    return _take(rt, new, what, actor_id, marked)


def crop_image(rt: Runtime, actor_id: int, image_id: int, box: Rectangle, reason: str) -> dict[str, Any]:
    """The refining team keeps a part of an image that nobody has labelled; the image and its shift.

    Raises NotFound, Conflict (`ended`, `labelled`, `at_hand`, `changed`), and a 422 about `box`.
    """
    with rt.db.read() as conn:
        _require_open(conn, image_id, cut=True)
    return _take(
        rt, pictures.cropped(rt, image_id, box), What.CROPPED, actor_id, Marked([box], How.CROP, reason)
    )


def _made(rt: Runtime, image_id: int, marked: Marked) -> NewPicture:
    if marked.how is How.CROP:
        return pictures.cut_below(rt, image_id, marked.regions)
    return pictures.covered(rt, image_id, marked.regions)


def _of_source(
    rt: Runtime, new: NewPicture, marked: Marked, source: queries.Source
) -> tuple[NewPicture, Sequence[Rectangle]]:
    """The same faces covered in the image whose picture a shadow seat shows: that one is delivered."""
    if not source.is_apart:
        return replace(new, image_id=source.image_id), marked.regions
    dx, dy = source.cut_off
    regions = [[x + dx, y + dy, width, height] for x, y, width, height in marked.regions]
    return pictures.covered(rt, source.image_id, regions), regions


def _take(rt: Runtime, new: NewPicture, what: What, actor_id: int, marked: Marked) -> dict[str, Any]:
    with rt.db.begin() as conn:
        image_queries.lock_image(conn, new.image_id)
        cut = what is What.CROPPED
        _require_open(conn, new.image_id, cut=cut)
        # Named with the task that waits, so that what a model proposed for it is not shown any more.
        waiting = queries.open_tasks(conn, new.image_id) if cut else ()
        happening = Happening(
            what, worker_id=actor_id, task_id=waiting[0].id if waiting else None, why=marked.reason
        )
        pictures.take(conn, new, happening, marked.regions, clock.now())
    return _shown(new)


def _require_stage(task: AnyRow, marked: Marked) -> None:
    cut = marked.how is How.CROP
    if task.stage not in _COVERING or (cut and task.stage is not Stage.SEGMENTATION):
        place = "drawn" if cut else "drawn or judged"
        raise Conflict("not_segmentation", f"This is done while the outlines are {place}.")
    if task.purpose in _LESSONS:
        raise Conflict("lesson", "The picture of a lesson is a copy: tell an admin of the face instead.")


def _require_held(task: AnyRow, worker_id: int, token: int) -> None:
    if task.state is not TaskState.LEASED or task.worker_id != worker_id or task.token != token:
        raise leases.why_not(task)


def _require_open(conn: Connection, image_id: int, *, cut: bool) -> None:
    image = image_queries.image_row(conn, image_id)
    if image is None or image.state not in REAL_STATES:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    if image.state in _ENDED:
        raise Conflict("ended", f"Image {image_id} is {image.state}: nobody is shown it any more.")
    if not cut:
        return
    _require_unlabelled(conn, image_id)
    if any(task.state is TaskState.LEASED for task in queries.open_tasks(conn, image_id)):
        raise Conflict("at_hand", f"Somebody is drawing image {image_id} just now.")


def _require_unlabelled(conn: Connection, image_id: int) -> None:
    if queries.has_labels(conn, image_id):
        raise Conflict("labelled", f"Image {image_id} has labels, which would no longer fit.")


def _shown(new: NewPicture) -> dict[str, Any]:
    return {
        "image": {
            "id": new.image_id,
            "url": address_of(new.image_id, new.picture),
            "width": new.made.width,
            "height": new.made.height,
        },
        "shift": [-new.kept[0], -new.kept[1]],
    }
