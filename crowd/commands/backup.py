"""`crowd backup` and `crowd restore`: database and images together, out of a running system and back.

A command of its own rather than a part of `crowd db`, which is about the shape of the database: here the
images belong to it as much.

The database comes first, as it stood at one moment, and the storage after it: every file is in its place
before the row that names it is committed, and none is changed or removed later, not even when an image is
withdrawn or a person erased. So whatever the rows of that moment name is there when the files are copied.
Files of later rows come along and do no harm. An export that is still being written stays behind; its row
says that it is to be written, which the restored system does.
"""

import heapq
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from crowd import __version__
from crowd.commands.named_files import named_files
from crowd.commands.showing import console, progress_bar
from crowd.core import backup as backups
from crowd.core import clock, dumps
from crowd.core.backup import Dump, FileList, Manifest
from crowd.core.clock import rfc3339
from crowd.core.config import SECRET_FILE, Settings, load_settings
from crowd.core.db import Database
from crowd.core.errors import Problem
from crowd.core.health import head_revision
from crowd.core.migrate import alembic_config, upgrade
from crowd.core.storage import FolderStorage, S3Storage, open_storage
from crowd.core.supervisor import AlreadyRunning, exclusive
from crowd.datasets.records import MANIFEST as EXPORT_DONE
from crowd.standalone import LOCK_FILE

EXPORTS = "exports"
TEMPORARY = "tmp"
MIGRATION_TABLE = "alembic_version"
MOST_TOLD = 10

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--with-secret-key", is_flag=True, help="Also keep the key that signs sessions; it is left out otherwise."
)
def backup(folder: Path, with_secret_key: bool) -> None:
    """Keep a copy of the database and all images in the folder DIR, while the system runs.

    The same DIR again: only new files are copied, and the earlier backup counts until this one is
    finished. Interrupted: the same command goes on. Exit code 1: it is finished, but files that the
    database names were missing in the storage.
    """
    settings = load_settings()
    _refuse_pooler(settings)
    storage = open_storage(settings.storage, settings.scratch)
    folder = folder.resolve()
    _refuse_overlap(folder, storage.root)
    with _told_failures(), backups.open_folder(folder), closing(Database(settings.database_url)) as db:
        stamp = f"{clock.now():%Y%m%dT%H%M%S.%fZ}"
        dump = _dump(db, folder, stamp)
        file_list = _back_up_files(storage, folder, stamp)
        made = Manifest(
            crowd=__version__,
            dump=dump,
            file_list=file_list.close(),
            files=file_list.files,
            bytes=file_list.bytes,
            secret_key=_keep_secret(settings, folder) if with_secret_key else None,
            missing=_missing(db, _holds(storage, folder)),
        )
        backups.finish(folder, made)
    click.echo(f"Backup of {made.dump.made_at}: {_sizes(made)}, in {folder}")
    if made.missing:
        _tell("missing in the storage", made.missing)
        raise SystemExit(1)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--force", is_flag=True, help="Replace what the database holds, and remove the storage's exports."
)
@click.option("--check", is_flag=True, help="Only read the backup and say whether it is sound.")
def restore(folder: Path, force: bool, check: bool) -> None:
    """Bring the backup in DIR into the database and the storage that the environment names.

    The database must be empty and nobody may be connected to it, also when it is loaded in the end; it is
    brought to this version's migration afterwards. Files that the storage has already stay. Nothing is
    touched before the whole backup has been read and found sound, and the database gets all of it or
    nothing.
    """
    folder = folder.resolve()
    with _told_failures():
        manifest = backups.read_manifest(folder)
        if check:
            _check(folder, manifest)
        else:
            missing = _restore(folder, manifest, force)
    click.echo(
        f"{'Sound backup' if check else 'Restored the backup'} of {manifest.dump.made_at}: {_sizes(manifest)}"
    )
    if not check and missing:
        _tell("missing when the backup was made, and still", missing)


