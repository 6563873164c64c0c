"""Real processes for a drill: everything that serves a crowd, on one machine, to be killed at will.

`Production`: PostgreSQL, Redis, gunicorn with two web processes, two job workers. `Embedded`: what
`crowd standalone` starts, on SQLite. Every process dies with this one, and all of it has to be used from
one thread: the kernel ends a server when the thread that started it ends.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import redis

from crowd.core.config import Settings, load_settings
from crowd.core.db import Database
from crowd.core.embedded import redis_address, redis_command, redis_url, wait_for_redis
from crowd.core.migrate import upgrade
from crowd.core.supervisor import spawn_bound
from crowd.runtime import Runtime, build_runtime
from crowd.webserver import gunicorn_command, shared_metrics
from crowd.wiring import wire
from tests.servers import Postgres, start_postgres

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0
HOST = "127.0.0.1"


class NotReady(Exception):
    """The system did not come up in time; the message names its log."""


def drill_environment(data_dir: Path, lease_seconds: int) -> dict[str, str]:
    """The environment of every process of a drill."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CROWD_", "DATABASE_", "REDIS_", "PROMETHEUS_"))
    }
    return inherited | {
        "CROWD_DATA_DIR": str(data_dir),
        "CROWD_LEASE_SECONDS": str(lease_seconds),
        "CROWD_RESERVE_SECONDS": "2",
        "CROWD_GOLD_SHARE": "0",
        "CROWD_REQUESTS_PER_MINUTE": "1000000",
        "WEB_CONCURRENCY": "2",
        "PYTHONPATH": str(ROOT),
    }


class System(ABC):
    """What a drill can do to a running system."""

    database_is_own = False

    def __init__(self, folder: Path, lease_seconds: int) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        self.env = drill_environment(self.data_dir, lease_seconds)
        self.port = _free_port()
        self.log = folder / "log.txt"

    @property
    def settings(self) -> Settings:
        """The settings of its processes."""
        return load_settings(self.env)

    @contextlib.contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """A runtime on its database, for this process."""
        rt = build_runtime(self.settings)
        wire(rt)
        try:
            yield rt
        finally:
            rt.db.close()

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Its database, for this process."""
        database = Database(self.settings.database_url)
        try:
            yield database
        finally:
            database.close()

    def is_ready(self) -> bool:
        """Whether GET /readyz answers 200."""
        return self._readiness()[0] == http.HTTPStatus.OK

    def _readiness(self) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()

    def await_ready(self) -> None:
        """Return once it serves. Raises NotReady."""
        if not until(self.is_ready, START_SECONDS):
            raise NotReady(f"/readyz says {self._readiness()}; the log: {self.log.read_text()[-2000:]}")

    def command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a process of the project in the system's environment."""
        with self.log.open("ab") as log:
            return spawn_bound(
                [sys.executable, "-m", *arguments], env=self.env, cwd=ROOT, stdout=log, stderr=log
            )

    def kill_web_worker(self) -> bool:
        """kill -9 of one process that answers requests. False when none runs."""
        master = self._web_master()
        workers = children_of(master) if master else []
        return bool(workers) and kill(workers[0])

    def kill_web_master(self) -> bool:
        """kill -9 of the whole web server's first process. False when none runs."""
        master = self._web_master()
        return master is not None and kill(master)

    def kill_job_workers(self) -> int:
        """kill -9 of every job worker. Returns how many there were."""
        return sum(kill(pid) for pid in self._job_workers())

    def flush_redis(self) -> bool:
        """Redis forgets everything. False when it is away."""
        try:
            with redis.Redis.from_url(self.env.get("REDIS_URL") or redis_url(self.data_dir) or "") as server:
                server.flushall()
        except (redis.RedisError, ValueError):
            return False
        return True

    @abstractmethod
    def kill_redis(self) -> bool:
        """kill -9 of Redis; it comes back after a while, empty."""

    @abstractmethod
    def heal(self) -> None:
        """Start what this process itself has to start again, and return once everything serves."""

    @abstractmethod
    def _web_master(self) -> int | None:
        """The first process of the web server."""

    @abstractmethod
    def _job_workers(self) -> Sequence[int]:
        """The job workers' processes."""


