"""Zips read member by member: their directory is never held in memory, however many it lists."""

import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

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
# PKWARE's APPNOTE 6.3, 4.3.12 to 4.3.16: an entry of the directory, and what stands at the end.
ENTRY, ENTRY_SIZE, ENTRY_LENGTHS = b"PK\x01\x02", 46, slice(28, 34)
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")
SIGNS = (b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07")
MOST_COMMENT = 65_535
BLOCK = 1 << 16
UNKNOWN = 0xFFFFFFFF


class ZipReader:
    """A zip in a seekable file, which stays its giver's. What is wrong with it raises one of BROKEN_ZIP."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start, self._end, self._told = _directory(file)

    def members(self) -> Iterator[tuple[int, zipfile.ZipInfo]]:
        """Each entry of the directory with its place, by which `open` finds it again."""
        at = self._start
        while at < self._end:
            entry = self._entry(at)
            with self._alone(entry) as archive:
                member = archive.infolist()[0]
            yield at, member
            at += len(entry)

    def member(self, place: int) -> zipfile.ZipInfo:
        """What the directory says of the member at that place."""
        with self._alone(self._entry(place)) as archive:
            return archive.infolist()[0]

    def copy(self, place: int, out: IO[bytes]) -> None:
        """Unpack a member, of which no more is taken than the directory promised."""
        with self._alone(self._entry(place)) as archive:
            (member,) = archive.infolist()
            left = member.file_size
            with archive.open(member) as inside:
                while left > 0 and (block := inside.read(min(left, BLOCK))):
                    out.write(block)
                    left -= len(block)

    def _entry(self, at: int) -> bytes:
        self._file.seek(at)
        head = self._file.read(ENTRY_SIZE)
        if len(head) < ENTRY_SIZE or not head.startswith(ENTRY):
            raise zipfile.BadZipFile("Bad magic number for central directory")
        size = ENTRY_SIZE + sum(struct.unpack("<3H", head[ENTRY_LENGTHS]))
        if at + size > self._end:
            raise zipfile.BadZipFile("Truncated central directory")
        return head + self._file.read(size - ENTRY_SIZE)

    def _alone(self, entry: bytes) -> zipfile.ZipFile:
        """The archive as if this entry were its whole directory, so that `zipfile` reads no other."""
        size, told = len(entry), self._told
        tail = (
            entry
            + END64.pack(SIGNS[1], END64.size - 12, 45, 45, 0, 0, 1, 1, size, told)
            + LOCATOR.pack(SIGNS[2], 0, told + size, 1)
            + END.pack(SIGNS[0], 0, 0, 1, 1, UNKNOWN, UNKNOWN, 0)
        )
        return zipfile.ZipFile(_Spliced(self._file, self._start, tail))


class _Spliced(io.RawIOBase):
    """A file up to `split`, and behind that something else."""

    def __init__(self, file: IO[bytes], split: int, tail: bytes) -> None:
        self._file, self._split, self._tail = file, split, tail
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._split + len(self._tail)}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at < self._split:
            self._file.seek(self._at)
            data = self._file.read(min(len(buffer), self._split - self._at))
        else:
            behind = self._at - self._split
            data = self._tail[behind : behind + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _directory(file: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory begins and ends in the file, and where it is said to begin.

    The two differ where something was put before the archive.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - END.size - MOST_COMMENT))
    behind = file.read()
    found = behind.rfind(SIGNS[0])
    if found < 0 or len(behind) - found < END.size:
        raise zipfile.BadZipFile("File is not a zip file")
    at = length - len(behind) + found
    *_, size, told, _ = END.unpack_from(behind, found)
    if at >= LOCATOR.size + END64.size:
        file.seek(at - LOCATOR.size - END64.size)
        large = file.read(END64.size + LOCATOR.size)
        if large.startswith(SIGNS[1]) and large[END64.size :].startswith(SIGNS[2]):
            at -= LOCATOR.size + END64.size
            *_, size, told = END64.unpack_from(large)
    if not 0 <= at - size <= at or told > at - size:
        raise zipfile.BadZipFile("Bad offset for central directory")
    return at - size, at, told
