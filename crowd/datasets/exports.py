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
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO

from sqlalchemy.engine import Connection

from crowd.core.clock import rfc3339
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict
from crowd.core.storage import FolderStorage
from crowd.datasets import croissant, datasheet, queries, statistics
from crowd.datasets.formats import File, Format, Unsayable, Whole
from crowd.datasets.formats.kinds import Vectors
from crowd.datasets.records import (
    COLUMNS,
    CROISSANT,
    MANIFEST,
    PIECES,
    README,
    STATISTICS,
    Header,
    ReleasedImage,
    Result,
    Split,
)
from crowd.datasets.specification import Form, Language, as_html, as_markdown
from crowd.datasets.tally import Tally
from crowd.images.files import files_of
from crowd.images.rights import allows_training
from crowd.policy.targets import Targets
from crowd.tasks.labels import carry_attributes, region_parts
from crowd.taxonomy import Taxonomy

PAGE = 500
MARKER = ".export.json"
JOURNAL = "manifest.csv.part"


class ExportError(Exception):
    """The export cannot be finished, however often it is tried; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written: a release's row, in which format and layout, under its own taxonomy.

    `words` are vectors of words, for a format that makes something of them.
    """

    release: AnyRow
    format: Format
    layout: str
    taxonomy: Taxonomy
    words: Vectors = field(default_factory=dict)
    suppliers: Mapping[str, int] = field(default_factory=dict)
    targets: Targets = field(default_factory=Targets)
    results: Sequence[Result] = ()

    @property
    def header(self) -> Header:
        """What the export says of its release."""
        release = self.release
        return Header(
            release.name,
            release.created_at,
            self.layout,
            release.revision,
            release.withdrawn,
            self.suppliers,
            release.about or {},
            self.targets,
            self.results,
            release.remade,
        )

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
        if self.release.revision > 1:
            told["revision"] = self.release.revision
        if self.words:
            told["words"] = hashlib.sha256(json.dumps(self.words, sort_keys=True).encode()).hexdigest()
        return json.dumps(told, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to write to. Linked images cost no space, but may only lie where nobody changes them.

    That is inside the system, where all is on the disk before it is called done. Somebody else's folder is
    theirs to bring there (`os.sync`), as with any other copy.
    """

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
        if not finished:
            with _open_journal(place.folder, _page_sizes(db, plan)) as journal:
                tally = _write_pages(db, storage, plan, place, journal, progress)
            _close(plan, place, tally)
        # Only now: without its pieces an export that was cut off could not be closed.
        shutil.rmtree(place.folder / PIECES, ignore_errors=True)
        progress(plan.release.images)


def _close(plan: Plan, place: Place, tally: Tally) -> None:
    """Write what takes all pages; the list of images gets its name last of all."""
    pictures = _Pictures()
    for file in plan.format.closing(Whole(place.folder, plan.header, plan.taxonomy, plan.words)):
        _write_file(file, place, pictures)
    sheet = datasheet.render(plan.header, tally, plan.format, plan.taxonomy)
    _put(place.folder / README, sheet.encode())
    for language in Language:
        form = Form(plan.header, tally, plan.format, plan.taxonomy, language)
        _put(place.folder / f"SPECIFICATION.{language}.md", as_markdown(form).encode())
        _put(place.folder / f"SPECIFICATION.{language}.html", as_html(form, language).encode())
    _put(place.folder / STATISTICS, statistics.render(plan.header, tally, plan.taxonomy))
    listed = _digest_of(place.folder / JOURNAL)
    told = croissant.describe(plan.header, plan.format.file_sets(plan.layout), listed, tally.images)
    _put(place.folder / CROISSANT, told)
    if place.link:
        # What is called done inside the system is to survive the power going off.
        os.sync()
    (place.folder / JOURNAL).replace(place.folder / MANIFEST)


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
) -> Tally:
    """Reads every page, for the figures of the sheet; writes those that are not in the journal."""
    tally = Tally()
    for number, (place_in_split, records) in enumerate(_pages(db, storage, plan)):
        for record in records:
            tally.add(record, plan.format.values(record, plan.taxonomy))
        if number >= journal.pages:
            journal.add(_write_page(plan, place, place_in_split, records))
        progress(max(tally.images, journal.images))
    return tally


def _page_sizes(db: Database, plan: Plan) -> list[int]:
    """How many images each page holds."""
    with db.read() as conn:
        sizes = queries.split_sizes(conn, plan.release.id)
    parts = sizes.values() if plan.format.by_split else [sum(sizes.values())]
    return [min(PAGE, part - start) for part in parts for start in range(0, part, PAGE)]


def _pages(db: Database, storage: FolderStorage, plan: Plan) -> Iterator[tuple[int, list[ReleasedImage]]]:
    """Every page with its number, which counts from 0 in each split if the format goes by split."""
    for split in Split if plan.format.by_split else (None,):
        yield from enumerate(_pages_of(db, storage, plan.release.id, split))


def _pages_of(
    db: Database, storage: FolderStorage, release_id: int, split: Split | None
) -> Iterator[list[ReleasedImage]]:
    after = 0
    while True:
        # A transaction of its own each: one long one would keep the queue's dead rows from being cleared.
        with db.read() as conn:
            rows = queries.release_page(conn, release_id, after=after, limit=PAGE, split=split)
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
        working=storage.local(files_of(row.sha256, row.picture).working),
        updated_at=row.updated_at,
        trainable=allows_training(row.rights, row.allows),
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
    pictures = _Pictures()
    try:
        for file in plan.format.files(records, number, plan.layout, plan.taxonomy):
            _write_file(file, place, pictures)
            for image_id in file.holds:
                paths[image_id].append(file.path.as_posix())
    except Unsayable as error:
        raise ExportError(str(error)) from None
    return [
        (
            record.id,
            record.split.value,
            record.styles[0] if record.styles else "",
            ";".join(paths[record.id]),
            pictures.digest(record),
            "yes" if record.trainable else "no",
        )
        for record in records
    ]


class _Pictures:
    """The working images of a page; each is read once for its digest and for the file it goes into.

    Also knows which folders of the export are made.
    """

    def __init__(self) -> None:
        self._digests: dict[int, str] = {}
        self._folders: set[str] = set()

    def make_folder(self, folder: str) -> None:
        """The folder is there; the file system is asked once."""
        if folder not in self._folders:
            try:
                os.mkdir(folder)
            except FileExistsError:
                pass
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)

    def fetch(self, record: ReleasedImage) -> bytes:
        """The image's bytes. Raises ExportError if they are gone."""
        try:
            data = record.image_bytes()
        except FileNotFoundError:
            raise _file_gone(record) from None
        self._digests[record.id] = hashlib.sha256(data).hexdigest()
        return data

    def digest(self, record: ReleasedImage) -> str:
        """SHA-256 of the image's bytes, in hex."""
        if record.id not in self._digests:
            self.fetch(record)
        return self._digests[record.id]


def _write_file(file: File, place: Place, pictures: _Pictures) -> None:
    # As text: for a million files the classes of paths take longer than the copying of their names.
    target = os.path.join(place.folder, file.path)
    pictures.make_folder(os.path.dirname(target))
    content = file.content
    if isinstance(content, bytes):
        _put(target, content)
    elif not isinstance(content, ReleasedImage):
        with _created(target) as out:
            content(out, pictures.fetch)
    elif not (place.link and _linked(content, target)):
        _put(target, pictures.fetch(content))


def _linked(record: ReleasedImage, target: str) -> bool:
    """Whether the working image could be linked to `target`; other file systems take only copies."""
    if not isinstance(record.working, Path):
        return False
    try:
        try:
            os.link(record.working, target)
        except FileExistsError:
            os.unlink(target)
            os.link(record.working, target)
    except FileNotFoundError:
        raise _file_gone(record) from None
    except OSError:
        return False
    return True


def _file_gone(record: ReleasedImage) -> ExportError:
    return ExportError(f"image {record.id} ({record.file_name}): its working image is missing in the storage")


def _put(target: str | Path, data: bytes) -> None:
    with _created(target) as out:
        out.write(data)


def _created(target: str | Path) -> IO[bytes]:
    """A new file. What is there, whole, torn by a kill, or a link to the storage, is not written into.

    A torn file needs no other name: its page is not in the journal, so the page is written again.
    """
    try:
        return open(target, "xb")
    except FileExistsError:
        os.unlink(target)
        return open(target, "xb")


class _Journal:
    """The manifest as far as it is written, in pages of these sizes; half a page at its end is dropped."""

    def __init__(self, file: IO[bytes], sizes: Sequence[int]) -> None:
        self._file = file
        self._sizes = sizes
        self.pages = self._keep_whole_pages()

    @property
    def images(self) -> int:
        """How many images it lists."""
        return sum(self._sizes[: self.pages])

    def add(self, rows: Sequence[Sequence[object]]) -> None:
        """The rows of a page whose files are all there."""
        self._write(rows)
        self.pages += 1

    def _keep_whole_pages(self) -> int:
        self._file.seek(0)
        if self._file.readline() != _lines([COLUMNS]):
            # Begun by a version that listed something else, or nothing is there yet.
            self._file.truncate(0)
        self._file.seek(0)
        # The line with the names of the columns is a page's end too.
        ends = list(accumulate(self._sizes, initial=1))
        end, kept, pages = 0, 0, 0
        for rows, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            end += len(line)
            if pages < len(ends) and rows == ends[pages]:
                kept, pages = end, pages + 1
        self._file.truncate(kept)
        self._file.seek(kept)
        if kept == 0:
            self._write([COLUMNS])
        return max(0, pages - 1)

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        self._file.write(_lines(rows))
        self._file.flush()


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


@contextmanager
def _open_journal(folder: Path, sizes: Sequence[int]) -> Iterator[_Journal]:
    path = folder / JOURNAL
    path.touch()
    with path.open("r+b") as file:
        yield _Journal(file, sizes)


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
