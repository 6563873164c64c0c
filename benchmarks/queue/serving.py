"""A web server under measurement: started as in production, loaded by the crowd, its processor time read."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import httpx

from benchmarks.queue.cpu import tree_seconds
from benchmarks.queue.figures import middle, percentile
from benchmarks.queue.load import HOST, Order, Outcome
from crowd.core.config import load_settings
from crowd.core.supervisor import spawn_bound
from crowd.webserver import gunicorn_command, shared_metrics
from tests.servers import start_redis

START_SECONDS = 60.0
APP = "crowd.app:create_app()"
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Web:
    """A web server that runs: its first process, and where it listens."""

    name: str
    pid: int
    port: int


@dataclass(slots=True)
class Round:
    """What one round of load came to; processor seconds of the web's and of PostgreSQL's processes."""

    outcome: Outcome
    web: float
    postgres: float

    @property
    def cycles(self) -> int:
        """Answered tasks."""
        return sum(self.outcome.cycles.values())

    def per_cycle(self, seconds: float) -> float:
        """Milliseconds of `seconds` for each answered task."""
        return 1000.0 * seconds / self.cycles if self.cycles else float("nan")


@dataclass(slots=True)
class Series:
    """The rounds of one server."""

    name: str
    rounds: list[Round] = field(default_factory=list)

    @property
    def web_ms(self) -> float:
        """The web processes' milliseconds a cycle (median of rounds)."""
        return middle(each.per_cycle(each.web) for each in self.rounds)

    @property
    def postgres_ms(self) -> float:
        """PostgreSQL's milliseconds a cycle."""
        return middle(each.per_cycle(each.postgres) for each in self.rounds)

    @property
    def all_ms(self) -> float:
        """Both together."""
        return middle(each.per_cycle(each.web + each.postgres) for each in self.rounds)

    @property
    def per_second(self) -> float:
        """Cycles a second."""
        return middle(each.cycles / each.outcome.seconds for each in self.rounds)

    @property
    def errors(self) -> list[str]:
        """Every refusal and broken connection."""
        return [error for each in self.rounds for error in each.outcome.errors]

    @property
    def cycles(self) -> dict[str, int]:
        """Answered tasks of all rounds, by stage."""
        found: dict[str, int] = {}
        for each in self.rounds:
            for stage, count in each.outcome.cycles.items():
                found[stage] = found.get(stage, 0) + count
        return found

    def claim_ms(self, share: float) -> float:
        """The time that `share` of the claims took at most, in ms (median of rounds)."""
        return 1000 * middle(percentile(each.outcome.claims, share) for each in self.rounds)

    def submit_ms(self, share: float) -> float:
        """The same of the answers."""
        return 1000 * middle(percentile(each.outcome.submits, share) for each in self.rounds)


class Load:
    """The load generator's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.queue.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def carry_out(self, order: Order) -> Outcome:
        """Hand over an order and wait for what comes of it."""
        self.begin(order)
        return self.end()

    def begin(self, order: Order) -> None:
        """Hand over an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> Outcome:
        """What came of the order. Raises RuntimeError when the process has died."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has died")
        return Outcome(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENCE)


@contextlib.contextmanager
def load_generator() -> Iterator[Load]:
    """The load generator for the time of the block."""
    load = Load()
    try:
        yield load
    finally:
        load.close()


def one_round(load: Load, web: Web, postgres: int, order: Order) -> Round:
    """Load one server by an order, and read the processor time that it took."""
    before = tree_seconds(web.pid), tree_seconds(postgres)
    outcome = load.carry_out(order)
    return Round(outcome, tree_seconds(web.pid) - before[0], tree_seconds(postgres) - before[1])


@contextlib.contextmanager
def place() -> Iterator[tuple[Path, str]]:
    """A data folder and an embedded Redis."""
    with tempfile.TemporaryDirectory(prefix="crowd-bench-web-") as folder, start_redis(Path(folder)) as redis:
        yield Path(folder), redis


@contextlib.contextmanager
def gunicorn(
    name: str,
    database_url: str,
    folder: Path,
    redis: str,
    *,
    processes: int | None = None,
    threads: int | None = None,
    app: str = APP,
    words: Mapping[str, str] | None = None,
) -> Iterator[Web]:
    """The application (or `app`) on the web server that production uses."""
    env = environment(database_url, folder, redis, words)
    if processes:
        env["WEB_CONCURRENCY"] = str(processes)
    if threads:
        env["CROWD_WEB_THREADS"] = str(threads)
    port = free_port()
    command = gunicorn_command(load_settings(env), HOST, port, env)
    command[-1] = app
    env |= shared_metrics(folder / f"metrics-{port}", {})
    with running_web(name, command, port, env) as web:
        yield web


def environment(
    database_url: str, folder: Path, redis: str, words: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a web process under measurement."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(Path.cwd()),
        "CROWD_DATA_DIR": str(folder),
        "CROWD_SECRET_KEY": "only for measuring",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis,
        "CROWD_REQUESTS_PER_MINUTE": "1000000",
        "CROWD_LOG_LEVEL": "error",
        **(words or {}),
    }


@contextlib.contextmanager
def running_web(name: str, command: Sequence[str], port: int, env: Mapping[str, str]) -> Iterator[Web]:
    """A web server by its command line, once it answers. Raises RuntimeError if it does not."""
    with tempfile.TemporaryFile() as errors:
        process = spawn_bound(list(command), signal.SIGTERM, env=dict(env), stdout=errors, stderr=errors)
        try:
            _await_answer(process, port, errors)
            yield Web(name, process.pid, port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _await_answer(process: "subprocess.Popen[bytes]", port: int, errors: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://{HOST}:{port}/healthz", timeout=5).status_code == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            errors.seek(0)
            raise RuntimeError(
                f"the web server did not start: {errors.read()[-3000:].decode(errors='replace')}"
            )
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
