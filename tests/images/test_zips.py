"""Zips read member by member say what the standard library says of them, and hold nothing in memory."""

import csv
import io
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from crowd.images.sources import SourceError, SourceLimits, open_source
from crowd.images.zips import ZipReader

KINDS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}

FEW, MANY = 500, 2000
# In bytes: whoever holds the items holds more than this.
A_NAME = sys.getsizeof("000000.jpg")


def packed(kind: int, *, before: bytes = b"", comment: bytes = b"") -> bytes:
    out = io.BytesIO(before)
    out.seek(0, os.SEEK_END)
    with zipfile.ZipFile(out, "a" if before else "w", kind) as archive:
        archive.writestr("a.png", b"x" * 1000)
        archive.writestr("옷/b.png", os.urandom(3000))
        archive.writestr("folder/", b"")
        with archive.open("large", "w", force_zip64=True) as member:
            member.write(b"yz" * 50)
        archive.comment = comment
    return out.getvalue()


def said_by_zipfile(data: bytes) -> list[tuple[object, ...]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(each.orig_filename, each.flag_bits, archive.read(each)) for each in archive.infolist()]


def said_by_us(data: bytes) -> list[tuple[object, ...]]:
    reader = ZipReader(io.BytesIO(data))
    said: list[tuple[object, ...]] = []
    for place, member in reader.members():
        out = io.BytesIO()
        reader.copy(place, out)
        said.append((member.orig_filename, member.flag_bits, out.getvalue()))
    return said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [{}, {"before": b"#!/bin/sh\n" * 90}, {"comment": b"c" * 65_535}])
def test_every_member_is_as_the_standard_library_has_it(kind: str, shape: dict[str, bytes]) -> None:
    data = packed(KINDS[kind], **shape)
    assert len(said_by_zipfile(data)) == 4
    assert said_by_us(data) == said_by_zipfile(data)


@pytest.mark.parametrize("before", [b"", b"something"])
def test_a_directory_of_the_large_kind_is_read(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    data = packed(zipfile.ZIP_DEFLATED, before=before)
    assert b"PK\x06\x06" in data, "else this test shows nothing"
    assert said_by_us(data) == said_by_zipfile(data)


@pytest.mark.parametrize("cut", range(1, 300, 7))
def test_a_torn_zip_is_no_zip(cut: int) -> None:
    with pytest.raises((zipfile.BadZipFile, ValueError)):
        said_by_us(packed(zipfile.ZIP_STORED)[:-cut])


def a_zip(folder: Path, count: int) -> Path:
    with zipfile.ZipFile(folder / "many.zip", "w") as archive:
        for number in range(count):
            archive.writestr(f"{number:06}.jpg", b"a")
            archive.writestr(f"{number:06}.txt", b"a")
    return folder / "many.zip"


def a_zip_in_a_zip(folder: Path, count: int) -> Path:
    with zipfile.ZipFile(folder / "outer.zip", "w") as archive:
        archive.write(a_zip(folder, count), "inner.zip")
    return folder / "outer.zip"


def a_folder(folder: Path, count: int) -> Path:
    for number in range(count):
        (folder / f"{number:06}.jpg").touch()
        (folder / f"{number:06}.txt").touch()
    return folder


def a_csv_manifest(folder: Path, count: int) -> Path:
    (folder / "files").mkdir()
    a_folder(folder / "files", count)
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file"], *([f"files/{number:06}.jpg"] for number in range(count))])
    return folder / "list.csv"


def a_jsonl_manifest(folder: Path, count: int) -> Path:
    a_csv_manifest(folder, count)
    lines = (json.dumps({"file": f"files/{number:06}.jpg"}) for number in range(count))
    (folder / "list.jsonl").write_text("\n".join(lines))
    return folder / "list.jsonl"


@pytest.mark.parametrize("make", [a_zip, a_zip_in_a_zip, a_folder, a_csv_manifest, a_jsonl_manifest])
def test_many_items_take_no_more_memory_than_few(make: Callable[[Path, int], Path], tmp_path: Path) -> None:
    peaks = {}
    for count in (FEW, MANY):
        (tmp_path / str(count)).mkdir()
        path = make(tmp_path / str(count), count)
        # Of several, for what the interpreter keeps once for all falls into any of them.
        peaks[count] = min(peak_of_reading(path, count) for _ in range(3))
    assert (peaks[MANY] - peaks[FEW]) / (MANY - FEW) < A_NAME, "bytes an item"


def peak_of_reading(path: Path, count: int) -> int:
    """Bytes of Python's own objects while all items are read."""
    tracemalloc.start()
    with open_source(path) as source:
        assert sum(1 for _ in source) == len(source) == count
        assert sum(1 for _ in source.findings) == len(source.findings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_an_archive_of_too_many_members_is_not_read_to_its_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}/", b"")
    tracemalloc.start()
    with pytest.raises(SourceError, match="more than the 500 members"):
        open_source(tmp_path / "a.zip", SourceLimits(members=500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000
