"""How fast images come in beside the bare work on them, in how much memory; how fast alike ones are found.

The floor reads, hashes, decodes, resizes and encodes (working image and thumbnail) with Pillow and does
nothing else. The import is the whole of it: `crowd import` of a folder, and the job that makes the working
images with every check. Both run on one core, in turns, and CPU time is compared beside the wall clock.
"""

import hashlib
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from PIL import Image

from benchmarks.data.rows import Row
from crowd.core.config import Settings, load_settings
from crowd.core.db import Base, Database
from crowd.core.migrate import upgrade
from crowd.images.delivery_models import Fingerprint
from crowd.images.fingerprints import BANDS, bands_of, find_near, signed_hash
from crowd.policy import load_policy
from crowd.simulation.drawing import draw
from crowd.simulation.looks import as_jpeg

# Pictures as shops send them: larger than what is worked on.
WIDTH = 1080
SPEED_IMAGES = 100
TURNS = 3
LEAST_SHARE, MOST_GROWTH, MOST_SLOWDOWN = 0.6, 1.1, 2.0
FEW, MANY = 10_000, 1_200_000
LOOKUPS = 2000
DRAWN = 24
COLOURS = bytes(192)


def measure_import(most: int) -> list[Row]:
    """Images a second beside the floor, and the peak memory of a large import beside a small one."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_images(place / "few", SPEED_IMAGES, WIDTH)
        turns = [
            (_floor(place / "few"), _import(place / "few", place / f"data{turn}")) for turn in range(TURNS)
        ]
        speeds = [
            _speed_row("import, images/s of CPU time", [(floor.cpu, ours.cpu) for floor, ours in turns]),
            _speed_row(
                "import, images/s by the clock", [(floor.seconds, ours.seconds) for floor, ours in turns]
            ),
        ]
        # Small pictures: what grows with their number is asked for, not with their size.
        small, large = max(1000, most // 10), most
        _write_images(place / "many", large, 64)
        few = _import(place / "many", place / "small", only=small)
        many = _import(place / "many", place / "large")
        memory = [
            Row(
                f"{name}, peak memory at {large:,} images",
                f"{after / 1024:.0f} MiB",
                f"{before / 1024:.0f} MiB at {small:,}",
                after / before,
                MOST_GROWTH,
                at_least=False,
            )
            for name, before, after in (
                ("crowd import", few.import_kib, many.import_kib),
                ("job worker", few.prepare_kib, many.prepare_kib),
            )
        ]
    return [*speeds, *memory]


def _speed_row(what: str, turns: list[tuple[float, float]]) -> Row:
    floor, ours = (statistics.median(each) for each in zip(*turns, strict=True))
    return Row(
        what,
        f"{SPEED_IMAGES / ours:.1f}",
        f"{SPEED_IMAGES / floor:.1f} (Pillow alone)",
        floor / ours,
        LEAST_SHARE,
        at_least=True,
    )


def measure_hashes(_: int) -> list[Row]:
    """The time to find a near-duplicate (hashes, then colours) among 1.2 million beside ten thousand."""
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, MANY):
            data_dir = Path(folder) / str(count)
            data_dir.mkdir()
            settings = load_settings({"CROWD_DATA_DIR": str(data_dir), "DATABASE_URL": _database(count)})
            times[count] = _lookup_seconds(settings, count)
    return [
        Row(
            f"near-duplicate search at {MANY:,} hashes",
            f"{times[MANY] * 1e6:.0f} µs",
            f"{times[FEW] * 1e6:.0f} µs at {FEW:,}",
            times[MANY] / times[FEW],
            MOST_SLOWDOWN,
            at_least=False,
        )
    ]


class Spent:
    """What one import took: seconds of both processes, and the peak memory (KiB) of each."""

    def __init__(self, importing: "Ran", preparing: "Ran") -> None:
        self.seconds = importing.seconds + preparing.seconds
        self.cpu = importing.cpu + preparing.cpu
        self.import_kib, self.prepare_kib = importing.peak_kib, preparing.peak_kib


class Ran:
    """A process that has ended: how long it took and how much memory it had at most."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_on_one_core,  # noqa: PLW1509 - nothing else runs here
        )
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"{words} failed"
        self.seconds = time.perf_counter() - started
        # Of the process and of those that it waited for, such as the decoder's child.
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak_kib = usage.ru_maxrss

    def less(self, start: "Ran") -> "Ran":
        """Without what starting Python and loading the rooms took."""
        self.seconds -= start.seconds
        self.cpu -= start.cpu
        return self


PREPARE = """
from crowd.core.config import load_settings
from crowd.images.jobs import prepare_images
from crowd.images.service import close_decoders
from crowd.runtime import build_runtime
from crowd.wiring import wire
rt = build_runtime(load_settings())
wire(rt)
prepare_images(rt)
# Waited for, so that the system adds its CPU time to ours.
close_decoders()
"""
FLOOR = """
import sys
from pathlib import Path
from benchmarks.data.importing import floor_of
floor_of(Path(sys.argv[1]))
"""


def floor_of(folder: Path) -> None:
    """The bare work on every image of a folder."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        hashlib.sha256(data).digest()
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        for width, quality in ((800, 90), (round(256 * picture.width / max(picture.size)), 85)):
            if width < picture.width:
                size = (width, round(picture.height * width / picture.width))
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            picture.save(io.BytesIO(), "JPEG", quality=quality, optimize=True)


def _floor(folder: Path) -> Ran:
    return Ran(["-c", FLOOR, str(folder)], dict(os.environ)).less(_start_of("benchmarks.data.importing"))


def _import(folder: Path, data_dir: Path, only: int | None = None) -> Spent:
    data_dir.mkdir()
    env = {**os.environ, "CROWD_DATA_DIR": str(data_dir), "REDIS_URL": "unix:///nowhere"}
    env.pop("DATABASE_URL", None)
    upgrade(load_settings(env).database_url)
    source = folder
    if only is not None:
        source = data_dir / "source"
        source.mkdir()
        for path in sorted(folder.iterdir())[:only]:
            (source / path.name).hardlink_to(path)
    words = ["-m", "crowd", "import", str(source), "--supplier", "Shop", "--rights", "owned", "--no-wait"]
    # Python starts and loads the rooms once for a million images, so that is none of the import's work.
    start = _start_of("crowd.wiring")
    return Spent(Ran(words, env).less(start), Ran(["-c", PREPARE], env).less(start))


def _start_of(module: str) -> Ran:
    runs = (Ran(["-c", f"import {module}"], dict(os.environ)) for _ in range(2))
    return min(runs, key=lambda each: each.cpu)


def _on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _write_images(folder: Path, count: int, width: int) -> None:
    """Different pictures: a few drawings, each marked anew so that no two are alike."""
    folder.mkdir()
    drawings = [draw(seed).image.convert("RGB") for seed in range(DRAWN)]
    height = width * 3 // 2
    drawings = [each.resize((width, height)) for each in drawings]
    rng = random.Random(7)
    for number in range(count):
        picture = drawings[number % DRAWN].copy()
        for _ in range(6):
            left, top = rng.randrange(width * 3 // 4), rng.randrange(height * 3 // 4)
            colour = tuple(rng.randrange(256) for _ in range(3))
            picture.paste(colour, (left, top, left + width // 4, top + height // 4))
        (folder / f"{number:06}.jpg").write_bytes(as_jpeg(picture))


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