def _dump(db: Database, folder: Path, stamp: str) -> Dump:
    """The database as it stands; returns what the manifest says of it."""
    with dumps.snapshot(db) as conn:
        made_at = rfc3339(clock.now())
        migration = MigrationContext.configure(conn).get_current_revision()
        if migration is None:
            raise Problem(
                "nothing_there", "DATABASE_URL: the database was never set up: there is nothing to keep"
            )
        kind = conn.dialect.name
        tables = dumps.count_rows(conn)
        target = folder / f"database-{stamp}.{'sqlite' if kind == dumps.SQLITE else 'dump'}"
        with _byte_counter() as bar:
            step = bar.add_task("Database", total=None)
            sha256 = dumps.dump(conn, target, lambda done: bar.update(step, completed=done))
        size, version = target.stat().st_size, dumps.server_version(conn)
        return Dump(target.name, size, sha256, made_at, kind, version, migration, tables)


def _back_up_files(storage: FolderStorage, folder: Path, stamp: str) -> FileList:
    earlier = _earlier(folder)
    file_list = FileList(folder / f"files-{stamp}.jsonl")
    if isinstance(storage, S3Storage):
        objects = _objects(storage)
        # Not counted before: listing a bucket twice takes as long again.
        total, entries = None, backups.back_up_objects(_Store(storage).fetch, folder, objects, earlier)
    else:
        total = sum(1 for _ in _keys(storage))
        entries = backups.back_up(storage.root, folder, _keys(storage), earlier)
    with progress_bar() as bar:
        step = bar.add_task("Files", total=total)
        for entry in entries:
            file_list.add(entry)
            bar.advance(step)
    return file_list


def _earlier(folder: Path) -> Manifest | None:
    """The finished backup that the folder holds, if its list can be relied on."""
    try:
        manifest = backups.read_manifest(folder)
        backups.check_parts(folder, manifest)
    except backups.Unsound:
        return None
    return manifest


def _keys(storage: FolderStorage) -> Iterator[str]:
    """The keys of all files that stay: without what is only on its way to its place."""

    def left_out(key: str) -> bool:
        first, *rest = key.split("/")
        if first == TEMPORARY or (key.endswith(".part") and rest and rest[-1].startswith(".")):
            return True
        is_export = first == EXPORTS and len(rest) == 1
        return is_export and not (storage.root / key / EXPORT_DONE).is_file()

    return backups.walk(storage.root, left_out)


class _Store:
    """A bucket, and the exports that an installation on one keeps in a folder of its own."""

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage

    def fetch(self, key: str, path: Path) -> None:
        """Read a file into `path`. Raises FileNotFoundError."""
        if _is_export(key):
            shutil.copyfile(self._storage.root / key, path)
        else:
            self._storage.fetch(key, path)

    def send(self, key: str, path: Path) -> None:
        """Write a file from `path`."""
        if _is_export(key):
            shutil.copyfile(path, self._storage.path(key))
        else:
            self._storage.send(key, path)

    def size(self, key: str) -> int | None:
        """How many bytes it has; None if it is not there."""
        if not _is_export(key):
            return self._storage.size(key)
        path = self._storage.root / key
        return path.stat().st_size if path.is_file() else None


def _is_export(key: str) -> bool:
    return key.split("/", 1)[0] == EXPORTS


def _objects(storage: S3Storage) -> Iterator[backups.Object]:
    """What is in the bucket, and the exports that lie beside it, in the order of their keys."""
    kept = (backups.Object(*each) for each in storage.changes() if not _is_export(each[0]))
    stated = ((key, (storage.root / key).stat()) for key in _keys(storage) if _is_export(key))
    written = (backups.Object(key, status.st_size, status.st_mtime_ns) for key, status in stated)
    return heapq.merge(kept, written, key=lambda each: each.key.split("/"))


