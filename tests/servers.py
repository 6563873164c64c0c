"""Real database and queue servers for the tests, started for them alone and ended with them."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import event

from crowd.core.db import Database
from crowd.core.embedded import redis_address, redis_command, wait_for_redis
from crowd.core.supervisor import spawn_bound

START_SECONDS = 30.0
# The variable that names the folder in which the processes of a run keep built queues for each other.
QUEUES = "TEST_QUEUES"
SETTINGS = (
    "listen_addresses=",
    "max_connections=100",
    "shared_buffers=64MB",
    "log_min_messages=fatal",
)
DURABLE = ("fsync=on",)
# A machine that fails takes the tests along; a process that is killed loses nothing by it.
HURRIED = ("fsync=off", "full_page_writes=off")


class Postgres:
    """A PostgreSQL server that tests may use and, when it is their own, stop and start again.

    `url` is a `postgresql://` address of an empty or given database. `directory` is None for a
    server that the tests did not start.
    """

    def __init__(
        self, url: str, binaries: Path | None = None, directory: Path | None = None, *, durable: bool = True
    ) -> None:
        self.url = url
        self._settings = SETTINGS + (DURABLE if durable else HURRIED)
        self._binaries = binaries
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_own(self) -> bool:
        """Whether the tests started it and may take it down."""
        return self._directory is not None

    def start(self) -> None:
        """Start the server and return once it answers."""
        binaries, directory = self._own()
        command = [
            str(binaries / "postgres"),
            "-D",
            str(directory / "data"),
            "-k",
            str(directory),
        ]
        for setting in self._settings:
            command += ["-c", setting]
        # After an interrupted run nobody is left to stop the server: SIGQUIT has it end at once.
        self._process = spawn_bound(
            command,
            signal.SIGQUIT,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity(),
        )
        self._wait()

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server: closing its sessions in order, or (`immediate`) as in a crash."""
        self._own()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
        self._process = None

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start, as a maintenance restart or (`immediate`) as a crash and recovery."""
        self.stop(immediate=immediate)
        self.start()

    def create_database(self, name: str) -> str:
        """Make an empty database on this server and return its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        head, _, query = self.url.partition("?")
        return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")

    def _own(self) -> tuple[Path, Path]:
        if self._binaries is None or self._directory is None:
            raise RuntimeError("the server of TEST_DATABASE_URL is not the tests' own to start or stop")
        return self._binaries, self._directory

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)


@contextlib.contextmanager
def start_postgres(*, durable: bool = True) -> Iterator[Postgres | None]:
    """The server named by TEST_DATABASE_URL, else one of the tests' own, removed in the end.

    `durable`: it waits for the disk at each commit, as it does at work. None where no server binaries are
    installed; under CI=true that is a RuntimeError.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield Postgres(url.replace("postgresql+psycopg://", "postgresql://"))
        return
    binaries = find_postgres_binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("no PostgreSQL server binaries: install postgresql or set TEST_DATABASE_URL")
        yield None
        return
    with own_directory() as directory:
        command = [
            str(binaries / "initdb"),
            "-D",
            str(directory / "data"),
            "-U",
            "postgres",
        ]
        command += ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **identity())
        address = f"postgresql://postgres@/postgres?host={directory}"
        postgres = Postgres(address, binaries, directory, durable=durable)
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop(immediate=True)


def spare_the_disk(db: Database) -> None:
    """Have a SQLite database not wait for the disk: what a process does there is no matter of power cuts."""
    if db.is_sqlite:
        event.listen(db.engine, "connect", _without_sync)


def _without_sync(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.execute("PRAGMA synchronous=OFF")


@contextlib.contextmanager
def start_redis(data_dir: Path) -> Iterator[str]:
    """An embedded Redis in the folder for the time of the block; yields its address."""
    url = redis_address(data_dir)
    process = spawn_bound(redis_command(data_dir))
    try:
        wait_for_redis(url, 10.0)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def find_postgres_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: of PATH, else the newest that Debian keeps aside."""
    if found := shutil.which("initdb"):
        folder = Path(found).resolve().parent
        if (folder / "postgres").exists():
            return folder
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(installed, key=lambda folder: float(folder.parent.name), default=None)


@contextlib.contextmanager
def own_directory() -> Iterator[Path]:
    """A folder of the servers', removed in the end."""
    # Not pytest's folder: its parents are closed to the user that the server runs as, and a socket's
    # path has to be short.
    directory = Path(tempfile.mkdtemp(prefix="crowd-pg-"))
    try:
        if user := identity().get("user"):
            os.chown(directory, user, -1)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def identity() -> dict[str, Any]:
    """Popen's words for another user when we are root, whom PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = names.get("postgres") or names["nobody"]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
