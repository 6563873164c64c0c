"""What an import reads: one image, a folder, a zip or a manifest, as named bytes with their overrides.

Knows no database and decodes no picture; it trusts neither names nor sizes that come with the files.
"""

import csv
import io
import json
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Self, TypeAlias

from crowd.core.errors import Problem
from crowd.core.ondisk import DiskMap, files_below
from crowd.core.s3 import S3_SCHEME, Bucket, connect_s3, parse_s3
from crowd.images.zips import BROKEN_ZIP, ZipReader

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
IMAGE_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
ARCHIVE_SUFFIXES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"))
LITTER = frozenset(("thumbs.db", "desktop.ini"))
MANIFEST_COLUMNS = ("file", "supplier", "rights", "batch")
RIGHTS = ("owned", "licensed", "consent", "unknown")
DRIVE = re.compile(r"^[A-Za-z]:")
ZIP_ENCRYPTED = 0x1
ZIP_UTF8 = 0x800
# Of a member's place in an archive, as it is listed on the disk.
PLACE_BYTES = 8


class SourceError(Problem):
    """The thing to import, or one item of it, cannot be read; the message is for whoever typed the path."""

    status = 422

    def __init__(self, text: str) -> None:
        super().__init__("bad_source", text)


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much a source may hold: bytes of one item, of a whole archive, its members, its compression.

    `nested` is how deep archives may lie in archives, `nested_bytes` what of them is unpacked at a time.
    """

    item_bytes: int = 64 * 1024**2
    total_bytes: int = 256 * 1024**3
    members: int = 2_000_000
    ratio: int = 200
    nested: int = 3
    nested_bytes: int = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One file to import: `name` in NFC with `/`, and the overrides a manifest gives it.

    `name_bytes` are the name's bytes as they came where these are not simply `name` in UTF-8.
    """

    name: str
    open: Callable[[], bytes]
    name_bytes: bytes | None = None
    supplier: str | None = None
    rights: str | None = None
    batch: str | None = None


class Findings:
    """What was passed over, each a {"code", "detail", "name"}, in the order in which it was noticed."""

    def __init__(self) -> None:
        self._rows = DiskMap()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, str]]:
        for _, text in self._rows:
            yield json.loads(text)

    def append(self, finding: Mapping[str, str]) -> None:
        """One more."""
        self._rows.add(len(self._rows), json.dumps(finding))

    def close(self) -> None:
        """Give the disk back."""
        self._rows.close()


# Takes what was passed over.
Note: TypeAlias = Callable[[Mapping[str, str]], None]


class Source:
    """A counted, repeatable run of items, with `findings` on what was passed over.

    Neither is held in memory: items are looked up while they are read, findings lie on the disk.
    """

    def __init__(
        self,
        items: Callable[[], Iterator[SourceItem]],
        count: int,
        findings: Findings | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._items = items
        self._count = count
        self.findings = findings or Findings()
        self._close = close

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[SourceItem]:
        return self._items()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.findings.close()
        if self._close:
            self._close()


@dataclass(slots=True)
class _Budget:
    """What the archives of one source have used up together."""

    members: int = 0
    total: int = 0
    unpacked: int = 0


def open_source(path: str | Path, limits: SourceLimits | None = None) -> Source:
    """Opens an image, folder, zip, CSV or JSONL manifest; raises SourceError, as may an item's `open`."""
    limits = limits or SourceLimits()
    if str(path).startswith(S3_SCHEME):
        return _open_bucket(str(path), limits)
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, limits)
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".csv":
        return _open_manifest(path, _csv_rows, limits)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _open_manifest(path, _jsonl_rows, limits)
    if path.suffix.lower() == ".zip" or _starts_like(path, (b"PK\x03\x04", b"PK\x05\x06")):
        return _open_zip(path, limits)
    return Source(lambda: iter((_file_item(path, path.name, limits),)), 1)