def _holds(storage: FolderStorage, folder: Path) -> Callable[[str], bool]:
    """Whether the backup in the folder, or the storage, has a file."""
    return lambda key: (folder / backups.FILES / key).is_file() or storage.exists(key)


def _restored(storage: FolderStorage, folder: Path) -> Callable[[str], bool]:
    """Whether the storage has a file; what the backup sent to a bucket was seen to arrive."""
    return _holds(storage, folder) if isinstance(storage, S3Storage) else storage.exists


def _missing(db: Database, holds: Callable[[str], bool]) -> list[str] | None:
    """The keys that rows name and nobody holds; None for a database of another migration."""
    with db.read() as conn:
        if MigrationContext.configure(conn).get_current_revision() != head_revision():
            return None
    with console.status("Looking for every file that a row names"):
        return [key for key in named_files(db) if not holds(key)]


def _keep_secret(settings: Settings, folder: Path) -> str:
    path = folder / SECRET_FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(settings.secret_key)
        file.flush()
        os.fsync(file.fileno())
    return path.name


def _restore(folder: Path, manifest: Manifest, force: bool) -> list[str]:
    """Everything; returns what the backup lacked from the start. Raises Problem."""
    settings = load_settings()
    _refuse_pooler(settings)
    storage = open_storage(settings.storage, settings.scratch)
    _refuse_overlap(folder, storage.root)
    _refuse_unfit(manifest, settings)
    with _standing_still(settings), closing(Database(settings.database_url)) as db:
        _refuse_full(db, storage, force)
        _check(folder, manifest)
        _bring_files(folder, manifest, storage)
        with console.status("Database"):
            only_filled = None if force else MIGRATION_TABLE
            dumps.load(db, folder / manifest.dump.name, manifest.dump.version, only_filled=only_filled)
            _check_counts(db, manifest)
            if manifest.dump.migration != head_revision():
                upgrade(settings.database_url)
            with db.begin() as conn:
                # The planner knows nothing yet of what came in.
                conn.execute(sa.text("ANALYZE"))
        _bring_secret(folder, manifest, settings)
        missing = _missing(db, _restored(storage, folder)) or []
    if unexpected := set(missing) - set(manifest.missing or []):
        _tell("missing", sorted(unexpected))
        raise Problem(
            "unsound", f"the database is restored, but {len(unexpected)} files that it names are missing"
        )
    return missing


def _refuse_pooler(settings: Settings) -> None:
    """PostgreSQL's tools rely on their session and on start-up options, which a pooler does not carry."""
    if "pooler" in sa.make_url(settings.database_url).query:
        raise Problem(
            "behind_a_pooler",
            "DATABASE_URL: backup and restore want PostgreSQL's own address: name that instead of the "
            "pooler's, and leave CROWD_DB_POOLER out",
        )


def _refuse_unfit(manifest: Manifest, settings: Settings) -> None:
    kind = dumps.SQLITE if settings.is_sqlite else dumps.POSTGRESQL
    if manifest.dump.kind != kind:
        raise Problem(
            "other_database", f"DATABASE_URL: the backup is one of {manifest.dump.kind}, and this is {kind}"
        )
    known = {each.revision for each in ScriptDirectory.from_config(alembic_config("")).walk_revisions()}
    if manifest.dump.migration not in known:
        raise Problem(
            "newer_backup",
            f"the backup is at migration {manifest.dump.migration}, which this version of Crowd "
            f"({__version__}) does not know: restore it with version {manifest.crowd} or newer",
        )


