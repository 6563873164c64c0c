"""Labelled images in: other people's labels become this system's, for data sets, for review, or for gold.

One transaction an image, so that an import that was broken off is simply run again.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Unavailable
from crowd.datasets import queries
from crowd.datasets.labelled import Labelled
from crowd.images import queries as image_rows
from crowd.images.decode import Decoder, Derived, Starved, Unreadable
from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import ImageState, What
from crowd.images.service import Delivery, Intake, keep_original, settle_brought, take_file
from crowd.images.sources import SourceError, read_capped
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

# What a JPEG may consist of that needs no cleaning: tables, frames, scans, and the JFIF header.
HEADER, SCAN = 0xE0, 0xDA
CLEAN_MARKERS = frozenset((0xDB, 0xC4, 0xC0, 0xC2, 0xDD, HEADER, SCAN))
START, END = b"\xff\xd8", b"\xff\xd9"
# Of a JFIF header without its thumbnail, behind the length.
HEADER_SIZE = 14
# Behind an FF within picture data: it was data, or a restart.
STUFFING = frozenset(bytes((each,)) for each in (0x00, *range(0xD0, 0xD8)))


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
    image itself is held against the criteria of intake like any other. An image whose bytes are here already
    stays as it is, to the byte. Raises Unavailable while the machine is too busy to decode.
    """
    try:
        data = read_capped(item.image, item.file_name)
    except SourceError as fault:
        return Outcome.REFUSED, fault.detail
    sha256 = hashlib.sha256(data).digest()
    delivery = replace(given.delivery, file_name=item.file_name)
    if (found := _there_already(rt, sha256, delivery)) is not None:
        return found
    present = taxonomies.shelf(rt).present()
    with _derived(rt, decoder, data) as made:
        if isinstance(made, Unreadable):
            return Outcome.REFUSED, made.reason
        try:
            labels = _checked(present.taxonomy, item, made.derived)
        except InvalidResult as fault:
            return Outcome.REFUSED, str(fault)
        keep_original(rt, data)
        return _take(rt, given, item, _Import(sha256, delivery, made, labels, present.id))


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of a file, and where it lies until its row is ours."""

    derived: Derived
    working: Path
    thumbnail: Path

    def keep(self, rt: Runtime, sha256: bytes) -> None:
        """Put both derivatives where those of this image lie."""
        files = files_of(sha256)
        with rt.storage.writing(files.working) as working, rt.storage.writing(files.thumbnail) as thumbnail:
            self.working.replace(working)
            self.thumbnail.replace(thumbnail)


@dataclass(frozen=True, slots=True)
class _Import:
    """An image that is ready to be taken: its bytes' hash, its derivatives, its labels by stage."""

    sha256: bytes
    delivery: Delivery
    made: _Made
    labels: Mapping[Stage, Any]
    taxonomy_id: int


def _there_already(rt: Runtime, sha256: bytes, delivery: Delivery) -> tuple[Outcome, str] | None:
    """How a file ends whose bytes are here: handed in again, or a duplicate. None for bytes that are new."""
    with rt.db.read() as conn:
        if image_rows.original_with(conn, sha256) is None:
            return None
    with rt.db.begin() as conn:
        taken = take_file(conn, rt.policy, sha256, delivery, None)
    return (Outcome.KNOWN, "") if taken.known else (Outcome.DUPLICATE, _because(taken, Action.REFUSE))


def _take(rt: Runtime, given: Import, item: Labelled, ready: _Import) -> tuple[Outcome, str]:
    now = clock.now()
    with rt.db.begin() as conn:
        taken = take_file(conn, rt.policy, ready.sha256, ready.delivery, None)
        if taken.known:
            return Outcome.KNOWN, ""
        if taken.state is ImageState.REFUSED:
            return Outcome.DUPLICATE, _because(taken, Action.REFUSE)
        # Within the transaction: before the row is ours, these may be the files of another image's row.
        ready.made.keep(rt, ready.sha256)
        taken = settle_brought(conn, rt.policy, taken, ready.made.derived, {"imported": item.where}, now)
        if taken.state is ImageState.REFUSED:
            is_duplicate = any(each.code == "duplicate" for each in taken.findings)
            return Outcome.DUPLICATE if is_duplicate else Outcome.REFUSED, _because(taken, Action.REFUSE)
        for stage, value in ready.labels.items():
            queries.add_label(conn, taken.image_id, stage, ready.taxonomy_id, value, now)
        return _settle(conn, taken, given.standing, item, now)


@contextmanager
def _derived(rt: Runtime, decoder: Decoder, data: bytes) -> Iterator[_Made | Unreadable]:
    """The working image, aside; a JPEG that is one already is kept to the byte, and goes out as it came."""
    with (
        rt.storage.temporary() as source,
        rt.storage.temporary(suffix=".jpg") as working,
        rt.storage.temporary(suffix=".jpg") as thumbnail,
    ):
        source.write_bytes(data)
        try:
            derived = decoder.derive(source, working, thumbnail)
        except Unreadable as fault:
            yield fault
            return
        except Starved as fault:
            raise Unavailable("busy", f"{fault}; try again") from None
        same_size = (derived.width, derived.height) == (derived.original_width, derived.original_height)
        is_changed = derived.faces or derived.cropped or derived.findings or not same_size
        if not is_changed and derived.format == "JPEG" and is_clean_jpeg(data):
            _write_through(working, data)
        yield _Made(derived, working, thumbnail)


def _write_through(path: Path, data: bytes) -> None:
    """To the disk itself: the row that names the file outlives a power cut."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def is_clean_jpeg(data: bytes) -> bool:
    """Whether a JPEG holds one picture alone: no metadata at any place, and nothing behind its end."""
    if data[:2] != START:
        return False
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        segment = data[at + 4 : at + 2 + size]
        if size < 2 or marker not in CLEAN_MARKERS or (marker == HEADER and not _is_plain_header(segment)):
            return False
        at += 2 + size
        if marker == SCAN:
            at = _end_of_scan(data, at)
            if data[at:] == END:
                return True
    return False


def _is_plain_header(segment: bytes) -> bool:
    """Whether the JFIF header says its version and density, without a thumbnail or anything else."""
    return len(segment) == HEADER_SIZE and segment.startswith(b"JFIF\0") and segment.endswith(b"\0\0")


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the coded picture data that begins at `at` ends: at the next marker, restarts not counted."""
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1 : at + 2]
        if following not in STUFFING:
            return at
        at += 2
    return len(data)


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
