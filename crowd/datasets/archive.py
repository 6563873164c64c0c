"""A folder as one ZIP file that is made while it is sent: nothing is compressed, and memory stays flat."""

import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

CHUNK = 256 * 1024
MOST_IN_MEMORY = 4 * CHUNK


def stream_zip(folder: Path, root: str) -> Iterator[bytes]:
    """The bytes of a ZIP file with every file below `folder` under `root`/, hidden ones left out."""
    with SpooledTemporaryFile(MOST_IN_MEMORY) as sent, SpooledTemporaryFile(MOST_IN_MEMORY) as listed:
        sink = _Sink(sent)
        archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED)
        # The archive would keep some hundred bytes for each file until its end.
        archive.filelist = _Entries(listed)  # type: ignore[assignment]
        archive.NameToInfo = _Nothing()
        for path in _files(folder):
            name = f"{root}/{path.relative_to(folder).as_posix()}"
            info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with path.open("rb") as source, archive.open(info, "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield from sink.drain()
        archive.close()
        yield from sink.drain()


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path))
            else:
                yield Path(entry.path)


class _Sink:
    """What the archive writes to; the list of files at its end may outgrow memory, and goes to disk then."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool

    def write(self, data: bytes) -> int:
        return self._spool.write(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def drain(self) -> Iterator[bytes]:
        """What was written since the last time."""
        self._spool.seek(0)
        while chunk := self._spool.read(CHUNK):
            yield chunk
        self._spool.seek(0)
        self._spool.truncate()


class _Entries:
    """The archive's list of its files, on disk once it is long."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._spool.seek(0)
        for _ in range(self._count):
            # Only what `append` wrote into this nameless file.
            yield pickle.load(self._spool)  # noqa: S301

    def append(self, info: zipfile.ZipInfo) -> None:
        pickle.dump(info, self._spool)
        self._count += 1


class _Nothing(dict[str, zipfile.ZipInfo]):
    """The archive's index by name, which only reading would need."""

    def __setitem__(self, name: str, info: zipfile.ZipInfo) -> None:
        pass