def _refuse_full(db: Database, storage: FolderStorage, force: bool) -> None:
    """Raises Problem unless nobody uses the database, and it and the exports are empty or may be replaced.

    Here so that nobody waits for hours to be told; loading looks at the database again.
    """
    if not db.is_sqlite:
        dumps.require_alone(db)
    if db.is_sqlite and not Path(db.engine.url.database or "").exists():
        tables = {}
    else:
        with dumps.snapshot(db) as conn:
            tables = {name: rows for name, rows in dumps.count_rows(conn).items() if name != MIGRATION_TABLE}
    exports = storage.root / EXPORTS
    if force:
        return
    if full := [f"{name}: {rows}" for name, rows in tables.items() if rows]:
        raise Problem(
            "database_not_empty",
            f"DATABASE_URL: the database is not empty ({', '.join(full[:MOST_TOLD])}): --force replaces it",
        )
    # Exports go by the number of their row, so one of another database would be taken for this one's.
    if exports.is_dir() and any(exports.iterdir()):
        raise Problem(
            "storage_not_empty", f"CROWD_STORAGE: {exports} holds exports already: --force removes them"
        )


def _check(folder: Path, manifest: Manifest) -> None:
    with progress_bar() as bar:
        step = bar.add_task("Checking", total=manifest.files)
        backups.check_parts(folder, manifest)
        backups.check_files(folder, manifest, lambda done: bar.update(step, completed=done))


def _bring_files(folder: Path, manifest: Manifest, storage: FolderStorage) -> None:
    shutil.rmtree(storage.root / EXPORTS, ignore_errors=True)
    with progress_bar() as bar:
        step = bar.add_task("Files", total=manifest.files)
        if isinstance(storage, S3Storage):
            store = _Store(storage)
            entries = backups.bring_back_objects(folder, manifest, store.send, store.size, store.fetch)
        else:
            entries = backups.bring_back(folder, manifest, storage.root)
        for _ in entries:
            bar.advance(step)
    # Rows that name them come after them, also when the power goes off.
    os.sync()


def _check_counts(db: Database, manifest: Manifest) -> None:
    with dumps.snapshot(db) as conn:
        found = dumps.count_rows(conn)
    wanted = manifest.dump.tables
    if found != wanted:
        names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        raise Problem("unsound", f"the restored tables have other rows than the backup: {', '.join(names)}")


def _bring_secret(folder: Path, manifest: Manifest, settings: Settings) -> None:
    if manifest.secret_key is None:
        return
    if os.environ.get("CROWD_SECRET_KEY"):
        click.echo("CROWD_SECRET_KEY is set, so the backup's key is left where it is.", err=True)
        return
    (settings.data_dir / SECRET_FILE).write_text((folder / manifest.secret_key).read_text())


def _refuse_overlap(folder: Path, root: Path) -> None:
    if folder.is_relative_to(root) or root.is_relative_to(folder):
        raise Problem("folder_taken", f"{folder}: backup and storage ({root}) must lie apart")


@contextmanager
def _standing_still(settings: Settings) -> Iterator[None]:
    """No `crowd standalone` runs on the data dir, nor can one start. Raises Problem."""
    try:
        with exclusive(settings.data_dir / LOCK_FILE):
            yield
    except AlreadyRunning as running:
        raise Problem(
            "running", f"crowd standalone runs on this data dir: {running}: stop it first"
        ) from None


@contextmanager
def _told_failures() -> Iterator[None]:
    """What the disk refuses, as a message."""
    try:
        yield
    except OSError as error:
        raise Problem("disk", f"{error.filename or 'disk'}: {error.strerror or error}") from None


def _byte_counter() -> Progress:
    words = TextColumn("{task.description}")
    return Progress(words, BarColumn(), DownloadColumn(), TimeElapsedColumn(), console=console)


def _sizes(manifest: Manifest) -> str:
    rows = sum(count for name, count in manifest.dump.tables.items() if name != MIGRATION_TABLE)
    size = (manifest.dump.bytes + manifest.bytes) / 1e6
    return f"{rows} rows in {len(manifest.dump.tables)} tables, {manifest.files} files, {size:.1f} MB"


def _tell(what: str, keys: list[str]) -> None:
    for key in keys[:MOST_TOLD]:
        click.echo(f"{what}: {key}", err=True)
    if len(keys) > MOST_TOLD:
        click.echo(f"{what}: {len(keys) - MOST_TOLD} more", err=True)
