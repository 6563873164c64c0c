"""Working images made anew: faces that were missed are covered, what does not belong is cut off.

The original stays as it was handed in, and so does the first working image: the new one lies beside it, under
the hash of its bytes, and the image's row names it from then on.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, Unavailable, field_error
from crowd.images import queries
from crowd.images.decode import Changed, Changes, Starved, Unreadable
from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import What
from crowd.images.service import warm_decoder
from crowd.runtime import Runtime

# Below that a rectangle is a slip of the hand, above it a picture is none (pixels).
LEAST_SIDE, LEAST_KEPT = 4, 32
MOST_REGIONS = 20

Rectangle = Sequence[int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class NewPicture:
    """A working image that lies in the storage, and is shown once `take` has been called.

    `before` is the picture that it was made of; `kept` is left, top, width and height of what stayed of that.
    """

    image_id: int
    before: bytes | None
    picture: bytes
    made: Changed
    kept: tuple[int, int, int, int]
    covered: int


# Called in the transaction in which a new picture is taken, under the image's lock: releases, which stand
# above this room, note that they hold another picture from now on.
TAKEN_HOOKS: list[Callable[[Connection, NewPicture, What, datetime], None]] = []


def covered(rt: Runtime, image_id: int, regions: Sequence[Rectangle]) -> NewPicture:
    """The picture with coarse blocks over each region (x, y, width, height; pixels), not yet shown.

    Raises NotFound, Conflict `no_working_image`, and a 422 about `regions`.
    """
    image = _shown(rt, image_id)
    return _make(rt, image, Changes(cover=_boxes(regions, image)))


def cut_below(rt: Runtime, image_id: int, regions: Sequence[Rectangle]) -> NewPicture:
    """The picture below the lowest of these regions, not yet shown.

    Raises as `covered` does; a 422 about `regions` too where less than half of the picture, or less than
    LEAST_KEPT pixels of it, would be left.
    """
    image = _shown(rt, image_id)
    lowest = max(bottom for _, _, _, bottom in _boxes(regions, image))
    if lowest > image.height / 2 or image.height - lowest < LEAST_KEPT:
        raise field_error("regions", "Too little of the picture would be left: cover it instead.")
    return _make(rt, image, Changes(keep=(0, lowest, image.width, image.height)))


def cropped(rt: Runtime, image_id: int, box: Rectangle) -> NewPicture:
    """What lies within the box (x, y, width, height; pixels), not yet shown.

    Raises as `covered` does, the 422 about `box`.
    """
    image = _shown(rt, image_id)
    left, top, right, bottom = kept = _box(box, image, "box")
    if right - left < LEAST_KEPT or bottom - top < LEAST_KEPT:
        raise field_error("box", f"At least {LEAST_KEPT} by {LEAST_KEPT} pixels have to be left.")
    return _make(rt, image, Changes(keep=kept))


def searched(rt: Runtime, image_id: int) -> NewPicture | None:
    """The picture with every face that the detector finds covered, not yet shown; None where it finds none.

    Raises NotFound, Conflict `no_working_image`, and Unavailable `busy`.
    """
    image, changes = _shown(rt, image_id), Changes()
    made, data, thumbnail = _change(rt, image, changes)
    return _keep(rt, image, changes, made, data, thumbnail) if made.faces else None


def take(
    conn: Connection, new: NewPicture, happening: Happening, regions: Sequence[Rectangle], now: datetime
) -> None:
    """From now on people are shown the new picture; who did it, where and why is a row that stays.

    The caller holds the lock on the image's row. Raises Conflict `changed` where another picture came first.
    """
    image = queries.image_file(conn, new.image_id)
    if image is None or image.picture != new.before:
        raise Conflict("changed", "The picture was changed meanwhile; look at it again.")
    queries.set_picture(
        conn, new.image_id, new.picture, new.made.width, new.made.height, new.covered + new.made.faces
    )
    told: dict[str, Any] = {"regions": [list(each) for each in regions], "picture": new.picture.hex()}
    if happening.what is What.CROPPED:
        told["kept"] = list(new.kept)
    if isinstance(happening.why, str) and happening.why:
        told["reason"] = happening.why
    kept = Happening(
        happening.what,
        worker_id=happening.worker_id,
        stage=happening.stage,
        task_id=happening.task_id,
        why=told,
    )
    record(conn, new.image_id, kept, now)
    for hook in TAKEN_HOOKS:
        hook(conn, new, happening.what, now)


def _shown(rt: Runtime, image_id: int) -> AnyRow:
    """The image with the picture that people are shown now."""
    with rt.db.read() as conn:
        image = queries.image_file(conn, image_id)
    if image is None:
        raise NotFound("no_such_image", f"There is no image {image_id}.")
    if image.width is None:
        raise Conflict("no_working_image", "There is no working image to change yet.")
    return image


def _boxes(regions: Sequence[Rectangle], image: AnyRow) -> list[Box]:
    return [_box(each, image, f"regions.{place}") for place, each in enumerate(regions)]


def _box(rectangle: Rectangle, image: AnyRow, path: str) -> Box:
    """Left, top, right and bottom of the part of a rectangle that lies in the picture."""
    x, y, width, height = rectangle
    box = (max(x, 0), max(y, 0), min(x + width, image.width), min(y + height, image.height))
    if box[2] - box[0] < LEAST_SIDE or box[3] - box[1] < LEAST_SIDE:
        size = f"{image.width} by {image.height}"
        raise field_error(path, f"Less than {LEAST_SIDE} pixels of a side lie in the picture of {size}.")
    return box


def _make(rt: Runtime, image: AnyRow, changes: Changes) -> NewPicture:
    return _keep(rt, image, changes, *_change(rt, image, changes))


def _change(rt: Runtime, image: AnyRow, changes: Changes) -> tuple[Changed, bytes, bytes]:
    """What was made of the picture that is shown now, its bytes and those of its thumbnail."""
    shown = files_of(image.sha256, image.picture)
    try:
        with (
            warm_decoder(rt.policy) as decoder,
            rt.storage.opened(shown.working) as source,
            rt.storage.temporary(suffix=".jpg") as working,
            rt.storage.temporary(suffix=".jpg") as small,
        ):
            made = decoder.change(source, working, small, changes)
            return made, working.read_bytes(), small.read_bytes()
    except (FileNotFoundError, Unreadable):
        raise Conflict("no_working_image", f"The working image of {image.id} cannot be read.") from None
    except Starved as problem:
        raise Unavailable("busy", f"{problem}; try again") from None


def _keep(
    rt: Runtime, image: AnyRow, changes: Changes, made: Changed, data: bytes, thumbnail: bytes
) -> NewPicture:
    picture = hashlib.sha256(data).digest()
    files = files_of(image.sha256, picture)
    rt.storage.put(files.working, data)
    rt.storage.put(files.thumbnail, thumbnail)
    left, top, right, bottom = changes.keep or (0, 0, image.width, image.height)
    kept = (left, top, right - left, bottom - top)
    return NewPicture(image.id, image.picture, picture, made, kept, len(changes.cover))
