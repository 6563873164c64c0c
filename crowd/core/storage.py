"""Where files lie: originals, working images, thumbnails, exports. Keys are relative paths."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crowd.core.config import SettingsError


class FolderStorage:
    """Files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The file of `key`; its folder is made."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, key: str, data: bytes) -> None:
        """Write `data`; a reader sees all of it or nothing, also after a crash."""
        path = self.path(key)
        with self.temporary(suffix=path.suffix) as temporary:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)

    def exists(self, key: str) -> bool:
        """Whether there is a file of that key."""
        return (self.root / key).is_file()

    def delete(self, key: str) -> None:
        """Remove the file; one that is not there is no error."""
        (self.root / key).unlink(missing_ok=True)

    @contextmanager
    def temporary(self, suffix: str = "") -> Iterator[Path]:
        """A file name on the same file system, removed at the end if it is still there."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=suffix, dir=folder)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def open_storage(address: str) -> FolderStorage:
    """The storage at `address` (CROWD_STORAGE). Raises SettingsError for one it cannot use."""
    if "://" in address:
        raise SettingsError(
            f"CROWD_STORAGE: {address.split('://', maxsplit=1)[0]}:// is not supported yet; give a folder"
        )
    root = Path(address).expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"CROWD_STORAGE: {root} cannot be made: {error.strerror}") from None
    return FolderStorage(root)
