"""Machines of an installation, played by processes: web hosts, job workers, a pooler, a crowd."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from crowd.core.supervisor import spawn_bound
from crowd.simulation.client import Client
from crowd.simulation.crew import assemble
from crowd.simulation.crowd import Crowd, Plan, Snapshot, recruit
from crowd.simulation.figures import Figures
from crowd.simulation.ledger import Ledger
from crowd.simulation.truths import Truths
from crowd.simulation.uploads import Uploader
from crowd.simulation.vocabulary import Vocabulary
from tests.core.processes import eventually
from tests.servers import Postgres, identity, own_directory

OURS = ("DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")
POOLER_CONFIG = """\
[databases]
* = host={server} port=5432
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {size}
query_wait_timeout = 5
server_login_retry = 1
ignore_startup_parameters =
admin_users = postgres
"""


@dataclass
class Host:
    """A process, with whatever it started, that can fall over like a machine."""

    process: "subprocess.Popen[bytes]"
    url: str = ""

    def fall_over(self) -> None:
        """All of it ends at once, nothing is told to anybody."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Site:
    """What all machines of an installation share, and where each has its own folder."""

    folder: Path
    database_url: str
    redis_url: str
    more: Mapping[str, str] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        """The environment of the machine of that name."""
        env = {key: value for key, value in os.environ.items() if key not in OURS and key[:6] != "CROWD_"}
        return env | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "CROWD_DATA_DIR": str(self.folder / name),
            "CROWD_STORAGE": str(self.folder / "storage"),
            "CROWD_SECRET_KEY": "the same everywhere",
            "WEB_CONCURRENCY": "1",
            **self.more,
        }

    def crowd(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of `crowd` on a machine of its own."""
        command = [sys.executable, "-m", "crowd", *words]
        env = self.environment("console")
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    @contextlib.contextmanager
    def web(self, name: str) -> Iterator[Host]:
        """A web host for the time of the block, ready."""
        port = free_port()
        command = [sys.executable, "-m", "crowd", "serve", "--port", str(port)]
        host = Host(spawn_bound(command, env=self.environment(name)), f"http://127.0.0.1:{port}")
        try:
            assert eventually(lambda: is_ready(host.url), 30), f"{name} does not come up"
            yield host
        finally:
            host.fall_over()

    @contextlib.contextmanager
    def jobs(self, name: str, *queues: str) -> Iterator[Host]:
        """A job worker for the time of the block."""
        chosen = ["--queues", *queues] if queues else []
        command = [sys.executable, "-m", "crowd.jobworker", *chosen]
        host = Host(spawn_bound(command, env=self.environment(name)))
        try:
            yield host
        finally:
            host.fall_over()


class Balancer(httpx.BaseTransport):
    """Sends requests to hosts in turn, passing over those that do not listen; notes who answered what."""

    def __init__(self, *urls: str) -> None:
        self._hosts = [httpx.URL(url) for url in urls]
        self._transport = httpx.HTTPTransport(limits=httpx.Limits(max_connections=200))
        self._turn = 0
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.acknowledged: set[int] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of the first host in turn that can be reached."""
        with self._lock:
            self._turn += 1
            order = [self._hosts[(self._turn + step) % len(self._hosts)] for step in range(len(self._hosts))]
        for place, host in enumerate(order):
            request.url = request.url.copy_with(host=host.host, port=host.port)
            request.headers["Host"] = f"{host.host}:{host.port}"
            try:
                response = self._transport.handle_request(request)
            except httpx.ConnectError:
                if place == len(order) - 1:
                    raise
                continue
            self._note(str(host), request.url.path, response.status_code)
            return response
        raise AssertionError("there is no host at all")

    def _note(self, host: str, path: str, status: int) -> None:
        *_, task, verb = path.split("/")
        with self._lock:
            self.answered[host] += 1
            if status == 200 and verb in ("submit", "send-back"):
                self.acknowledged.add(int(task))


def work_through(
    balancer: Balancer, token: str, images: int, show: Callable[[Snapshot], None], *, seed: int = 7
) -> Figures:
    """A crowd of ten takes so many images through all stages, its requests spread over the hosts."""
    with httpx.Client(transport=balancer, base_url="http://balancer", timeout=30, trust_env=False) as http:
        stop, ledger = threading.Event(), Ledger()
        admin = Client(http, token, ledger, stop)
        crew = recruit(admin, assemble(10, seed, 0.2), seed)
        truths = Truths(Vocabulary.read(admin.fetch("/taxonomy")), seed, {}, {})
        ids = Uploader(admin, truths, seed).upload(images, lambda _done: None)
        return Crowd(http, admin, crew, truths, ledger, stop, Plan(seed, 0.0, 240.0)).run(ids, show)


@contextlib.contextmanager
def start_pooler(server: Postgres, pool_size: int) -> Iterator[str]:
    """A PgBouncer in transaction mode before the server; yields the address of its socket's folder.

    Skips the test where it is not installed or the server is not the tests' own; under CI=true an error.
    """
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if binary is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("no pgbouncer: install it")
        pytest.skip("no pgbouncer here")
    if not server.is_own:
        pytest.skip("the pooler finds only a server of our own")
    with own_directory() as folder:
        config = folder / "pgbouncer.ini"
        socket_folder = psycopg.conninfo.conninfo_to_dict(server.url)["host"]
        config.write_text(POOLER_CONFIG.format(server=socket_folder, folder=folder, size=pool_size))
        (folder / "users.txt").write_text('"postgres" ""\n')
        process = spawn_bound([binary, "-q", str(config)], cwd="/", **identity())
        try:
            assert eventually((folder / ".s.PGSQL.6432").exists, 10), "pgbouncer does not come up"
            yield str(folder)
        finally:
            process.kill()
            process.wait()


def is_ready(url: str) -> bool:
    """Whether the web host at `url` calls itself ready."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
