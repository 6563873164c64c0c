"""What so many images mean for database, disk and network, from what one was measured to cost. PURE."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "measured.json"

# The guideline's own 180 GB of 1.2 million images; the drawings of a simulated crowd are smaller.
WORKING_BYTES = 150_000
# Claim, picture, submit, and two of heartbeat, draft or progress.
REQUESTS_PER_ANSWER = 5
PEAK = 3
HOURS_OF_WORK = 8
FILES = 3
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Volume:
    """So many images in so many working days."""

    name: str
    images: float
    days: float


VOLUMES = (Volume("1.2 M in 143 days", 1.2e6, 143), Volume("100 M in 250 days", 1e8, 250))


@dataclass(frozen=True, slots=True)
class Cost:
    """What an image was measured to cost: bytes in tables and indexes, bytes of WAL and commits an answer."""

    table_bytes: float
    index_bytes: float
    wal_bytes_per_answer: float
    commits_per_answer: float
    thumbnail_bytes: float


def record() -> dict[str, Any]:
    """What `python -m benchmarks.capacity measure` wrote down."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def cost(measured: Mapping[str, Any]) -> Cost:
    """The costs of one image in a measured run."""
    sizes, images = measured["bytes_large"].values(), measured["multiplied"]
    return Cost(
        table_bytes=sum(size[0] for size in sizes) / images,
        index_bytes=sum(size[1] for size in sizes) / images,
        wal_bytes_per_answer=measured["wal_bytes"] / measured["cycles"],
        commits_per_answer=measured["commits"] / measured["cycles"],
        thumbnail_bytes=measured["storage"]["thumbnails"],
    )


def loads(volume: Volume, each: Cost, answers: float) -> Iterator[tuple[str, str]]:
    """Name and figure of each load, for `answers` answers an image."""
    a_second = volume.images * answers / (volume.days * HOURS_OF_WORK * 3600)
    working = volume.images * WORKING_BYTES
    yield "answers a second, mean, peak", f"{a_second:.1f}, {PEAK * a_second:.0f}"
    requests = a_second * REQUESTS_PER_ANSWER
    yield "requests a second, mean, peak", f"{requests:.0f}, {PEAK * requests:.0f}"
    yield "commits a second at the peak", f"{PEAK * a_second * each.commits_per_answer:.0f}"
    yield "pictures sent at the peak", f"{_bytes(PEAK * a_second * WORKING_BYTES)}/s"
    yield "database: tables", _bytes(volume.images * each.table_bytes)
    yield "database: indexes", _bytes(volume.images * each.index_bytes)
    wal = volume.images * answers * each.wal_bytes_per_answer
    yield "WAL in all, a day", f"{_bytes(wal)}, {_bytes(wal / volume.days)}"
    yield "working images", _bytes(working)
    yield "originals, if as large again", _bytes(working)
    yield "thumbnails", _bytes(volume.images * each.thumbnail_bytes)
    yield "files in the storage", f"{FILES * volume.images / 1e6:.1f} M"


def by_table(measured: Mapping[str, Any]) -> Iterator[tuple[str, float, float, float]]:
    """Table, rows, bytes and index bytes an image, the largest first."""
    images = measured["multiplied"]
    sizes = sorted(measured["bytes_large"].items(), key=lambda item: -sum(item[1]))
    for name, (table, indexes) in sizes:
        yield name, measured["rows"][name] / images, table / images, indexes / images


def _bytes(count: float) -> str:
    size = max(place for place in range(len(UNITS)) if count >= 1000**place or place == 0)
    return f"{count / 1000**size:.3g} {UNITS[size]}"
