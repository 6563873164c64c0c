"""A database into one file and back: SQLite's own backup, PostgreSQL's own tools. Knows no table by name.

A dump shows one moment; writers go on meanwhile. Loading is one step: all of the dump is there, or nothing.
"""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import Connection, Engine

from crowd.core.db import Database
from crowd.core.errors import Problem

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
CHUNK = 1024 * 1024
SQLITE_PAGES = 1024
# Where Debian and its kin keep the tools of each version, besides PATH.
INSTALLED = "/usr/lib/postgresql/*/bin"
LOCK_PATIENCE = "-c lock_timeout=10s"

# What is in the database besides the system's own and what belongs to extensions, which stay.
_OBJECTS = """
SELECT format('DROP %s IF EXISTS %s CASCADE', kind, name) FROM (
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
        ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name, c.relnamespace AS space, c.oid AS id
    FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL SELECT 'FUNCTION', p.oid::regprocedure::text, p.pronamespace, p.oid
    FROM pg_proc p WHERE p.prokind = 'f'
    UNION ALL SELECT 'TYPE', t.oid::regtype::text, t.typnamespace, t.oid
    FROM pg_type t WHERE t.typtype IN ('e', 'd')
) AS found JOIN pg_namespace n ON n.oid = space
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = id AND d.deptype = 'e')
"""
_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""
_OTHERS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_REFUSE = "DO $guard$ BEGIN IF EXISTS ({rows}) THEN RAISE EXCEPTION '{words}'; END IF; END $guard$"
_IN_USE = "DATABASE_URL: others use the database: stop web processes and job workers first"
_FILLED = "DATABASE_URL: the database is not empty any more: --force replaces what it holds"
_CODES = {_IN_USE: "database_in_use", _FILLED: "database_not_empty"}


@contextmanager
def snapshot(db: Database) -> Iterator[Connection]:
    """A reading transaction that sees one moment for as long as it is open. Raises OperationalError."""
    options: dict[str, Any] = {"reads_only": True} if db.is_sqlite else {"isolation_level": "REPEATABLE READ"}
    with db.engine.connect().execution_options(**options) as conn, conn.begin():
        if db.is_sqlite:
            # The moment is that of the first look. It also keeps a copy in steps from starting anew
            # whenever somebody writes between two steps.
            conn.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        else:
            conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield conn


def count_rows(conn: Connection) -> dict[str, int]:
    """How many rows each table has."""
    names = sorted(sa.inspect(conn).get_table_names())
    count = sa.select(sa.func.count())
    return {name: conn.scalar(count.select_from(sa.table(name))) or 0 for name in names}


def dump(conn: Connection, target: Path, on_progress: Callable[[int], None]) -> str:
    """Write what `conn`, a snapshot, sees to `target`. Returns the file's SHA-256 (hex).

    `on_progress` gets the bytes written so far. Raises Problem where a tool is missing or fails, and OSError.
    """
    target.touch(mode=0o600)
    if conn.dialect.name == SQLITE:
        _copy_sqlite(conn, target, on_progress)
        with target.open("rb") as file:
            os.fsync(file.fileno())
            return hashlib.file_digest(file, "sha256").hexdigest()
    return _pg_dump(conn, target, on_progress)


def load(db: Database, source: Path, version: int, *, only_filled: str | None) -> None:
    """Make the database what the dump `source` holds, in place of what is there.

    `version`: that of the server the dump was taken from; SQLite's tools have none. `only_filled`: the one
    table that may hold rows; None: whatever is there may be replaced. Raises Problem when somebody else is
    connected, when other tables hold rows, or when the dump cannot be loaded: then the database is what it
    was. Both are looked for at the last moment, whatever was seen before.
    """
    if db.is_sqlite:
        _load_sqlite(db, source, only_filled)
    else:
        _load_postgresql(db, source, version, only_filled)