def decoded_name(raw: bytes) -> str:
    """A file name's text in NFC: UTF-8 if it is that, else the code page of Korean Windows, else DOS."""
    for encoding in ("utf-8", "cp949", "cp437"):
        try:
            return unicodedata.normalize("NFC", raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    raise AssertionError("cp437 decodes every byte")


def _item_name(raw: bytes) -> tuple[str, bytes | None]:
    name = decoded_name(raw)
    return name, None if name.encode() == raw else raw


def _finding(code: str, name: str, why: str | None = None) -> dict[str, str]:
    return {"code": code, "name": name, "detail": f"{name}: {why}" if why else name}


def _file_item(
    path: Path, relative: str, limits: SourceLimits, overrides: Mapping[str, str] | None = None
) -> SourceItem:
    name, name_bytes = _item_name(os.fsencode(relative))
    return SourceItem(
        name, partial(read_capped, path, name, limits.item_bytes), name_bytes, **(overrides or {})
    )


def read_capped(path: Path, name: str, cap: int = SourceLimits().item_bytes) -> bytes:
    """A file's bytes, of which there may be `cap`. Raises SourceError, in which the file is called `name`."""
    try:
        with path.open("rb") as file:
            data = file.read(cap + 1)
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from error
    if len(data) > cap:
        raise SourceError(f"{name}: larger than the {cap:,} bytes allowed")
    return data


def _starts_like(path: Path, magics: tuple[bytes, ...]) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(magics)


def _looks_like_image(path: Path) -> bool:
    """By its first bytes alone; a file that only claims to be an image is left for the decoder to refuse."""
    return _starts_like(path, (*IMAGE_MAGIC, b"RIFF"))


def _is_litter(parts: Sequence[str]) -> bool:
    return (
        not parts
        or any(part.startswith(".") or part == "__MACOSX" for part in parts)
        or parts[-1].lower() in LITTER
    )


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _open_folder(root: Path, limits: SourceLimits) -> Source:
    findings = Findings()
    count = sum(1 for found in _in_folder(root, limits, findings.append))
    return Source(lambda: _in_folder(root, limits, _forget), count, findings)


def _forget(finding: Mapping[str, str]) -> None:
    """It was noted when the items were counted."""


def _in_folder(root: Path, limits: SourceLimits, note: Note) -> Iterator[SourceItem]:
    """The items below a folder; what is passed over is noted."""
    inside = root.resolve()
    for relative in files_below(root, lambda name: _is_litter([name])):
        path = root / relative
        shown = decoded_name(os.fsencode(relative))
        suffix = path.suffix.lower()
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            note(_finding("link_outside", shown))
        elif not path.is_file():
            note(_finding("not_a_file", shown))
        elif suffix in IMAGE_SUFFIXES or (suffix not in ARCHIVE_SUFFIXES and _looks_like_image(path)):
            yield _file_item(path, relative, limits)
        elif suffix == ".zip":
            yield from _from_archive(path, shown, limits, note)
        elif suffix in ARCHIVE_SUFFIXES:
            note(_finding("nested_archive", shown))
        else:
            note(_finding("not_an_image", shown))


def _from_archive(path: Path, shown: str, limits: SourceLimits, note: Note) -> Iterator[SourceItem]:
    try:
        archive = _open_zip(path, limits)
    except SourceError as error:
        note(_finding("nested_archive", shown, error.detail.removeprefix(f"{path}: ")))
        return
    with archive:
        for finding in archive.findings:
            note(_inside(finding, shown))
        for item in archive:
            yield replace(item, name=f"{shown}/{item.name}", name_bytes=None)


def _inside(finding: Mapping[str, str], archive: str) -> dict[str, str]:
    return {**finding, "name": f"{archive}/{finding['name']}", "detail": f"{archive}/{finding['detail']}"}


def _open_bucket(address: str, limits: SourceLimits) -> Source:
    try:
        place = parse_s3(address)
        bucket = connect_s3(place.bucket)
        findings = Findings()
        count = sum(1 for _ in _in_bucket(bucket, place.prefix, limits, findings.append))
    except (ValueError, OSError) as error:
        raise SourceError(f"{address}: {error}") from None
    if not count and not findings:
        raise SourceError(f"{address}: there is nothing below this prefix")
    return Source(lambda: _in_bucket(bucket, place.prefix, limits, _forget), count, findings)


def _in_bucket(bucket: Bucket, prefix: str, limits: SourceLimits, note: Note) -> Iterator[SourceItem]:
    for key, size in bucket.list(prefix):
        name = unicodedata.normalize("NFC", key.removeprefix(prefix).lstrip("/")) or PurePosixPath(key).name
        suffix = PurePosixPath(name).suffix.lower()
        if key.endswith("/") or _is_litter(PurePosixPath(name).parts):
            continue
        if suffix in IMAGE_SUFFIXES:
            yield SourceItem(name, partial(_read_object, bucket, key, name, size, limits.item_bytes))
        else:
            code = "nested_archive" if suffix in ARCHIVE_SUFFIXES else "not_an_image"
            note(_finding(code, name))


def _read_object(bucket: Bucket, key: str, name: str, size: int, cap: int) -> bytes:
    if size > cap:
        raise SourceError(f"{name}: larger than the {cap:,} bytes allowed")
    try:
        return bucket.read(key, cap)
    except OSError as error:
        raise SourceError(f"{name}: {error}") from error


def _open_zip(path: Path, limits: SourceLimits) -> Source:
    with ExitStack() as opened:
        archives = _Archives(limits, opened)
        try:
            archives.take(opened.enter_context(path.open("rb")))
        except SourceError as error:
            raise SourceError(f"{path}: {error.detail}") from None
        return Source(archives.items, len(archives.found), archives.findings, opened.pop_all().close)


class _Archives:
    """A zip and the zips that lie in it. What they hold is listed on the disk, by name."""

    def __init__(self, limits: SourceLimits, opened: ExitStack) -> None:
        self._limits = limits
        self._opened = opened
        self._budget = _Budget()
        self._readers: list[ZipReader] = []
        self.found, self.findings = DiskMap(), Findings()

    def take(self, file: IO[bytes]) -> None:
        """List what is in the zip. Raises SourceError for one that cannot be trusted."""
        self.found, self.findings = self._listed(file, 0)
        self._opened.callback(self.found.close)

    def items(self) -> Iterator[SourceItem]:
        """Every image, in the order of the names."""
        for key, value in self.found:
            name, number = key.split("\0")
            place, raw = int.from_bytes(value[:PLACE_BYTES]), value[PLACE_BYTES:]
            reader = self._readers[int(number)]
            yield SourceItem(
                name, partial(_read_member, reader, place, name, self._limits.item_bytes), raw or None
            )

    def _listed(self, file: IO[bytes], depth: int) -> tuple[DiskMap, Findings]:
        """The images in a zip, by name and number of the archive: their place in it, and raw names."""
        reader = _zip_reader(file)
        number = len(self._readers)
        self._readers.append(reader)
        found, findings = DiskMap(), Findings()
        with DiskMap() as seen:
            for place, member in _members(reader):
                name, raw = self._checked(member, seen)
                # Not by pathlib, which interns every part of every name.
                suffix = os.path.splitext(name)[1].lower()
                if name.endswith("/") or member.is_dir() or _is_litter(_parts(name)):
                    continue
                if suffix in IMAGE_SUFFIXES:
                    found.add(f"{name}\0{number}", place.to_bytes(PLACE_BYTES) + (raw or b""))
                elif suffix == ".zip":
                    self._take_nested((reader, place, member), name, (found, findings), depth + 1)
                else:
                    code = "nested_archive" if suffix in ARCHIVE_SUFFIXES else "not_an_image"
                    findings.append(_finding(code, name))
        return found, findings

    def _checked(self, member: zipfile.ZipInfo, seen: DiskMap) -> tuple[str, bytes | None]:
        """The member's name, and its raw bytes where these say more. Raises SourceError."""
        self._budget.members += 1
        if self._budget.members > self._limits.members:
            raise SourceError(f"has more than the {self._limits.members:,} members allowed")
        name, raw = _item_name(_member_name_bytes(member))
        name = name.replace("\\", "/")
        _refuse_unsafe(member, name, self._limits)
        if not member.is_dir() and not name.endswith("/"):
            if not seen.add(name):
                raise SourceError(f"{name}: there twice")
            self._budget.total += member.file_size
        if self._budget.total > self._limits.total_bytes:
            raise SourceError(f"unpacks to more than the {self._limits.total_bytes:,} bytes allowed")
        return name, raw

    def _take_nested(
        self,
        member: tuple[ZipReader, int, zipfile.ZipInfo],
        name: str,
        into: tuple[DiskMap, Findings],
        depth: int,
    ) -> None:
        """List an archive in an archive; one that cannot be trusted is passed over, the rest goes on."""
        reader, place, info = member
        found, findings = into
        try:
            _refuse_deep(info, self._limits, self._budget, depth)
            file = self._opened.enter_context(TemporaryFile())  # noqa: SIM115 - it closes with the source
            _unpack(reader, place, file)
            inner_found, inner_findings = self._listed(file, depth)
        except SourceError as error:
            findings.append(_finding("nested_archive", name, error.detail))
            return
        with inner_found:
            for key, value in inner_found:
                found.add(f"{name}/{key}", value[:PLACE_BYTES])
        for each in inner_findings:
            findings.append(_inside(each, name))
        inner_findings.close()


def _zip_reader(file: IO[bytes]) -> ZipReader:
    try:
        return ZipReader(file)
    except BROKEN_ZIP as error:
        raise SourceError(f"not a readable zip ({error})") from error


def _members(reader: ZipReader) -> Iterator[tuple[int, zipfile.ZipInfo]]:
    try:
        yield from reader.members()
    except BROKEN_ZIP as error:
        raise SourceError(f"not a readable zip ({error})") from error


def _refuse_deep(member: zipfile.ZipInfo, limits: SourceLimits, budget: _Budget, depth: int) -> None:
    if depth > limits.nested:
        raise SourceError(f"archives lie more than {limits.nested} deep")
    budget.unpacked += member.file_size
    if budget.unpacked > limits.nested_bytes:
        raise SourceError(f"archives in it unpack to more than {limits.nested_bytes:,} bytes")


def _unpack(reader: ZipReader, place: int, file: IO[bytes]) -> None:
    try:
        reader.copy(place, file)
    except BROKEN_ZIP as error:
        raise SourceError(f"damaged in the archive ({error})") from error


def _member_name_bytes(member: zipfile.ZipInfo) -> bytes:
    """The name as it stands in the archive; without the UTF-8 flag `zipfile` has read it as DOS text."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & ZIP_UTF8 else "cp437")


def _refuse_unsafe(member: zipfile.ZipInfo, name: str, limits: SourceLimits) -> None:
    if name.startswith("/") or DRIVE.match(name):
        raise SourceError(f"{name}: absolute names are refused")
    if ".." in name.split("/"):
        raise SourceError(f"{name}: names that lead out of the archive are refused")
    if "\x00" in name or not name:
        raise SourceError(f"{name!r}: not a usable name")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SourceError(f"{name}: links are refused")
    if member.flag_bits & ZIP_ENCRYPTED:
        raise SourceError(f"{name}: is encrypted")
    if member.file_size > limits.ratio * max(member.compress_size, 1):
        raise SourceError(f"{name}: unpacks to more than {limits.ratio} times its size")


def _read_member(reader: ZipReader, place: int, name: str, cap: int) -> bytes:
    out = io.BytesIO()
    try:
        if reader.member(place).file_size > cap:
            raise SourceError(f"{name}: larger than the {cap:,} bytes allowed")
        reader.copy(place, out)
    except BROKEN_ZIP as error:
        raise SourceError(f"{name}: damaged in the archive ({error})") from error
    return out.getvalue()


def _encoding(path: Path) -> str:
    """What a manifest is written in: UTF-8 if all of it is that, else the code page of Korean Windows."""
    for encoding in ("utf-8-sig", "cp949"):
        try:
            with path.open(encoding=encoding, newline="") as file:
                while file.read(1 << 20):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    raise SourceError(f"{path}: neither UTF-8 nor CP949 text")


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding=_encoding(path), newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [cell.strip() for cell in next(reader, [])]
            _check_columns(path, 1, header)
            if "file" not in header:
                raise SourceError(f"{path}, line 1: there is no column 'file'")
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise SourceError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells for {len(header)} columns"
                    )
                yield reader.line_num, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding=_encoding(path), newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _jsonl_row(path, number, line)


def _jsonl_row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}, line {number}: not JSON ({error})") from error
    if not isinstance(row, dict):
        raise SourceError(f"{path}, line {number}: not an object")
    _check_columns(path, number, row)
    for column, value in row.items():
        if not isinstance(value, str | None):
            raise SourceError(f"{path}, line {number}: {column} is not text")
    return {column: value for column, value in row.items() if value is not None}


def _check_columns(path: Path, line: int, columns: Iterable[str]) -> None:
    seen: set[str] = set()
    for column in columns:
        if column not in MANIFEST_COLUMNS:
            raise SourceError(
                f"{path}, line {line}: unknown column '{column}'; known are {', '.join(MANIFEST_COLUMNS)}"
            )
        if column in seen:
            raise SourceError(f"{path}, line {line}: column '{column}' is there twice")
        seen.add(column)


def _open_manifest(
    path: Path, rows: Callable[[Path], Iterator[tuple[int, dict[str, str]]]], limits: SourceLimits
) -> Source:
    found = DiskMap()
    with DiskMap() as lines:
        for line, row in rows(path):
            values = {column: value.strip() for column, value in row.items() if value.strip()}
            where = f"{path}, line {line}"
            name = values.pop("file", "")
            file = _manifest_file(path.parent, name, where)
            if values.get("rights", "unknown") not in RIGHTS:
                raise SourceError(f"{where}: rights '{values['rights']}' is none of {', '.join(RIGHTS)}")
            if not lines.add(os.fsencode(name), line):
                first = lines.get(os.fsencode(name))
                raise SourceError(f"{where}: '{name}' is there already in line {first}")
            found.add(line, json.dumps([str(file), name, values]))

    def items() -> Iterator[SourceItem]:
        for _, text in found:
            file, name, values = json.loads(text)
            yield _file_item(Path(file), name, limits, values)

    return Source(items, len(found), close=found.close)


def _manifest_file(folder: Path, name: str, where: str) -> Path:
    if not name:
        raise SourceError(f"{where}: no file is named")
    if name.startswith("/") or DRIVE.match(name) or ".." in PurePosixPath(name).parts or "\x00" in name:
        raise SourceError(f"{where}: '{name}' does not lie beside or below the manifest")
    # The disk may hold the name decomposed (macOS) where the manifest has it composed, or the reverse.
    for form in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        try:
            if (folder / form).is_file():
                return folder / form
        except (OSError, ValueError):
            break
    raise SourceError(f"{where}: there is no file '{name}'")
