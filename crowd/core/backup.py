"""A backup as a folder: dump, files, the list of the files, and a manifest that is written last of all.

What a manifest does not name is no part of the backup, so an earlier backup in the same folder stays whole
until the new one is finished. Knows neither databases nor which files there ought to be.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from crowd.core.errors import Problem
from crowd.core.supervisor import AlreadyRunning, exclusive

FORMAT = 1
MANIFEST = "backup.json"
LOCK = "backup.lock"
FILES = "storage"
CHUNK = 1024 * 1024
T = TypeVar("T")
MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its key (relative path), size (bytes), time of change (ns since 1970) and SHA-256 (hex)."""

    key: str
    size: int
    changed: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the backup itself: its name, size (bytes) and SHA-256 (hex)."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Dump(Part):
    """The database's part: the moment it shows (RFC 3339), and what it was taken from.

    `version` is the database server's, `tables` holds rows by table.
    """

    made_at: str
    kind: str
    version: int
    migration: str
    tables: dict[str, int]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished backup says of itself; `files` and `bytes` are those of the storage.

    `missing` holds the keys that rows named and the storage did not have (None: nobody looked).
    """

    crowd: str
    dump: Dump
    file_list: Part
    files: int
    bytes: int
    secret_key: str | None = None
    missing: list[str] | None = None
    format: int = field(default=FORMAT)


class Unsound(Problem):
    """The folder holds no backup that could be restored; the message says why."""

    def __init__(self, detail: str) -> None:
        super().__init__("no_sound_backup", detail)


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """The folder made, if need be, and held against every other backup. Raises Problem and OSError.

    It may hold an earlier backup, finished or not, and nothing else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / LOCK).exists() and any(folder.iterdir()):
        raise Problem("folder_taken", f"{folder}: holds something other than a backup; name another folder")
    try:
        with exclusive(folder / LOCK):
            yield
    except AlreadyRunning as other:
        raise Problem("folder_in_use", f"{folder}: another backup is being made here: {other}") from None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the finished backup in the folder. Raises Unsound."""
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        state = "the backup is unfinished" if (folder / LOCK).exists() else "there is no backup"
        raise Unsound(f"{folder}: {state}: it has no {MANIFEST}") from None
    except (ValueError, OSError):
        raise Unsound(f"{path}: cannot be read") from None
    if isinstance(told, dict) and isinstance(told.get("format"), int) and told["format"] > FORMAT:
        raise Unsound(f"{path}: made by a newer version of Crowd ({told.get('crowd')})")
    try:
        return Manifest(**told | {"dump": Dump(**told["dump"]), "file_list": Part(**told["file_list"])})
    except (TypeError, KeyError):
        raise Unsound(f"{path}: cannot be read") from None


def finish(folder: Path, manifest: Manifest) -> None:
    """Make the backup in the folder the one that `manifest` describes; whatever was there before it goes."""
    # All that it names is to be on disk before it is.
    os.sync()
    part = folder / f"{MANIFEST}.part"
    with part.open("w") as file:
        json.dump(asdict(manifest), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / MANIFEST)
    _sync_folder(folder)
    kept = {MANIFEST, LOCK, FILES, manifest.dump.name, manifest.file_list.name, manifest.secret_key}
    for other in folder.iterdir():
        if other.name not in kept and other.is_file():
            other.unlink()


def listed(folder: Path, manifest: Manifest | None) -> Iterator[Entry]:
    """The files of a backup, in the order of `walk`; none without a manifest."""
    if manifest is None:
        return
    with (folder / manifest.file_list.name).open() as lines:
        for line in lines:
            yield Entry(*json.loads(line))


def walk(root: Path, leave_out: Callable[[str], bool]) -> Iterator[str]:
    """The keys of all files below `root`, part by part in the order of their names.

    `leave_out` is asked for each file and folder. What vanishes meanwhile is passed over.
    """
    return _walk(root, "", leave_out)


def back_up(root: Path, folder: Path, keys: Iterator[str], manifest: Manifest | None) -> Iterator[Entry]:
    """Bring the files `keys` below `root` into the folder; yields every file that the backup then has.

    A file that `manifest`, of an earlier backup in the folder, lists stays, also when it is gone from `root`;
    it is not read again unless its size or time of change is another.
    """
    target = folder / FILES
    links = _Links(target)
    for key, entry in _side_by_side(keys, listed(folder, manifest), str):
        if key is None:
            assert entry is not None
            yield entry
            continue
        try:
            yield _back_up_file(root / key, target / key, key, entry, links)
        except FileNotFoundError:
            if entry is not None:
                yield entry


@dataclass(frozen=True, slots=True)
class Object:
    """A file of a store that is no folder: its key, size (bytes), time of change (ns since 1970)."""

    key: str
    size: int
    changed: int


def back_up_objects(
    fetch: Callable[[str, Path], None], folder: Path, objects: Iterator[Object], manifest: Manifest | None
) -> Iterator[Entry]:
    """As `back_up`, from a store that `fetch` asks for an object; `objects` in the order of `walk`."""
    for found, entry in _side_by_side(objects, listed(folder, manifest), _key_of):
        if found is None:
            assert entry is not None
            yield entry
            continue
        try:
            yield _back_up_object(fetch, folder / FILES / found.key, found, entry)
        except FileNotFoundError:
            if entry is not None:
                yield entry


def bring_back(folder: Path, manifest: Manifest, root: Path) -> Iterator[Entry]:
    """Bring every file of the backup below `root`; yields each. One that is there already is left as it is.

    Raises Unsound for a file that changed since the backup was checked.
    """
    links = _Links(root)
    for entry in listed(folder, manifest):
        source, target = folder / FILES / entry.key, root / entry.key
        if not (_has_size(target, entry.size) and hash_file(target) == entry.sha256):
            status = source.stat()
            sha256 = links.place(status, entry.key) or _copy(source, target, status)
            if sha256 != entry.sha256:
                raise Unsound(f"{source}: changed while it was being restored")
            links.remember(status, entry)
        yield entry


def bring_back_objects(
    folder: Path,
    manifest: Manifest,
    send: Callable[[str, Path], None],
    size_of: Callable[[str], int | None],
    fetch: Callable[[str, Path], None],
) -> Iterator[Entry]:
    """As `bring_back`, into a store of objects. Raises Unsound for one that arrived with another size.

    An object of the same size that is there already is fetched and compared before it is left as it is.
    """
    aside = _part_of(folder / FILES / "fetched")
    try:
        for entry in listed(folder, manifest):
            there = size_of(entry.key) == entry.size
            if there:
                fetch(entry.key, aside)
                there = hash_file(aside) == entry.sha256
            if not there:
                send(entry.key, folder / FILES / entry.key)
                if size_of(entry.key) != entry.size:
                    raise Unsound(f"{entry.key}: did not arrive whole")
            yield entry
    finally:
        aside.unlink(missing_ok=True)


def check_parts(folder: Path, manifest: Manifest) -> None:
    """Raises Unsound unless dump and list are what the manifest says."""
    for part in (manifest.dump, manifest.file_list):
        path = folder / part.name
        if not _has_size(path, part.bytes) or hash_file(path) != part.sha256:
            raise Unsound(f"{path}: {'is damaged' if path.exists() else 'is missing'}")


def check_files(folder: Path, manifest: Manifest, on_progress: Callable[[int], None]) -> None:
    """Read every listed file. Raises Unsound that names the first that are not what the list says."""
    wrong = []
    for number, entry in enumerate(listed(folder, manifest), start=1):
        path = folder / FILES / entry.key
        if not _has_size(path, entry.size) or hash_file(path) != entry.sha256:
            wrong.append(str(path))
        on_progress(number)
    if wrong:
        more = f" and {len(wrong) - MOST_TOLD} more" if len(wrong) > MOST_TOLD else ""
        raise Unsound(f"damaged or missing: {', '.join(wrong[:MOST_TOLD])}{more}")


def hash_file(path: Path) -> str:
    """The SHA-256 (hex) of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileList:
    """The list of the files while it is written: one line of JSON each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.files = 0
        self.bytes = 0

    def add(self, entry: Entry) -> None:
        """One more file."""
        line = json.dumps([entry.key, entry.size, entry.changed, entry.sha256]).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)
        self.files += 1
        self.bytes += entry.size

    def close(self) -> Part:
        """The list as a part of the backup."""
        size = self._file.tell()
        self._file.close()
        return Part(self._path.name, size, self._digest.hexdigest())


class _Links:
    """Files that share their bytes in the source shall share them in the target (an export's images do)."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._known: dict[tuple[int, int], Entry] = {}

    def remember(self, status: os.stat_result, entry: Entry) -> None:
        if status.st_nlink > 1:
            self._known[status.st_dev, status.st_ino] = entry

    def place(self, status: os.stat_result, key: str) -> str | None:
        """The SHA-256 of the file linked as `key`; None if its bytes are new, or links do not work."""
        twin = self._known.get((status.st_dev, status.st_ino))
        if twin is None or (twin.size, twin.changed) != (status.st_size, status.st_mtime_ns):
            return None
        part = _part_of(self._target / key)
        try:
            part.unlink(missing_ok=True)
            os.link(self._target / twin.key, part)
        except OSError:
            return None
        part.replace(self._target / key)
        # Renaming one link onto another of the same file does nothing, and leaves both.
        part.unlink(missing_ok=True)
        return twin.sha256


def _back_up_file(source: Path, target: Path, key: str, known: Entry | None, links: _Links) -> Entry:
    status = source.stat()
    if _is_unchanged(target, status):
        if known is not None and (known.size, known.changed) == (status.st_size, status.st_mtime_ns):
            links.remember(status, known)
            return known
        # Left by a backup that was interrupted, perhaps by the power going off: read before it is believed.
        sha256: str | None = hash_file(source)
        if hash_file(target) != sha256:
            sha256 = None
    else:
        sha256 = links.place(status, key)
    entry = Entry(key, status.st_size, status.st_mtime_ns, sha256 or _copy(source, target, status))
    links.remember(status, entry)
    return entry


def _back_up_object(
    fetch: Callable[[str, Path], None], target: Path, found: Object, known: Entry | None
) -> Entry:
    is_known = known is not None and (known.size, known.changed) == (found.size, found.changed)
    if known is not None and is_known and _has_size(target, known.size):
        return known
    part = _part_of(target)
    fetch(found.key, part)
    # What it says of itself later is what was fetched, whatever the list of objects said.
    entry = Entry(found.key, part.stat().st_size, found.changed, hash_file(part))
    part.replace(target)
    return entry


def _copy(source: Path, target: Path, status: os.stat_result) -> str:
    """Copy with the time of change; returns the SHA-256. The target is there as a whole or not at all."""
    digest = hashlib.sha256()
    part = _part_of(target)
    with source.open("rb", buffering=0) as old, part.open("wb", buffering=0) as new:
        while block := old.read(CHUNK):
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[new.write(view) :]
        os.utime(new.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
    part.replace(target)
    return digest.hexdigest()


def _part_of(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Short whatever the name: a file name may already be as long as the file system takes.
    return target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part")


def _is_unchanged(target: Path, status: os.stat_result) -> bool:
    try:
        there = target.stat()
    except FileNotFoundError:
        return False
    return (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _walk(folder: Path, prefix: str, leave_out: Callable[[str], bool]) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        key = prefix + entry.name
        if leave_out(key):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{key}/", leave_out)
        elif entry.is_file():
            yield key


def _side_by_side(
    ours: Iterator[T], entries: Iterator[Entry], key_of: Callable[[T], str]
) -> Iterator[tuple[T | None, Entry | None]]:
    """Both, in their common order, matched by key; neither is ever held in memory as a whole."""
    our, entry = next(ours, None), next(entries, None)
    while our is not None or entry is not None:
        if entry is None or (our is not None and _place(key_of(our)) < _place(entry.key)):
            yield our, None
            our = next(ours, None)
        elif our is None or _place(key_of(our)) > _place(entry.key):
            yield None, entry
            entry = next(entries, None)
        else:
            yield our, entry
            our, entry = next(ours, None), next(entries, None)


def _key_of(each: Object) -> str:
    return each.key


def _place(key: str) -> list[str]:
    return key.split("/")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Not every file system takes that of a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