class Production(System):
    """PostgreSQL and Redis of its own, two web processes and two job workers under a supervisor."""

    database_is_own = True

    def __init__(self, folder: Path, lease_seconds: int, postgres: Postgres) -> None:
        super().__init__(folder, lease_seconds)
        self.postgres = postgres
        self._redis: subprocess.Popen[bytes] | None = None
        self.env["DATABASE_URL"] = postgres.create_database("drill")
        self.env["REDIS_URL"] = redis_address(self.data_dir)

    def start(self, stack: ExitStack) -> None:
        """Start everything; `stack` ends it."""
        upgrade(self.settings.database_url)
        stack.callback(self.kill_redis)
        self._start_redis()
        env = self.env | shared_metrics(self.data_dir, {})
        jobs = [sys.executable, "-m", "crowd.jobworker"]
        web = gunicorn_command(self.settings, HOST, self.port, self.env, patience=2)
        config = self.folder / "children.json"
        children = {"web": web, "jobs-1": jobs, "jobs-2": jobs}
        config.write_text(
            json.dumps([{"name": name, "command": each, "env": env} for name, each in children.items()])
        )
        keeper = self.command("tests.faults.keeper", str(config))
        stack.callback(_end, keeper)
        self.await_ready()

    def kill_redis(self) -> bool:
        """See System."""
        if self._redis is None:
            return False
        self._redis.kill()
        self._redis.wait()
        self._redis = None
        return True

    def stop_database(self) -> None:
        """PostgreSQL goes down as in a crash."""
        self.postgres.stop(immediate=True)

    def start_database(self) -> None:
        """PostgreSQL comes back."""
        self.postgres.start()

    def heal(self) -> None:
        """See System."""
        if self._redis is None:
            self._start_redis()
        self.await_ready()

    def _start_redis(self) -> None:
        self._redis = spawn_bound(redis_command(self.data_dir), stderr=subprocess.DEVNULL)
        wait_for_redis(self.env["REDIS_URL"], START_SECONDS)

    def _web_master(self) -> int | None:
        return _pid_in(self.folder / "web.pid")

    def _job_workers(self) -> Sequence[int]:
        found = [_pid_in(self.folder / f"jobs-{number}.pid") for number in (1, 2)]
        return [pid for pid in found if pid is not None]


class Embedded(System):
    """`crowd standalone` on SQLite."""

    def __init__(self, folder: Path, lease_seconds: int) -> None:
        super().__init__(folder, lease_seconds)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, stack: ExitStack) -> None:
        """Start everything; `stack` ends it."""
        stack.callback(self._stop)
        self._start()
        self.await_ready()

    def kill_redis(self) -> bool:
        """See System; the standalone process starts it again by itself."""
        return sum(map(kill, self._children("unixsocket"))) > 0

    def kill_all(self) -> None:
        """kill -9 of the standalone process, whose children go with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def heal(self) -> None:
        """See System. As a service manager does, it starts what ended at once a second time."""

        def serves() -> bool:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self.is_ready()

        if not until(serves, START_SECONDS, pause=0.2):
            self.await_ready()

    def _start(self) -> None:
        self._process = self.command(
            "crowd", "standalone", "--port", str(self.port), "--data-dir", str(self.data_dir)
        )

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)

    def _web_master(self) -> int | None:
        return _pid_in(self.data_dir / "web.pid")

    def _job_workers(self) -> Sequence[int]:
        return self._children("crowd.jobworker")

    def _children(self, word: str) -> list[int]:
        if self._process is None:
            return []
        return [pid for pid in children_of(self._process.pid) if word in _command_line(pid)]


@contextlib.contextmanager
def start_production(folder: Path, lease_seconds: int) -> Iterator[Production | None]:
    """A production system for the time of the block; None where no PostgreSQL of our own can be had."""
    with ExitStack() as stack:
        postgres = stack.enter_context(start_postgres())
        if postgres is None or not postgres.is_own:
            yield None
            return
        system = Production(folder, lease_seconds, postgres)
        system.start(stack)
        yield system


@contextlib.contextmanager
def start_embedded(folder: Path, lease_seconds: int) -> Iterator[Embedded]:
    """A standalone system for the time of the block."""
    with ExitStack() as stack:
        system = Embedded(folder, lease_seconds)
        system.start(stack)
        yield system


def until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Whether the condition comes true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def kill(pid: int) -> bool:
    """kill -9; whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def children_of(parent: int) -> list[int]:
    """The living child processes of a process, oldest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(ppid) == parent and state not in "ZX":
            found.append(int(entry.name))
    return sorted(found)


def _command_line(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _pid_in(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
