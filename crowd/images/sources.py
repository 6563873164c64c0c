"""What an import reads: one image, a folder, a zip or a manifest, as named bytes with their overrides.

Knows no database and decodes no picture; it trusts neither names nor sizes that come with the files.
"""

import csv
import io
import json
import lzma
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Self

from crowd.core.errors import Problem
from crowd.core.s3 import S3_SCHEME, Bucket, connect_s3, parse_s3

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
IMAGE_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
ARCHIVE_SUFFIXES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"))
LITTER = frozenset(("thumbs.db", "desktop.ini"))
MANIFEST_COLUMNS = ("file", "supplier", "rights", "batch")
RIGHTS = ("owned", "licensed", "consent", "unknown")
DRIVE = re.compile(r"^[A-Za-z]:")
ZIP_ENCRYPTED = 0x1
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
)
ZIP_UTF8 = 0x800


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


class Source:
    """A counted, repeatable run of items, with `findings` ({"code","detail","name"}) on what was passed over.

    The items of a folder and of a bucket are looked up while they are read, so that a million take no memory.
    """

    def __init__(
        self,
        items: Sequence[SourceItem] | Callable[[], Iterator[SourceItem]],
        findings: Iterable[Mapping[str, str]] = (),
        close: Callable[[], None] | None = None,
        count: int | None = None,
    ) -> None:
        self._items = items
        self._count = count
        self.findings = [dict(finding) for finding in findings]
        self._close = close

    def __len__(self) -> int:
        return len(self._items) if isinstance(self._items, Sequence) else self._count or 0

    def __iter__(self) -> Iterator[SourceItem]:
        return iter(self._items) if isinstance(self._items, Sequence) else self._items()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        return _open_manifest(path, _csv_rows(path), limits)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _open_manifest(path, _jsonl_rows(path), limits)
    if path.suffix.lower() == ".zip" or _starts_like(path, (b"PK\x03\x04", b"PK\x05\x06")):
        return _open_zip(path, limits)
    return Source([_file_item(path, path.name, limits)])


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
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in LITTER


def _open_folder(root: Path, limits: SourceLimits) -> Source:
    findings: list[dict[str, str]] = []
    count = sum(1 for found in _in_folder(root, limits, findings))
    return Source(lambda: _in_folder(root, limits, []), findings, count=count)


def _in_folder(root: Path, limits: SourceLimits, findings: list[dict[str, str]]) -> Iterator[SourceItem]:
    """The items below a folder; what is passed over is added to `findings`."""
    inside = root.resolve()
    for path in _walk(root):
        relative = path.relative_to(root)
        shown = decoded_name(os.fsencode(relative.as_posix()))
        suffix = path.suffix.lower()
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            findings.append(_finding("link_outside", shown))
        elif not path.is_file():
            findings.append(_finding("not_a_file", shown))
        elif suffix in IMAGE_SUFFIXES or (suffix not in ARCHIVE_SUFFIXES and _looks_like_image(path)):
            yield _file_item(path, relative.as_posix(), limits)
        elif suffix == ".zip":
            yield from _from_archive(path, shown, limits, findings)
        elif suffix in ARCHIVE_SUFFIXES:
            findings.append(_finding("nested_archive", shown))
        else:
            findings.append(_finding("not_an_image", shown))


def _from_archive(
    path: Path, shown: str, limits: SourceLimits, findings: list[dict[str, str]]
) -> Iterator[SourceItem]:
    try:
        archive = _open_zip(path, limits)
    except SourceError as error:
        findings.append(_finding("nested_archive", shown, error.detail.removeprefix(f"{path}: ")))
        return
    with archive:
        findings += [_inside(each, shown) for each in archive.findings]
        for item in archive:
            yield replace(item, name=f"{shown}/{item.name}", name_bytes=None)


def _inside(finding: Mapping[str, str], archive: str) -> dict[str, str]:
    return {**finding, "name": f"{archive}/{finding['name']}", "detail": f"{archive}/{finding['detail']}"}


def _open_bucket(address: str, limits: SourceLimits) -> Source:
    try:
        place = parse_s3(address)
        bucket = connect_s3(place.bucket)
        findings: list[dict[str, str]] = []
        count = sum(1 for _ in _in_bucket(bucket, place.prefix, limits, findings))
    except (ValueError, OSError) as error:
        raise SourceError(f"{address}: {error}") from None
    if not count and not findings:
        raise SourceError(f"{address}: there is nothing below this prefix")
    return Source(lambda: _in_bucket(bucket, place.prefix, limits, []), findings, count=count)


def _in_bucket(
    bucket: Bucket, prefix: str, limits: SourceLimits, findings: list[dict[str, str]]
) -> Iterator[SourceItem]:
    for key, size in bucket.list(prefix):
        name = unicodedata.normalize("NFC", key.removeprefix(prefix).lstrip("/")) or PurePosixPath(key).name
        suffix = PurePosixPath(name).suffix.lower()
        if key.endswith("/") or _is_litter(PurePosixPath(name).parts):
            continue
        if suffix in IMAGE_SUFFIXES:
            yield SourceItem(name, partial(_read_object, bucket, key, name, size, limits.item_bytes))
        else:
            code = "nested_archive" if suffix in ARCHIVE_SUFFIXES else "not_an_image"
            findings.append(_finding(code, name))