def require_alone(db: Database) -> None:
    """Raises Problem when others are connected to the PostgreSQL database."""
    with db.read() as conn:
        others = conn.scalars(sa.text(_OTHERS)).all()
    if others:
        raise Problem("database_in_use", f"{_IN_USE} ({len(others)} other connections)")


def server_version(conn: Connection) -> int:
    """The major version of the PostgreSQL server; 0 of SQLite."""
    if conn.dialect.name == SQLITE:
        return 0
    number: int = conn.scalar(sa.text("SELECT current_setting('server_version_num')::int")) or 0
    return number // 10_000


def find_tools(least: int) -> Path:
    """The folder of pg_dump, pg_restore and psql of the (major) version `least`, else of the next newer one.

    Raises Problem, with what to install.
    """
    folders = list(Path("/").glob(INSTALLED.lstrip("/")))
    if found := shutil.which("pg_dump"):
        # Last, so that among equals it counts. What Debian has there is a script that leads away.
        folders.append(Path(found).resolve().parent)
    versions = {version: folder for folder in folders if (version := _tool_version(folder))}
    fitting = [version for version in versions if version >= least]
    if fitting:
        return versions[min(fitting)]
    newest = max(versions, default=None)
    fault = f"the newest pg_dump here is of version {newest}" if newest else "pg_dump is not installed here"
    raise Problem(
        "tools_missing",
        f"{fault}, and the database needs version {least} or newer: "
        f"install its client tools (on Debian: apt install postgresql-client-{least})",
    )


def _copy_sqlite(conn: Connection, target: Path, on_progress: Callable[[int], None]) -> None:
    source = conn.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    page_size = source.execute("PRAGMA page_size").fetchone()[0]

    def told(_status: int, remaining: int, total: int) -> None:
        on_progress((total - remaining) * page_size)

    copy = sqlite3.connect(target)
    try:
        source.backup(copy, pages=SQLITE_PAGES, progress=told)
    except sqlite3.OperationalError as error:
        raise OSError(None, str(error), str(target)) from None
    finally:
        copy.close()


