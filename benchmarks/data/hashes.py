"""How fast images that look alike are found among many hashes beside few."""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks.data.lines import Line
from crowd.core.config import Settings, load_settings
from crowd.core.db import Base, Database
from crowd.core.migrate import upgrade
from crowd.images.delivery_models import Fingerprint
from crowd.images.fingerprints import BANDS, bands_of, find_near, signed_hash
from crowd.policy import load_policy

MOST_SLOWDOWN = 2.0
FEW, MANY = 10_000, 1_200_000
LOOKUPS = 2000
COLOURS = bytes(192)


def measure(_given: argparse.Namespace) -> list[Line]:
    """The time to find a near-duplicate (hashes, then colours) among 1.2 million beside ten thousand."""
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, MANY):
            data_dir = Path(folder) / str(count)
            data_dir.mkdir()
            settings = load_settings({"CROWD_DATA_DIR": str(data_dir), "DATABASE_URL": _database(count)})
            times[count] = _lookup_seconds(settings, count)
    return [
        Line(
            f"near-duplicate search at {MANY:,} hashes beside {FEW:,}",
            times[MANY] * 1e6,
            times[FEW] * 1e6,
            "µs",
            MOST_SLOWDOWN,
            at_most=True,
        )
    ]


def _database(count: int) -> str:
    """BENCHMARK_DATABASE_URL with a database for each count, or SQLite."""
    address = os.environ.get("BENCHMARK_DATABASE_URL")
    return f"{address}_{count}" if address else ""


def _lookup_seconds(settings: Settings, count: int) -> float:
    upgrade(settings.database_url)
    database = Database(settings.database_url)
    rng = random.Random(1)
    known = [rng.getrandbits(64) for _ in range(LOOKUPS)]
    _fill(database, count, known, rng)
    asked = [signed_hash(phash ^ (1 << rng.randrange(64)) ^ (1 << rng.randrange(64))) for phash in known]
    rule = load_policy().intake.duplicates
    with database.read() as conn:
        taken = [_timed(lambda: find_near(conn, rule, 0, each, COLOURS)) for _ in range(2) for each in asked]  # noqa: B023
    database.close()
    return statistics.median(taken[LOOKUPS:])


def _timed(search: Callable[[], object]) -> float:
    started = time.perf_counter()
    assert search(), "each has a near one"
    return time.perf_counter() - started


def _fill(database: Database, count: int, known: list[int], rng: random.Random) -> None:
    """Fingerprints without images: nothing here reads those."""
    table = Base.metadata.tables[Fingerprint.__tablename__]
    with database.engine.connect() as conn:
        if database.is_sqlite:
            conn.exec_driver_sql("COMMIT")
            for pragma in ("foreign_keys=OFF", "synchronous=OFF", "cache_size=-400000"):
                conn.exec_driver_sql(f"PRAGMA {pragma}")
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            conn.exec_driver_sql("SET session_replication_role = replica")
        # A million rows go into indexes one by one much slower than all at once.
        for band in BANDS:
            conn.exec_driver_sql(f"DROP INDEX ix_fingerprints_{band}")
        names = ", ".join(("image_id", "pixels_sha256", "phash", "colours", *BANDS))
        marks = ", ".join(["?" if database.is_sqlite else "%s"] * (4 + len(BANDS)))
        insert = f"INSERT INTO fingerprints ({names}) VALUES ({marks})"
        rows = _fingerprints(count, known, rng)
        while batch := list(islice(rows, 20_000)):
            conn.exec_driver_sql(insert, batch)
        for index in table.indexes:
            index.create(conn)
        conn.commit()
        conn.exec_driver_sql("ANALYZE")
        conn.commit()


def _fingerprints(count: int, known: list[int], rng: random.Random) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        signed = signed_hash(known[number] if number < len(known) else rng.getrandbits(64))
        # The pixels' digest is not what is searched by: the number tells the rows apart.
        yield (number + 1, number.to_bytes(32, "big"), signed, COLOURS, *bands_of(signed))
