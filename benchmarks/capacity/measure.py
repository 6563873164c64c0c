"""What an image costs in bytes, WAL and requests: measured on a real system that a simulated crowd worked on.

`python -m benchmarks.capacity measure` runs the crowd, then multiplies its rows inside PostgreSQL to some
20,000 images, so that pages and index levels are those of a table that has grown.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import sqlalchemy as sa

from crowd import models
from crowd.core.db import Base
from crowd.core.migrate import upgrade
from tests.hosts import Host, Site
from tests.servers import start_postgres, start_redis

assert models  # importing it registers every table

# A row of these belongs to an image for good; all others are few.
ROOT = "images"
# No two images have the same.
DIGESTS = frozenset(("sha256", "pixels_sha256"))
WORKERS, SEED, CARELESS = 12, 7, 0.12
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
WAL = "SELECT wal_bytes, wal_fpi FROM pg_stat_wal"


def measure(images: int, multiplied: int) -> dict[str, Any]:
    """The figures of one run, as plain data."""
    with TemporaryDirectory(prefix="crowd-capacity-") as aside, _system(Path(aside)) as (site, web):
        with psycopg.connect(_plain(site.database_url), autocommit=True) as conn:
            before = _costs(conn)
            figures = _simulate(site, web, images)
            conn.execute("SELECT pg_sleep(2)")
            costs = _costs(conn) - before
            small = _sizes(conn)
            copies = multiplied // images - 1
            _multiply(conn, copies)
            large = _sizes(conn)
            rows = {name: _count(conn, name) for name in large}
        requests = sum(figures["statuses"].values())
        return {
            "workers": WORKERS,
            "seed": SEED,
            "careless": CARELESS,
            "images": images,
            "cycles": figures["cycles"],
            "requests": requests,
            "bounces": figures["bounces"],
            "tasks": figures["tasks"],
            "adjudications": figures["adjudications"],
            "commits": costs.commits,
            "wal_bytes": costs.wal,
            "multiplied": images * (copies + 1),
            "rows": rows,
            "bytes_small": small,
            "bytes_large": large,
            "storage": _stored(site.folder / "storage", images),
            "seconds": figures["seconds"],
        }


class _Costs(tuple[int, int]):
    """Commits and bytes of WAL so far."""

    @property
    def commits(self) -> int:
        return self[0]

    @property
    def wal(self) -> int:
        return self[1]

    def __sub__(self, other: "_Costs") -> "_Costs":
        return _Costs((self.commits - other.commits, self.wal - other.wal))


def _costs(conn: psycopg.Connection[Any]) -> _Costs:
    (commits,) = conn.execute(COMMITS).fetchall()[0]
    wal, _pages = conn.execute(WAL).fetchall()[0]
    return _Costs((int(commits), int(wal)))


@contextmanager
def _system(folder: Path) -> Iterator[tuple[Site, Host]]:
    with start_postgres() as server, start_redis(folder) as redis:
        if server is None:
            raise SystemExit("no PostgreSQL server binaries here")
        address = server.create_database("crowd_capacity")
        upgrade(address.replace("postgresql://", "postgresql+psycopg://"))
        # Whole pages in the WAL after a checkpoint are a matter of its distance, not of the image.
        with psycopg.connect(address, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET checkpoint_timeout = '1h'")
            conn.execute("ALTER SYSTEM SET max_wal_size = '20GB'")
            conn.execute("SELECT pg_reload_conf()")
            conn.execute("CHECKPOINT")
        site = Site(folder, address, redis, {"WEB_CONCURRENCY": "2"})
        with site.web("web") as web, site.jobs("jobs"):
            yield site, web


def _simulate(site: Site, web: Host, images: int) -> dict[str, Any]:
    crew = ["--workers", str(WORKERS), "--seed", str(SEED), "--careless", str(CARELESS)]
    words = ["simulate", "--url", web.url, *crew, "--images", str(images), "--json"]
    command = [sys.executable, "-m", "crowd", *words]
    ended = subprocess.run(command, env=site.environment("console"), stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(ended.stdout)
    return figures


def _multiply(conn: psycopg.Connection[Any], copies: int) -> None:
    """Write every image's rows so many times more, with ids of their own, one edition after the other."""
    tables = _image_tables()
    offsets = {table.name: _highest(conn, table) for table in tables if "id" in table.c}
    conn.execute("SET session_replication_role = replica")
    for copy in range(1, copies + 1):
        for table in tables:
            names = ", ".join(column.name for column in table.columns)
            values = ", ".join(_copied(column, offsets, copy) for column in table.columns)
            where = f"WHERE id <= {offsets[table.name]}" if "id" in table.c else _first(table, offsets)
            conn.execute(f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {table.name} {where}")
    conn.execute("RESET session_replication_role")


def _copied(column: sa.Column[Any], offsets: dict[str, int], copy: int) -> str:
    target = column.table.name if column.name == "id" else _target(column)
    if target in offsets and (column.name == "id" or target != column.name):
        return f"{column.name} + {copy * offsets[target]}"
    if column.name in DIGESTS:
        return f"sha256({column.name} || int4send({copy}))"
    return column.name


def _first(table: sa.Table, offsets: dict[str, int]) -> str:
    """The condition that names the rows of the first edition of a table without ids."""
    for column in table.columns:
        if (target := _target(column)) in offsets:
            return f"WHERE {column.name} <= {offsets[target]}"
    raise AssertionError(f"{table.name} does not belong to an image")


def _target(column: sa.Column[Any]) -> str:
    return next((key.column.table.name for key in column.foreign_keys), "")


def _image_tables() -> list[sa.Table]:
    """Tables whose rows grow with the images, each after those it points to."""
    found = {ROOT}
    for table in Base.metadata.sorted_tables:
        if any(_target(column) in found for column in table.columns):
            found.add(table.name)
    return [table for table in Base.metadata.sorted_tables if table.name in found]


def _highest(conn: psycopg.Connection[Any], table: sa.Table) -> int:
    (highest,) = conn.execute(f"SELECT coalesce(max(id), 0) FROM {table.name}").fetchall()[0]
    return int(highest)


def _count(conn: psycopg.Connection[Any], name: str) -> int:
    (count,) = conn.execute(f"SELECT count(*) FROM {name}").fetchall()[0]
    return int(count)


def _sizes(conn: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Bytes of each table (with what is stored aside) and of its indexes."""
    names = [table.name for table in _image_tables()]
    question = "SELECT pg_table_size(%s::regclass), pg_indexes_size(%s::regclass)"
    return {name: conn.execute(question, [name, name]).fetchall()[0] for name in names}


def _stored(folder: Path, images: int) -> dict[str, int]:
    """Bytes an image takes in the storage, by top folder."""
    return {
        each.name: round(sum(file.stat().st_size for file in each.rglob("*") if file.is_file()) / images)
        for each in sorted(folder.iterdir())
        if each.is_dir() and each.name != "tmp"
    }


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
