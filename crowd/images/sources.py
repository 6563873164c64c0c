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
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from crowd.core.errors import Problem

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"))
IMAGE_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
ARCHIVE_SUFFIXES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"))
LITTER = frozenset(("thumbs.db", "desktop.ini"))
MANIFEST_COLUMNS = ("file", "supplier", "rights", "batch")
RIGHTS = ("owned", "licensed", "consent", "unknown")
DRIVE = re.compile(r"^[A-Za-z]:")
ZIP_ENCRYPTED = 0x1
ZIP_UTF8 = 0x800


class SourceError(Problem):
    """The thing to import, or one item of it, cannot be read; the message is for whoever typed the path."""

    status = 422

    def __init__(self, text: str) -> None:
        super().__init__("bad_source", text)


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much a source may hold: bytes of one item, of a whole archive, its members, its compression."""

    item_bytes: int = 64 * 1024**2
    total_bytes: int = 256 * 1024**3
    members: int = 2_000_000
    ratio: int = 200


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
    """A counted, repeatable run of items, with `findings` ({"code","detail"}) on what was passed over."""

    def __init__(
        self,
        items: Sequence[SourceItem],
        findings: Iterable[Mapping[str, str]] = (),
        close: Callable[[], None] | None = None,
    ) -> None:
        self._items = items
        self.findings = [dict(finding) for finding in findings]
        self._close = close

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[SourceItem]:
        return iter(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._close:
            self._close()


def open_source(path: str | Path, limits: SourceLimits | None = None) -> Source:
    """Opens an image, folder, zip, CSV or JSONL manifest; raises SourceError, as may an item's `open`."""
    limits = limits or SourceLimits()
    if str(path).startswith("s3://"):
        raise SourceError(
            f"{path}: this installation has no reader for s3:// yet; copy the files to a folder first"
        )
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


def _finding(code: str, name: str) -> dict[str, str]:
    return {"code": code, "detail": name}


def _file_item(
    path: Path, relative: str, limits: SourceLimits, overrides: Mapping[str, str] | None = None
) -> SourceItem:
    name, name_bytes = _item_name(os.fsencode(relative))
    return SourceItem(
        name, partial(_read_file, path, name, limits.item_bytes), name_bytes, **(overrides or {})
    )


def _read_file(path: Path, name: str, cap: int) -> bytes:
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
    items: list[SourceItem] = []
    findings: list[dict[str, str]] = []
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
            items.append(_file_item(path, relative.as_posix(), limits))
        elif suffix in ARCHIVE_SUFFIXES:
            findings.append(_finding("nested_archive", shown))
        else:
            findings.append(_finding("not_an_image", shown))
    return Source(items, findings)


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root` that is not hidden, folder by folder, in the order of the names' bytes."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted((name for name in folders if not _is_litter([name])), key=os.fsencode)
        for name in sorted(files, key=os.fsencode):
            if not _is_litter([name]):
                yield Path(folder, name)


def _open_zip(path: Path, limits: SourceLimits) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(f"{path}: not a readable zip ({error})") from error
    try:
        items, findings = _zip_items(archive, limits)
    except SourceError as error:
        archive.close()
        raise SourceError(f"{path}: {error.detail}") from None
    except BaseException:
        archive.close()
        raise
    return Source(items, findings, archive.close)


def _zip_items(
    archive: zipfile.ZipFile, limits: SourceLimits
) -> tuple[list[SourceItem], list[dict[str, str]]]:
    members = archive.infolist()
    if len(members) > limits.members:
        raise SourceError(f"{len(members):,} members are more than the {limits.members:,} allowed")
    items: list[SourceItem] = []
    findings: list[dict[str, str]] = []
    seen: set[str] = set()
    total = 0
    for member in members:
        name, name_bytes = _item_name(_member_name_bytes(member))
        name = name.replace("\\", "/")
        _refuse_unsafe(member, name, limits)
        if member.is_dir() or name.endswith("/"):
            continue
        if name in seen:
            raise SourceError(f"{name}: there twice")
        seen.add(name)
        total += member.file_size
        if total > limits.total_bytes:
            raise SourceError(f"unpacks to more than the {limits.total_bytes:,} bytes allowed")
        parts = PurePosixPath(name).parts
        suffix = PurePosixPath(name).suffix.lower()
        if _is_litter(parts):
            continue
        if suffix in ARCHIVE_SUFFIXES:
            findings.append(_finding("nested_archive", name))
        elif suffix in IMAGE_SUFFIXES:
            read = partial(_read_member, archive, member, name, limits.item_bytes)
            items.append(SourceItem(name, read, name_bytes))
        else:
            findings.append(_finding("not_an_image", name))
    items.sort(key=lambda item: item.name)
    return items, findings


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
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
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
