"""Labelled images in: other people's labels become this system's, for data sets, for review, or for gold.

One transaction an image, so that an import that was broken off is simply run again.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.datasets import queries
from crowd.datasets.labelled import Labelled
from crowd.images.decode import Decoder, Derived, Unreadable
from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, What
from crowd.images.service import Delivery, Intake, derive_kept, keep_original, settle_brought, take_file
from crowd.policy import Action, Stage
from crowd.runtime import Runtime
from crowd.tasks import image_queries, seat_queries, taxonomies
from crowd.tasks.flow import STAGES
from crowd.tasks.labels import (
    InvalidResult,
    check_attributes,
    check_segmentation,
    check_styles,
    region_parts,
)
from crowd.taxonomy import Taxonomy

# What a JPEG may consist of that needs no cleaning: tables, frame, scan, and the JFIF header.
CLEAN_MARKERS = frozenset((0xDB, 0xC4, 0xC0, 0xC2, 0xDD, 0xE0))
SCAN, END = 0xDA, b"\xff\xd9"


class Standing(StrEnum):
    """What becomes of an image that came with labels."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    HELD = "held"


class Outcome(StrEnum):
    """How one image of an import ended."""

    TAKEN = "taken"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Import:
    """Whose images these are, by what right (see Delivery), and what becomes of them."""

    delivery: Delivery
    standing: Standing


def take_labelled(rt: Runtime, decoder: Decoder, given: Import, item: Labelled) -> tuple[Outcome, str]:
    """Take one image with its labels. Returns how it ended and, unless all is well, a sentence.

    Labels that cannot be true of their image are refused as a person's would be; nothing is kept then. The
    image itself is held against the criteria of intake like any other.
    """
    data = item.image.read_bytes()
    sha256 = keep_original(rt, data)
    delivery = replace(given.delivery, file_name=item.file_name)
    present = taxonomies.shelf(rt).present()
    try:
        derived = _derive(rt, decoder, sha256, data)
        labels = _checked(present.taxonomy, item, derived)
    except Unreadable as fault:
        return Outcome.REFUSED, fault.reason
    except InvalidResult as fault:
        return Outcome.REFUSED, str(fault)
    now = clock.now()
    with rt.db.begin() as conn:
        taken = take_file(conn, rt.policy, sha256, delivery, None)
        if taken.known:
            return Outcome.KNOWN, ""
        if taken.state is not ImageState.REFUSED:
            taken = settle_brought(conn, rt.policy, taken, derived, {"imported": item.where}, now)
        if taken.state is ImageState.REFUSED:
            is_duplicate = any(each.code == "duplicate" for each in taken.findings)
            return Outcome.DUPLICATE if is_duplicate else Outcome.REFUSED, _because(taken, Action.REFUSE)
        for stage, value in labels.items():
            queries.add_label(conn, taken.image_id, stage, present.id, value, now)
        return _settle(conn, taken, given.standing, item, now)


def _derive(rt: Runtime, decoder: Decoder, sha256: bytes, data: bytes) -> Derived:
    """Make the working image; a JPEG that is one already is kept to the byte, and goes out as it came."""
    derived = derive_kept(rt, decoder, sha256)
    same_size = (derived.width, derived.height) == (derived.original_width, derived.original_height)
    is_changed = derived.faces or derived.cropped or derived.findings or not same_size
    if not is_changed and derived.format == "JPEG" and is_clean_jpeg(data):
        rt.storage.put(files_of(sha256).working, data)
    return derived


def is_clean_jpeg(data: bytes) -> bool:
    """Whether a JPEG holds a picture alone: no metadata of any kind, and nothing behind its end."""
    if data[:2] != b"\xff\xd8":
        return False
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == SCAN:
            # What stands behind the first end of image is no picture, or a second one.
            return data.find(END, at) == len(data) - len(END) and data.count(b"\xff\xd8") == 1
        if marker not in CLEAN_MARKERS:
            return False
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


def _checked(taxonomy: Taxonomy, item: Labelled, derived: Derived) -> dict[Stage, Any]:
    """The labels of each stage in normal form, in pixels of the working image. Raises InvalidResult."""
    across, down = derived.width / item.width, derived.height / item.height
    regions = [
        {**region, "rings": [_scaled(ring, across, down) for ring in region["rings"]]}
        for region in item.regions
    ]
    if (across, down) != (1, 1):
        regions = [{**region, "box": None} for region in regions]
    segmentation = check_segmentation({"regions": regions}, taxonomy, derived.width, derived.height)
    parts = region_parts(segmentation)
    labels = {
        Stage.SEGMENTATION: segmentation,
        Stage.ATTRIBUTES: check_attributes({"regions": item.attributes}, taxonomy, parts),
    }
    if item.styles:
        labels[Stage.STYLES] = check_styles({"styles": item.styles}, taxonomy)
    return labels


def _scaled(ring: list[list[float]], across: float, down: float) -> list[list[float]]:
    if (across, down) == (1, 1):
        return ring
    return [[x * across, y * down] for x, y in ring]


def _settle(
    conn: Connection, taken: Intake, standing: Standing, item: Labelled, now: datetime
) -> tuple[Outcome, str]:
    if taken.state is ImageState.HELD:
        return Outcome.HELD, f"{_because(taken, Action.HOLD)}; the labels are kept with it"
    image = image_queries.lock_image(conn, taken.image_id)
    assert image is not None
    if standing is not Standing.HELD and not item.styles:
        _open(conn, image, Stage.STYLES, now)
        return Outcome.TAKEN, "has no style yet: an expert is asked first"
    if standing is Standing.REVIEW:
        _open(conn, image, Stage.FIRST_REVIEW, now)
        return Outcome.TAKEN, ""
    what = What.ACCEPTED if standing is Standing.ACCEPTED else What.HELD
    record(conn, taken.image_id, Happening(what, why={"imported": item.where}), now)
    return Outcome.TAKEN, ""


def _because(taken: Intake, action: Action) -> str:
    return "; ".join(each.detail for each in taken.findings if each.action is action)


def _open(conn: Connection, image: AnyRow, stage: Stage, now: datetime) -> None:
    for _ in range(STAGES[stage].seats):
        seat_queries.open_task(conn, image, stage, image.round, now)