def _read_object(bucket: Bucket, key: str, name: str, size: int, cap: int) -> bytes:
    if size > cap:
        raise SourceError(f"{name}: larger than the {cap:,} bytes allowed")
    try:
        return bucket.read(key, cap)
    except OSError as error:
        raise SourceError(f"{name}: {error}") from error


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root` that is not hidden, folder by folder, in the order of the names' bytes."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted((name for name in folders if not _is_litter([name])), key=os.fsencode)
        for name in sorted(files, key=os.fsencode):
            if not _is_litter([name]):
                yield Path(folder, name)


def _open_zip(path: Path, limits: SourceLimits) -> Source:
    with ExitStack() as opened:
        findings: list[dict[str, str]] = []
        try:
            archive = opened.enter_context(_zip_file(path))
            items = _zip_items(archive, limits, findings, _Budget(), opened)
        except SourceError as error:
            raise SourceError(f"{path}: {error.detail}") from None
        items.sort(key=lambda item: item.name)
        return Source(items, findings, opened.pop_all().close)


def _zip_file(file: Path | IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except BROKEN_ZIP as error:
        raise SourceError(f"not a readable zip ({error})") from error


def _zip_items(
    archive: zipfile.ZipFile,
    limits: SourceLimits,
    findings: list[dict[str, str]],
    budget: _Budget,
    opened: ExitStack,
    depth: int = 0,
) -> list[SourceItem]:
    members = archive.infolist()
    budget.members += len(members)
    if budget.members > limits.members:
        raise SourceError(f"{budget.members:,} members are more than the {limits.members:,} allowed")
    items: list[SourceItem] = []
    seen: set[str] = set()
    for member in members:
        name, name_bytes = _item_name(_member_name_bytes(member))
        name = name.replace("\\", "/")
        _refuse_unsafe(member, name, limits)
        if member.is_dir() or name.endswith("/"):
            continue
        if name in seen:
            raise SourceError(f"{name}: there twice")
        seen.add(name)
        budget.total += member.file_size
        if budget.total > limits.total_bytes:
            raise SourceError(f"unpacks to more than the {limits.total_bytes:,} bytes allowed")
        suffix = PurePosixPath(name).suffix.lower()
        if _is_litter(PurePosixPath(name).parts):
            continue
        if suffix in IMAGE_SUFFIXES:
            read = partial(_read_member, archive, member, name, limits.item_bytes)
            items.append(SourceItem(name, read, name_bytes))
        elif suffix == ".zip":
            items += _nested_items(archive, member, name, limits, findings, budget, opened, depth + 1)
        elif suffix in ARCHIVE_SUFFIXES:
            findings.append(_finding("nested_archive", name))
        else:
            findings.append(_finding("not_an_image", name))
    return items


def _nested_items(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    name: str,
    limits: SourceLimits,
    findings: list[dict[str, str]],
    budget: _Budget,
    opened: ExitStack,
    depth: int,
) -> list[SourceItem]:
    """The items of an archive in an archive; one that cannot be trusted is passed over, the rest goes on."""
    inner: list[dict[str, str]] = []
    try:
        _refuse_deep(member, limits, budget, depth)
        file = opened.enter_context(TemporaryFile())  # noqa: SIM115 - it closes with the source
        _unpack(archive, member, file)
        nested = opened.enter_context(_zip_file(file))
        items = _zip_items(nested, limits, inner, budget, opened, depth)
    except SourceError as error:
        findings.append(_finding("nested_archive", name, error.detail))
        return []
    findings += [_inside(each, name) for each in inner]
    return [replace(item, name=f"{name}/{item.name}", name_bytes=None) for item in items]


def _refuse_deep(member: zipfile.ZipInfo, limits: SourceLimits, budget: _Budget, depth: int) -> None:
    if depth > limits.nested:
        raise SourceError(f"archives lie more than {limits.nested} deep")
    budget.unpacked += member.file_size
    if budget.unpacked > limits.nested_bytes:
        raise SourceError(f"archives in it unpack to more than {limits.nested_bytes:,} bytes")


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    left = member.file_size
    try:
        with archive.open(member) as inside:
            while left > 0 and (block := inside.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
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


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, cap: int) -> bytes:
    if member.file_size > cap:
        raise SourceError(f"{name}: larger than the {cap:,} bytes allowed")
    try:
        with archive.open(member) as file:
            # Never more than the directory promised, whatever the stream goes on to give.
            return file.read(member.file_size)
    except BROKEN_ZIP as error:
        raise SourceError(f"{name}: damaged in the archive ({error})") from error


def _manifest_text(path: Path) -> str:
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise SourceError(f"{path}: neither UTF-8 nor CP949 text")


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(_manifest_text(path), newline=""), strict=True)
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
    for number, line in enumerate(_manifest_text(path).split("\n"), 1):
        if not line.strip():
            continue
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
        yield (number, {column: value for column, value in row.items() if value is not None})


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


def _open_manifest(path: Path, rows: Iterator[tuple[int, dict[str, str]]], limits: SourceLimits) -> Source:
    items: list[SourceItem] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        values = {column: value.strip() for column, value in row.items() if value.strip()}
        where = f"{path}, line {line}"
        name = values.pop("file", "")
        file = _manifest_file(path.parent, name, where)
        if values.get("rights", "unknown") not in RIGHTS:
            raise SourceError(f"{where}: rights '{values['rights']}' is none of {', '.join(RIGHTS)}")
        if name in lines:
            raise SourceError(f"{where}: '{name}' is there already in line {lines[name]}")
        lines[name] = line
        items.append(_file_item(file, name, limits, values))
    return Source(items)


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