def _load_sqlite(db: Database, source: Path, only_filled: str | None) -> None:
    path = Path(db.engine.url.database or "")
    if only_filled and path.exists():
        with snapshot(db) as conn:
            counts = count_rows(conn)
        if any(rows for name, rows in counts.items() if name != only_filled):
            raise Problem("database_not_empty", _FILLED)
    db.close()
    _fold_journal(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.restoring")
    with source.open("rb") as old, part.open("wb") as new:
        shutil.copyfileobj(old, new, CHUNK)
        new.flush()
        os.fsync(new.fileno())
    part.replace(path)


def _fold_journal(path: Path) -> None:
    """Have the file stand alone: a journal left beside it would be read into the one that takes its place."""
    if not path.exists():
        return
    connection = sqlite3.connect(path, timeout=1.0)
    try:
        # Only the last one connected can do this.
        connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        raise Problem(
            "database_in_use",
            f"DATABASE_URL: another process uses {path}: stop web process and job workers first",
        ) from None
    finally:
        connection.close()


def _pg_dump(conn: Connection, target: Path, on_progress: Callable[[int], None]) -> str:
    tools = find_tools(server_version(conn))
    snapshot_id = conn.scalar(sa.text("SELECT pg_export_snapshot()"))
    command = [
        *(str(tools / "pg_dump"), "--format=custom", "--no-owner", "--no-privileges"),
        *("--lock-wait-timeout=60000", f"--snapshot={snapshot_id}", f"--dbname={_conninfo(conn.engine)}"),
    ]
    digest = hashlib.sha256()
    with target.open("wb") as file, _running(command, conn.engine, stdout=subprocess.PIPE) as (process, said):
        assert process.stdout is not None
        # Read and written here: when this process ends, whatever way, the tool does as well.
        while block := process.stdout.read(CHUNK):
            digest.update(block)
            file.write(block)
            on_progress(file.tell())
        if process.wait():
            raise _failed("pg_dump", said)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _load_postgresql(db: Database, source: Path, version: int, only_filled: str | None) -> None:
    require_alone(db)
    with db.read() as conn:
        tools = find_tools(max(version, server_version(conn)))
        clearing = [*_guards(conn, only_filled), *conn.scalars(sa.text(_OBJECTS))]
    db.close()
    restore = [str(tools / "pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(source)]
    psql = [
        *(str(tools / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"),
        f"--dbname={_conninfo(db.engine)}",
    ]
    quiet = {"stdout": subprocess.DEVNULL}
    with (
        _running(restore, db.engine, stdout=subprocess.PIPE) as (reader, read_said),
        _running(psql, db.engine, stdin=subprocess.PIPE, **quiet) as (writer, write_said),
    ):
        assert reader.stdout is not None
        assert writer.stdin is not None
        try:
            writer.stdin.write("".join(f"{line};\n" for line in ("BEGIN", *clearing)).encode())
            shutil.copyfileobj(reader.stdout, writer.stdin, CHUNK)
            # Without this word, said only when all has been read, the server takes everything back.
            if reader.wait() == 0:
                writer.stdin.write(b"COMMIT;\n")
            writer.stdin.close()
        except BrokenPipeError:
            raise _failed("psql", write_said) from None
        if writer.wait():
            raise _failed("psql", write_said)
        if reader.wait():
            raise _failed("pg_restore", read_said)


def _guards(conn: Connection, only_filled: str | None) -> list[str]:
    """What the loading transaction does before it removes anything: it keeps everybody out, and looks again.

    Between a look from here and the first DROP somebody could still come, write, and be told that it is kept.
    """
    own = conn.scalar(sa.text("SELECT pg_backend_pid()"))
    tables = conn.scalars(sa.text(_TABLES)).all()
    lock = [f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"] if tables else []
    # This process's own connection may take a moment to end.
    alone = _REFUSE.format(rows=f"{_OTHERS} AND pid <> {own}", words=_IN_USE)
    empty = [
        _REFUSE.format(rows=f"SELECT FROM {table}", words=_FILLED)
        for table in tables
        if only_filled and table != only_filled
    ]
    return [*lock, alone, *empty]


@contextmanager
def _running(
    command: list[str], engine: Engine, **pipes: Any
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A tool and what it says on stderr; it does not outlive the block."""
    words = _connect_words(engine)
    environ = {**os.environ, "PGOPTIONS": LOCK_PATIENCE}
    if password := words.get("password"):
        # Not on the command line, which everybody on the machine can read.
        environ["PGPASSWORD"] = str(password)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environ, stderr=said, **pipes)
        try:
            yield process, said
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe and not pipe.closed:
                    _close(pipe)
            process.wait()


def _close(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        pipe.close()


def _failed(tool: str, said: IO[bytes]) -> Problem:
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    first = lines[0] if lines else "failed without a word"
    for words, code in _CODES.items():
        if first.endswith(words):
            return Problem(code, words)
    return Problem("tool_failed", f"{tool}: {first}")


def _connect_words(engine: Engine) -> dict[str, Any]:
    """What libpq is told of the address; `context` is psycopg's own."""
    words = engine.dialect.create_connect_args(engine.url)[1]
    return {name: value for name, value in words.items() if name != "context"}


def _conninfo(engine: Engine) -> str:
    words = _connect_words(engine)
    words.pop("password", None)
    return make_conninfo("", **words)


def _tool_version(folder: Path) -> int | None:
    """The major version of the tools in the folder; None where one of them is missing."""
    tools = [folder / name for name in ("pg_dump", "pg_restore", "psql")]
    if not all(os.access(tool, os.X_OK) for tool in tools):
        return None
    told = subprocess.run([str(tools[0]), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(?:\.\d+)*", told)
    return int(found[1]) if found else None
