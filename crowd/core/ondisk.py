"""Maps that lie on the disk, so that memory does not grow with what is in them.

Each is a nameless database of SQLite: it belongs to this process alone, and is gone with it.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

# Of each, so much stays in memory.
CACHE_KIB = 256


class DiskMap:
    """Texts, bytes or whole numbers by texts, bytes or whole numbers (all keys of one kind)."""

    def __init__(self) -> None:
        self._conn = sqlite3.connect("", check_same_thread=False)
        # Nobody will ever want it back: nothing is journalled, and nothing waits for the disk.
        for pragma in (f"cache_size=-{CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.execute("CREATE TABLE rows (key PRIMARY KEY, value) WITHOUT ROWID")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: Any) -> bool:
        return self._conn.execute("SELECT 1 FROM rows WHERE key = ?", (key,)).fetchone() is not None

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Keys with their values, in the order of the keys (texts by their code points)."""
        return iter(self._conn.execute("SELECT key, value FROM rows ORDER BY key"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: Any, value: Any = None) -> bool:
        """Keep a value; False, and nothing is changed, where the key is there already."""
        done = self._conn.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", (key, value))
        self._count += done.rowcount
        return done.rowcount == 1

    def get(self, key: Any) -> Any:
        """The key's value; None where there is none."""
        row = self._conn.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """Give the disk back."""
        self._conn.close()


def files_below(root: Path, skip: Callable[[str], bool] = lambda name: False) -> Iterator[str]:
    """Every file below `root`, told from there, in the order of the bytes of their paths.

    Links to folders are not followed, and what `skip` says of a file's or folder's name is left out.
    """
    with DiskMap() as found:
        for path in _files(os.fsencode(root), b"", skip):
            found.add(path)
        for path, _ in found:
            yield os.fsdecode(path)


def _files(folder: bytes, before: bytes, skip: Callable[[str], bool]) -> Iterator[bytes]:
    try:
        entries = os.scandir(folder)
    except OSError:
        # What may not be looked into is passed over, as walks do.
        return
    with entries:
        for entry in entries:
            if skip(os.fsdecode(entry.name)):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, before + entry.name + b"/", skip)
            else:
                yield before + entry.name
