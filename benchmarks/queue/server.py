"""A PostgreSQL server for measuring: made in a folder, set up for loading or for measuring, and stopped."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg

from crowd.core.supervisor import spawn_bound
from tests.servers import find_postgres_binaries

START_SECONDS = 120.0
DATABASE = "bench"

COMMON = {
    "listen_addresses": "",
    "max_connections": "120",
    "shared_buffers": "1536MB",
    "effective_cache_size": "8GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "random_page_cost": "1.1",
    "log_min_messages": "fatal",
}
# What a crash would cost while loading is only the load itself.
LOADING = COMMON | {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "autovacuum": "off",
    "work_mem": "256MB",
    "maintenance_work_mem": "384MB",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "1",
}
MEASURING = COMMON | {"fsync": "on", "synchronous_commit": "on", "autovacuum": "on"}


class NoServer(Exception):
    """The PostgreSQL server programs are not installed here."""


class Server:
    """A server with its data in `directory`/data. Start it before use, stop it afterwards."""

    def __init__(self, directory: Path) -> None:
        binaries = find_postgres_binaries()
        if binaries is None:
            raise NoServer("no PostgreSQL server programs found: install postgresql")
        self._binaries = binaries
        self.directory = directory
        self._data = directory / "data"
        # A socket's path has to be short, whatever folder was asked for.
        self._socket = Path(tempfile.mkdtemp(prefix="crowd-bench-"))
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        for folder in (directory, self._socket):
            _hand_over(folder)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()

    @property
    def address(self) -> str:
        """The `postgresql://` address of the measured database."""
        return self._address(DATABASE)

    @property
    def url(self) -> str:
        """The same for SQLAlchemy."""
        return self.address.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def pid(self) -> int:
        """The process that all of the server's processes come from."""
        assert self._process is not None
        return self._process.pid

    def start(self, settings: Mapping[str, str]) -> None:
        """Start with these settings and return once it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._socket)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = spawn_bound(
            command,
            signal.SIGQUIT,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity(),
        )
        self._wait()

    def stop(self) -> None:
        """Stop in order, so that nothing needs recovering."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        self._process.wait(300)
        self._process = None

    def close(self) -> None:
        """Stop, and remove the socket's folder."""
        self.stop()
        shutil.rmtree(self._socket, ignore_errors=True)

    def create_database(self) -> None:
        """An empty database to measure in."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def disk_bytes(self) -> int:
        """What the data folder takes up, the log included."""
        return sum(file.stat().st_blocks * 512 for file in self._data.rglob("*") if file.is_file())

    def _address(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._socket}"

    def _initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **identity())

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


@contextlib.contextmanager
def running(server: Server, settings: Mapping[str, str]) -> Iterator[Server]:
    """The server with these settings for the time of the block."""
    server.start(settings)
    try:
        yield server
    finally:
        server.stop()


def _hand_over(folder: Path) -> None:
    if user := identity().get("user"):
        os.chown(folder, user, -1)


def identity() -> dict[str, Any]:
    """Popen's words for another user when we are root, whom PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = names.get("postgres") or names["nobody"]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
