"""Writing a release into a folder, page by page, so that it can be interrupted anywhere and taken up again.

The list of what is written, `manifest.csv.part`, is also the journal: rows of a page are added when all
files of the page are there, so what it lists is complete. It gets its final name last of all.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy.engine import Connection

from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict
from crowd.core.storage import FolderStorage
from crowd.datasets import datasheet, queries
from crowd.datasets.formats import File, Format
from crowd.datasets.records import COLUMNS, MANIFEST, README, ReleasedImage
from crowd.images.files import files_of
from crowd.tasks.labels import carry_attributes, region_parts
from crowd.taxonomy import Taxonomy

PAGE = 500
MARKER = ".export.json"
JOURNAL = "manifest.csv.part"


class ExportError(Exception):
    """The export cannot be finished, however often it is tried; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written: a release's row, in which format and layout, under its own taxonomy."""

    release: AnyRow
    format: Format
    layout: str
    taxonomy: Taxonomy

    @property
    def marker(self) -> bytes:
        """Tells this export's folder from any other; the same for every run."""
        told = {
            "release": self.release.name,
            "created_at": rfc3339(self.release.created_at),
            "images": self.release.images,
            "format": self.format.name,
            "layout": self.layout,
        }
        return json.dumps(told, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to write to. Linked images cost no space, but may only lie where nobody changes them."""

    folder: Path
    link: bool


def write_export(
    db: Database, storage: FolderStorage, plan: Plan, place: Place, progress: Callable[[int], None]
) -> None:
    """Write what is missing of the export. Holds no transaction while it writes, and one page in memory.

    `progress` is told after each page how many images are complete; what it raises ends the writing. Raises
    Conflict (`folder_in_use`, `folder_taken`), ExportError, and OSError.
    """
    with _owned(place.folder, plan) as finished:
        if finished:
            progress(plan.release.images)
            return
        with _open_journal(place.folder) as journal:
            tally = _write_pages(db, storage, plan, place, journal, progress)
        header = datasheet.Header(plan.release.name, plan.release.created_at, plan.layout)
        sheet = datasheet.render(header, tally, plan.format, plan.taxonomy)
        _put(place.folder / README, sheet.encode())
        # What is called done is to survive the power going off.
        os.sync()
        (place.folder / JOURNAL).replace(place.folder / MANIFEST)


def written_before(folder: Path) -> int:
    """How many images an interrupted export into this folder has listed as complete."""
    for name in (MANIFEST, JOURNAL):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                return max(0, sum(1 for line in file if line.endswith(b"\n")) - 1)
    return 0


def released_images(conn: Connection, storage: FolderStorage, rows: Sequence[AnyRow]) -> list[ReleasedImage]:
    """The records of a page of a release."""
    return [_record(conn, storage, row) for row in rows]


def _write_pages(
    db: Database,
    storage: FolderStorage,
    plan: Plan,
    place: Place,
    journal: "_Journal",
    progress: Callable[[int], None],
) -> datasheet.Tally:
    """Reads every page, for the figures of the sheet; writes those that are not in the journal."""
    tally = datasheet.Tally()
    for number, records in enumerate(_pages(db, storage, plan.release.id)):
        for record in records:
            tally.add(record, plan.format.values(record, plan.taxonomy))
        if number >= journal.pages:
            journal.add(_write_page(plan, place, number, records))
        progress(max(tally.images, journal.pages * PAGE if number + 1 < journal.pages else 0))
    return tally


def _pages(db: Database, storage: FolderStorage, release_id: int) -> Iterator[list[ReleasedImage]]:
    after = 0
    while True:
        # A transaction of its own each: one long one would keep the queue's dead rows from being cleared.
        with db.read() as conn:
            rows = queries.release_page(conn, release_id, after=after, limit=PAGE)
            records = released_images(conn, storage, rows)
        if records:
            yield records
        if len(records) < PAGE:
            return
        after = records[-1].id


def _record(conn: Connection, storage: FolderStorage, row: AnyRow) -> ReleasedImage:
    return ReleasedImage(
        id=row.id,
        file_name=row.file_name,
        width=row.width,
        height=row.height,
        created_at=row.created_at,
        split=row.split,
        regions=row.segmentation["regions"],
        attributes=_fitted_attributes(conn, row),
        styles=row.styles["styles"],
        working=storage.root / files_of(row.sha256).working,
    )


def _fitted_attributes(conn: Connection, row: AnyRow) -> dict[str, dict[str, str]]:
    """Attributes by region; those given before the regions were redrawn are fitted to them."""
    attributes = row.attributes
    if row.attributes_id < row.segmentation_id:
        then = queries.segmentation_before(conn, row.id, row.attributes_id)
        if then is not None:
            attributes = carry_attributes(attributes, region_parts(then), region_parts(row.segmentation))
    regions: dict[str, dict[str, str]] = (attributes or {}).get("regions") or {}
    return regions


def _write_page(
    plan: Plan, place: Place, number: int, records: Sequence[ReleasedImage]
) -> list[Sequence[object]]:
    """Write one page's files; returns its rows of the manifest."""
    paths: dict[int, list[str]] = {record.id: [] for record in records}
    digests: dict[int, str] = {}
    for file in plan.format.files(records, number, plan.layout, plan.taxonomy):
        _write_file(file, place)
        for image_id in file.holds:
            paths[image_id].append(file.path.as_posix())
    for record in records:
        digests[record.id] = hashlib.sha256(_bytes_of(record)).hexdigest()
    return [
        (
            record.id,
            record.split.value,
            record.styles[0] if record.styles else "",
            ";".join(paths[record.id]),
            digests[record.id],
        )
        for record in records
    ]


def _write_file(file: File, place: Place) -> None:
    target = place.folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(file.content, bytes):
        _put(target, file.content)
    elif not (place.link and _linked(file.content, target)):
        _put(target, _bytes_of(file.content))


def _linked(record: ReleasedImage, target: Path) -> bool:
    """Whether the working image could be linked to `target`; other file systems take only copies."""
    if not isinstance(record.working, Path):
        return False
    part = _part_of(target)
    try:
        part.unlink(missing_ok=True)
        os.link(record.working, part)
    except FileNotFoundError:
        raise _file_gone(record) from None
    except OSError:
        return False
    # Renaming one link onto another of the same file does nothing, and leaves both.
    part.replace(target)
    part.unlink(missing_ok=True)
    return True


def _bytes_of(record: ReleasedImage) -> bytes:
    try:
        return record.image_bytes()
    except FileNotFoundError:
        raise _file_gone(record) from None


def _file_gone(record: ReleasedImage) -> ExportError:
    return ExportError(f"image {record.id} ({record.file_name}): its working image is missing in the storage")


def _put(target: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all; the name beside it is taken again next time."""
    part = _part_of(target)
    part.write_bytes(data)
    part.replace(target)


def _part_of(target: Path) -> Path:
    # Short whatever the name: a file name may already be as long as the file system takes.
    return target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.part")


class _Journal:
    """The manifest as far as it is written. A half-written page at its end is dropped."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.pages = self._keep_whole_pages()

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        """The rows of a page whose files are all there."""
        self._write(rows)
        self.pages += 1

    def _keep_whole_pages(self) -> int:
        self._file.seek(0)
        rows, end = 0, 0
        kept = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            if rows % PAGE == 0:
                kept = end
            rows += 1
        self._file.truncate(kept)
        self._file.seek(kept)
        if kept == 0:
            self._write([COLUMNS])
        return max(0, rows - 1) // PAGE

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())
        self._file.flush()


@contextmanager
def _open_journal(folder: Path) -> Iterator[_Journal]:
    path = folder / JOURNAL
    path.touch()
    with path.open("r+b") as file:
        yield _Journal(file)


@contextmanager
def _owned(folder: Path, plan: Plan) -> Iterator[bool]:
    """The folder, held against every other process; tells whether the export is finished already.

    Raises Conflict `folder_in_use`, and `folder_taken` for a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise _folder_taken(folder)
    if folder.is_dir() and not (folder / MARKER).exists() and any(folder.iterdir()):
        raise _folder_taken(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MARKER).open("a+b") as marker:
        # The lock goes with the process: one that was killed is in nobody's way.
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "folder_in_use", f"{folder}: another process is writing an export here at this moment."
            ) from None
        _mark(marker, folder, plan)
        yield (folder / MANIFEST).is_file()


def _mark(marker: IO[bytes], folder: Path, plan: Plan) -> None:
    marker.seek(0)
    found = marker.read()
    if found == plan.marker:
        return
    if not plan.marker.startswith(found):
        raise _folder_taken(folder)
    # Empty, or cut off when it was written.
    marker.truncate(0)
    marker.write(plan.marker)
    marker.flush()


def _folder_taken(folder: Path) -> Conflict:
    return Conflict("folder_taken", f"{folder}: holds something other than this export; name another folder.")
