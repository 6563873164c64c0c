"""Ways to serve, against each other: gunicorn's processes, threads and connections, and granian.

Short rounds in turn, so that whatever else the machine does meets every way alike; medians count.
"""

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.queue.build import Built, Say
from benchmarks.queue.figures import Figure, size_name
from benchmarks.queue.load import HOST
from benchmarks.queue.serving import (
    Series,
    Web,
    environment,
    free_port,
    gunicorn,
    load_generator,
    one_round,
    place,
    running_web,
)
from benchmarks.queue.web import Length, order, summary

PART = "server"
ROUNDS = 3
PEOPLE = 64


@dataclass(frozen=True, slots=True)
class Way:
    """Processes × threads, connections of each process; `granian`: the Python that has it, if it serves."""

    processes: int
    threads: int
    connections: int = 8
    granian: Path | None = None

    @property
    def name(self) -> str:
        """In a few words."""
        server = "granian" if self.granian else "gunicorn"
        return f"{server} {self.processes}×{self.threads}, {self.connections} connections"


USUAL = Way(2, 8)
WAYS: tuple[Way, ...] = (
    USUAL,
    Way(1, 8),
    Way(2, 4, 4),
    Way(2, 16),
    Way(2, 16, 16),
    Way(3, 4, 4),
    Way(3, 8),
)


def measure(database: Built, length: Length, say: Say, *, ways: Sequence[Way] | None = None) -> list[Figure]:
    """Every way in turn, round after round; figures beside those of the usual one, the first."""
    with tempfile.TemporaryDirectory(prefix="crowd-bench-granian-") as folder, load_generator() as load:
        chosen = list(ways) if ways else _all_ways(Path(folder), say)
        series = {way: Series(way.name) for way in chosen}
        length = Length(length.seconds, min(length.rounds, ROUNDS), PEOPLE)
        for number in range(length.rounds):
            for way in chosen if number % 2 == 0 else reversed(chosen):
                with _served(database, way) as web:
                    load.carry_out(order(database, web, length, share=0.3))
                    found = one_round(load, web, database.server.pid, order(database, web, length))
                    series[way].rounds.append(found)
    for each in series.values():
        say(summary(each))
    size = size_name(database.tasks)
    return [figure for way in chosen for figure in _figures(size, series[way], series[chosen[0]])]


@contextmanager
def _served(database: Built, way: Way) -> Iterator[Web]:
    connections = {"CROWD_DB_CONNECTIONS": str(way.connections)}
    with place() as (folder, redis):
        if way.granian is None:
            with gunicorn(
                way.name,
                database.url,
                folder,
                redis,
                processes=way.processes,
                threads=way.threads,
                words=connections,
            ) as web:
                yield web
            return
        port = free_port()
        options = ["--interface", "wsgi", "--host", HOST, "--port", str(port), "--factory", "--no-ws"]
        options += ["--workers", str(way.processes), "--blocking-threads", str(way.threads)]
        command = [
            str(way.granian),
            "-m",
            "granian",
            *options,
            "--log-level",
            "warning",
            "crowd.app:create_app",
        ]
        env = environment(database.url, folder, redis, connections)
        with running_web(way.name, command, port, env) as web:
            yield web


def _all_ways(folder: Path, say: Say) -> list[Way]:
    python = _with_granian(folder, say)
    return [*WAYS, *([Way(1, 8, granian=python), Way(2, 8, granian=python)] if python else [])]


def _with_granian(folder: Path, say: Say) -> Path | None:
    """A Python of its own that sees everything installed here, and granian; None where that cannot be had."""
    python = folder / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        (installed,) = folder.glob("lib/python*/site-packages")
        (installed / "below.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "granian"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"granian cannot be had here and is left out: {error}")
        return None
    return python


def _figures(size: str, ours: Series, usual: Series) -> list[Figure]:
    def compared(what: str, unit: str, mine: float, base: float) -> Figure:
        return Figure(PART, f"{ours.name}, {size}: {what}", unit, mine, base)

    return [
        compared("cycles", "/s", ours.per_second, usual.per_second),
        compared("web processor time a cycle", "ms", ours.web_ms, usual.web_ms),
        compared("all processor time a cycle", "ms", ours.all_ms, usual.all_ms),
        compared("claim p95", "ms", ours.claim_ms(0.95), usual.claim_ms(0.95)),
        compared("answer p95", "ms", ours.submit_ms(0.95), usual.submit_ms(0.95)),
        Figure(PART, f"{ours.name}: errors", "errors", float(len(ours.errors)), bound=0),
    ]
