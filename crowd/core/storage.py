"""Where files lie: originals, working images, thumbnails, exports. Keys are relative paths."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crowd.core.config import SettingsError
from crowd.core.s3 import S3_SCHEME, Bucket, S3Address, connect_s3, parse_s3

# How long a browser may fetch from an address that was signed for it; as long as it may keep the file.
ADDRESS_SECONDS = 3600


class FolderStorage:
    """Files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def origin(self) -> str | None:
        """Scheme and host from which browsers fetch files by `address`; None when we serve them ourselves."""
        return None

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
    def opened(self, key: str) -> Iterator[Path]:
        """The file of `key` on this machine, for the time of the block. Raises FileNotFoundError."""
        path = self.root / key
        if not path.is_file():
            raise FileNotFoundError(key)
        yield path

    def local(self, key: str) -> Path:
        """The file of `key` on this machine, to stay: for what links or sends it. It may not be there."""
        return self.root / key

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Where to put the file of `key`, whole and at once; it is in the storage after the block."""
        yield self.path(key)

    def address(self, key: str, *, mimetype: str, name: str | None = None) -> str | None:
        """An address at which whoever has it can fetch the file for an hour; None: serve it yourself.

        With `name` a browser saves it under that name.
        """
        return None

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


class S3Storage(FolderStorage):
    """Files below a prefix of a bucket; the folder holds what is fetched to stay, and what is on its way."""

    def __init__(self, root: Path, bucket: Bucket, prefix: str) -> None:
        super().__init__(root)
        self._bucket = bucket
        self._prefix = prefix

    @property
    def origin(self) -> str | None:
        """Scheme and host of the bucket's addresses."""
        return self._bucket.origin

    def put(self, key: str, data: bytes) -> None:
        """Write `data`; S3 shows all of it or nothing."""
        self._bucket.put(self._name(key), data)

    def exists(self, key: str) -> bool:
        """Whether the bucket has it."""
        return self._bucket.size(self._name(key)) is not None

    def delete(self, key: str) -> None:
        """Remove it from the bucket, and what was fetched of it."""
        self._bucket.delete(self._name(key))
        super().delete(key)

    @contextmanager
    def opened(self, key: str) -> Iterator[Path]:
        """The file fetched for the time of the block."""
        fetched = self.root / key
        if fetched.is_file():
            yield fetched
            return
        with self.temporary() as aside:
            self._bucket.fetch(self._name(key), aside)
            yield aside

    def local(self, key: str) -> Path:
        """The file fetched to stay."""
        path = self.path(key)
        if not path.is_file():
            with self.temporary() as aside:
                try:
                    self._bucket.fetch(self._name(key), aside)
                except FileNotFoundError:
                    return path
                aside.replace(path)
        return path

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A file aside that is sent to the bucket after the block."""
        with self.temporary(suffix=Path(key).suffix) as aside:
            yield aside
            self._bucket.send(self._name(key), aside)

    def address(self, key: str, *, mimetype: str, name: str | None = None) -> str | None:
        """A presigned address."""
        answer = {"ResponseContentType": mimetype, "ResponseCacheControl": "private, max-age=3600"}
        if name is not None:
            answer["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        return self._bucket.presigned(self._name(key), ADDRESS_SECONDS, answer)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key in the bucket, in the order of their bytes."""
        for name, _ in self._bucket.list(self._name(prefix)):
            yield name.removeprefix(self._name(""))

    def changes(self) -> Iterator[tuple[str, int, int]]:
        """Key, bytes and time (ns since 1970) of every object, in the order of their keys' bytes."""
        for name, size, changed in self._bucket.changes(self._name("")):
            yield name.removeprefix(self._name("")), size, changed

    def fetch(self, key: str, path: Path) -> None:
        """Read the object into a file. Raises FileNotFoundError."""
        self._bucket.fetch(self._name(key), path)

    def size(self, key: str) -> int | None:
        """How many bytes the object has; None if there is none."""
        return self._bucket.size(self._name(key))

    def send(self, key: str, path: Path) -> None:
        """Write the object from a file, which stays."""
        self._bucket.send(self._name(key), path)

    def forget_local(self) -> None:
        """Remove what was fetched to stay."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key


def open_storage(address: str, scratch: Path | None = None) -> FolderStorage:
    """The storage at `address` (CROWD_STORAGE): a folder, or s3://bucket/prefix with `scratch` beside it.

    Raises SettingsError for one it cannot use.
    """
    if address.startswith(S3_SCHEME):
        return _open_s3(address, scratch)
    if "://" in address:
        raise SettingsError(
            f"CROWD_STORAGE: {address.split('://', maxsplit=1)[0]}:// is not supported; "
            "give a folder or s3://bucket/prefix"
        )
    return FolderStorage(_folder(Path(address).expanduser().resolve()))


def _open_s3(address: str, scratch: Path | None) -> S3Storage:
    try:
        place: S3Address = parse_s3(address)
        bucket: Any = connect_s3(place.bucket)
    except ValueError as error:
        raise SettingsError(f"CROWD_STORAGE: {error}") from None
    root = scratch or Path(tempfile.gettempdir()) / "crowd-s3"
    return S3Storage(_folder(root), bucket, place.prefix)


def _folder(root: Path) -> Path:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"CROWD_STORAGE: {root} cannot be made: {error.strerror}") from None
    return root
