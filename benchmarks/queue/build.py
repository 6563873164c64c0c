"""Builds a database of so many tasks in a realistic mix, keeps it, and finds it again."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from structlog.testing import capture_logs

from benchmarks.queue import multiply, people
from benchmarks.queue.fates import FATES, VARIANTS, Fate
from benchmarks.queue.play import PATTERNS, Stagehand, Take, takes_of
from benchmarks.queue.replies import Replies
from benchmarks.queue.server import LOADING, MEASURING, Server, running
from crowd.app import create_app
from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.db import Database
from crowd.core.migrate import upgrade
from crowd.images.models import Batch, Supplier
from crowd.policy import Grade
from crowd.runtime import build_runtime
from crowd.tasks import counts
from crowd.tasks.taxonomies import shelf

SEED = 20261122
NOTE = "built.json"
_MIGRATIONS = Path(__file__).parents[2] / "migrations" / "versions"
# Raised when what is built changes, so that a kept folder of before is not taken for it.
FORMAT = 2
FIRST_BATCH_AHEAD = multiply.BATCHES + 1
MOST_AHEAD = 100_000

Say = Callable[[str], None]


@dataclass(slots=True)
class Built:
    """A built database on its running server. `seconds` is what building took, 0 when it was found."""

    server: Server
    tasks: int
    seed: int
    replies: Replies
    taxonomy_id: int
    images: int
    seconds: float = 0.0
    variants: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address for SQLAlchemy."""
        return self.server.url


@contextlib.contextmanager
def built(tasks: int, say: Say, *, seed: int = SEED, keep: Path | None = None) -> Iterator[Built]:
    """A database of `tasks` tasks, running in measuring order for the time of the block.

    With `keep` it is looked for, and left, in that folder.
    """
    with tempfile.TemporaryDirectory(prefix="crowd-bench-data-") as aside:
        directory = (keep or Path(aside)) / f"{tasks}"
        directory.parent.mkdir(parents=True, exist_ok=True)
        if keep is None:
            Path(aside).chmod(0o755)
        note = _found(directory, tasks, seed)
        if note is None:
            note = _build(directory, tasks, seed, say)
        server = Server(directory)
        try:
            with running(server, MEASURING):
                yield Built(
                    server,
                    tasks,
                    seed,
                    Replies.read(note["replies"]),
                    note["taxonomy_id"],
                    note["images"],
                    note.pop("seconds", 0.0),
                    note["variants"],
                )
        finally:
            server.close()


def add_variant(database: Built, fate: Fate) -> int:
    """Put images of this fate ahead of everything, in place; how many. Once only for each fate."""
    count = min(MOST_AHEAD, database.tasks // 10)
    if fate.name in database.variants:
        return count
    take = _variant_take(fate)
    assert fate.pinned is not None
    grade, place = take.cast[fate.pinned]
    played_by = people.of_grade(database.seed, grade)
    pins = {played_by[place].id: pinned_person(database.seed, fate).id}
    with psycopg.connect(database.server.address, autocommit=True) as connection:
        multiply.mark_patterns(connection, [multiply.Lot(take, count, pins)])
        batch = FIRST_BATCH_AHEAD + VARIANTS.index(fate)
        multiply.place_copies(connection, database.seed, ahead_in_batch=batch)
    multiply.copy_all(database.server.address, lambda _line: None, bulk=False)
    _settle(database.server)
    database.variants.append(fate.name)
    note = database.server.directory / NOTE
    note.write_text(json.dumps(json.loads(note.read_text()) | {"variants": database.variants}))
    return count


def pinned_person(seed: int, fate: Fate) -> people.Member:
    """Who plays the pinned role of a variant: the last one of the grade."""
    assert fate.pinned is not None
    grade: Grade = fate.casts[0][fate.pinned][0]
    return people.of_grade(seed, grade)[-1]


def _found(directory: Path, tasks: int, seed: int) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads((directory / NOTE).read_text())
    except (OSError, ValueError):
        return None
    return note if note.get("made_from") == _made_from(tasks, seed) else None


def _made_from(tasks: int, seed: int) -> dict[str, Any]:
    """What a kept folder must have been made from to be used again."""
    schema = hashlib.sha256()
    for file in sorted(_MIGRATIONS.glob("*.py")):
        schema.update(file.read_bytes())
    return {"format": FORMAT, "tasks": tasks, "seed": seed, "migrations": schema.hexdigest()}


def _build(directory: Path, tasks: int, seed: int, say: Say) -> dict[str, Any]:
    began = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    server = Server(directory)
    try:
        with running(server, LOADING):
            server.create_database()
            upgrade(server.url)
            replies, taxonomy_id, takes = _play_all(server, seed, say)
            with psycopg.connect(server.address, autocommit=True) as connection:
                lots = _lots(connection, takes, tasks)
                multiply.mark_patterns(connection, lots)
                images = multiply.place_copies(connection, seed)
            say(f"{images:,} images placed after {time.monotonic() - began:.0f} s")
            multiply.copy_all(server.address, say, bulk=True)
            _settle(server)
    finally:
        server.close()
    # What was loaded without waiting for the disk must not be written while something is measured.
    os.sync()
    note = {
        "made_from": _made_from(tasks, seed),
        "replies": replies.as_json(),
        "taxonomy_id": taxonomy_id,
        "images": images,
        "variants": [],
    }
    (directory / NOTE).write_text(json.dumps(note))
    return note | {"seconds": time.monotonic() - began}


def _settle(server: Server) -> None:
    """Have the application count what there is now, and drop the plan of what was copied."""
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("TRUNCATE count_deltas, counts, worker_counts")
        # Each figure that it finds to be missing is a line in the log: of no interest here.
        with contextlib.closing(Database(server.url)) as db, capture_logs():
            counts.reconcile(db, clock.now())
            counts.fold(db)
        connection.execute("TRUNCATE count_corrections")
        connection.execute(f"DROP TABLE {PATTERNS}.copies")
        connection.execute("VACUUM (ANALYZE) workers, api_tokens, suppliers, batches, taxonomies")
        connection.execute("VACUUM (ANALYZE) count_deltas, counts, worker_counts")


def _play_all(server: Server, seed: int, say: Say) -> tuple[Replies, int, list[Take]]:
    """Hire everybody and play every take, those of the variants too."""
    takes = takes_of(FATES)
    with tempfile.TemporaryDirectory(prefix="crowd-bench-app-") as folder:
        settings = Settings(
            gold_percent=0,
            data_dir=Path(folder),
            database_url=server.url,
            redis_url=None,
            storage=str(Path(folder) / "storage"),
            secret_key="only for measuring",
            requests_per_minute=1_000_000,
        )
        rt = build_runtime(settings)
        try:
            _furnish(rt.db, seed)
            taxonomy_id = shelf(rt).present_id()
            app = create_app(rt=rt, environ={"CROWD_LOG_LEVEL": "error"})
            with psycopg.connect(server.address, autocommit=True) as connection:
                hand = Stagehand(app, connection, seed)
                for take in [*takes, *map(_variant_take, VARIANTS)]:
                    hand.play(take)
                hand.strike()
                say(f"{len(takes)} images played")
                return hand.replies(), taxonomy_id, takes
        finally:
            rt.db.close()


def _furnish(db: Database, seed: int) -> None:
    now = clock.now()
    with db.begin() as conn:
        people.hire_all(conn, seed)
        suppliers = [
            {"name": f"shop {number}", "created_at": now} for number in range(1, multiply.SUPPLIERS + 1)
        ]
        conn.execute(sa.insert(Supplier), suppliers)
        # The last of the ordinary ones can wait; those after it are the variants'.
        for number in range(1, FIRST_BATCH_AHEAD + len(VARIANTS)):
            priority = -1 if number >= FIRST_BATCH_AHEAD else int(number == 2)
            batch = {"name": f"batch {number}", "priority": priority, "created_at": now}
            conn.execute(sa.insert(Batch), batch)


def _lots(connection: psycopg.Connection[Any], takes: Sequence[Take], tasks: int) -> list[multiply.Lot]:
    """How many copies of each take make `tasks` tasks; the first fate makes up the difference."""
    rows = connection.execute(f"SELECT take, count(*) FROM {PATTERNS}.tasks GROUP BY take").fetchall()
    seats = {int(take): int(count) for take, count in rows}
    scale = tasks / sum(take.share * seats[take.number] for take in takes)
    counts = {
        take.number: min(max(1, round(take.share * scale)), take.fate.most or tasks) for take in takes[1:]
    }
    missing = tasks - sum(seats[number] * count for number, count in counts.items())
    if missing < 1:
        raise ValueError(f"{tasks} tasks are too few for one image of each fate")
    counts[takes[0].number] = missing
    return [multiply.Lot(take, counts[take.number], {}) for take in takes]


def _variant_take(fate: Fate) -> Take:
    first = len(takes_of(FATES))
    return takes_of(VARIANTS, first)[VARIANTS.index(fate)]
