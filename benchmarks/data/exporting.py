"""Exports: images a second beside the least that they cost, and peak memory from few images to many.

The floor reads the same rows by page, dumps each image's labels as JSON and copies its bytes: into a file
each, as the formats of loose files do, or behind each other, as the packed ones may. Nothing else: no digest,
no check, no journal. Memory is the peak of a process of its own, with small images.
"""

import argparse
import hashlib
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from benchmarks.data.lines import Line
from crowd import models
from crowd.core import clock
from crowd.core.config import Settings
from crowd.core.db import AnyRow
from crowd.core.migrate import upgrade
from crowd.datasets import queries, service
from crowd.datasets.exports import PAGE, Place, write_export
from crowd.datasets.formats import FORMATS
from crowd.images.files import files_of
from crowd.images.models import Image, ImageState, Rights, Supplier
from crowd.policy import Stage
from crowd.runtime import Runtime, build_runtime
from crowd.simulation.drawing import Drawn, draw_outfit
from crowd.simulation.looks import as_jpeg
from crowd.simulation.wardrobe import dress_up
from crowd.tasks import taxonomies
from crowd.tasks.models import Label

assert models  # importing it registers every table

NAME = "benchmark"
DRAWINGS = 24
# Whose files hold many images; what they are compared with does so too.
PACKED = {"parquet", "webdataset"}
FASTER, FLATTER = 0.6, 1.1
CHUNK = 1000


def measure(given: argparse.Namespace) -> list[Line]:
    """Speed of each format at its first layout, then memory."""
    names = given.formats or list(FORMATS)
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        speed = build(folder / "speed", given.images, width=800)
        lines = [_speed(speed, name, given.rounds, folder / "out") for name in names]
        speed.db.close()
        peaks: dict[str, list[int]] = {name: [] for name in names}
        for images in (given.few, given.many):
            build(folder / f"memory-{images}", images, width=64).db.close()
            for name in names:
                peaks[name].append(_peak(folder / f"memory-{images}", name, folder / "out"))
    for name, (few, many) in peaks.items():
        what = f"memory of export, {name}, {given.many:,} images beside {given.few:,}"
        lines.append(Line(what, many / 1024, few / 1024, "MiB", FLATTER, at_most=True))
    return lines


def build(folder: Path, images: int, *, width: int) -> Runtime:
    """An installation with a release of so many drawn images; the files of equal ones are one on disk."""
    rt = _open(folder)
    upgrade(rt.settings.database_url)
    drawn = [_drawn(number, width) for number in range(DRAWINGS)]
    taxonomy_id = taxonomies.ensure(rt.db, rt.taxonomy)
    with rt.db.begin() as conn:
        supplier = conn.execute(
            sa.insert(Supplier).values(name="A shop", created_at=clock.now()).returning(Supplier.id)
        )
        supplier_id = supplier.scalar_one()
    for start in range(0, images, CHUNK):
        numbers = range(start + 1, min(start + CHUNK, images) + 1)
        _add(rt, numbers, drawn, supplier_id, taxonomy_id)
    service.create_release(rt.db, NAME, taxonomy_id=taxonomy_id, by=None, now=clock.now())
    return rt


def _open(folder: Path) -> Runtime:
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'crowd.sqlite'}"
    return build_runtime(Settings(folder, url, None, str(folder / "storage"), "only for measuring"))


def _drawn(number: int, width: int) -> tuple[Drawn, bytes]:
    dice = random.Random(number)
    drawing = draw_outfit(dice, dress_up(dice), width)
    return drawing, as_jpeg(drawing.image)


def _add(
    rt: Runtime, numbers: range, drawn: Sequence[tuple[Drawn, bytes]], supplier_id: int, taxonomy_id: int
) -> None:
    now, images, labels = clock.now(), [], []
    for number in numbers:
        drawing, data = drawn[number % len(drawn)]
        sha256 = hashlib.sha256(f"{number}".encode()).digest()
        first = rt.storage.path(f"drawn/{number % len(drawn)}.jpg")
        if not first.exists():
            first.write_bytes(data)
        rt.storage.path(files_of(sha256).working).hardlink_to(first)
        images.append(
            {
                "id": number,
                "supplier_id": supplier_id,
                "file_name": f"shop_{number // 2:06}_{number % 2:02}.jpg",
                "rights": Rights.OWNED,
                "sha256": sha256,
                "state": ImageState.ACCEPTED,
                "width": drawing.image.width,
                "height": drawing.image.height,
                "created_at": now,
            }
        )
        labels += [
            {
                "image_id": number,
                "stage": stage,
                "round": 1,
                "taxonomy_id": taxonomy_id,
                "value": value,
                "at": now,
            }
            for stage, value in ((Stage(name), value) for name, value in drawing.truth.items())
        ]
    with rt.db.begin() as conn:
        conn.execute(sa.insert(Image), images)
        conn.execute(sa.insert(Label), labels)


def _speed(rt: Runtime, name: str, rounds: int, out: Path) -> Line:
    floor = _floor_packed if name in PACKED else _floor_loose
    ways: dict[str, Callable[[], int]] = {
        "floor": lambda: floor(rt, out),
        "export": lambda: _export(rt, name, out),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            shutil.rmtree(out, ignore_errors=True)
            started = time.perf_counter()
            images = run()
            rates[way].append(images / (time.perf_counter() - started))
    shutil.rmtree(out, ignore_errors=True)
    medians = {way: statistics.median(each) for way, each in rates.items()}
    return Line(f"export, {name}", medians["export"], medians["floor"], "images/s", FASTER)


def _export(rt: Runtime, name: str, out: Path) -> int:
    with rt.db.read() as conn:
        release = service.find_release_named(conn, NAME)
        plan = service.plan(conn, rt, release.id, name, None)
    write_export(rt.db, rt.storage, plan, Place(out, link=False), lambda _: None)
    return int(release.images)


def _floor_loose(rt: Runtime, out: Path) -> int:
    out.mkdir()
    images = 0
    for row, text, data in _least(rt):
        (out / f"{row.id}.json").write_bytes(text)
        (out / f"{row.id}.jpg").write_bytes(data)
        images += 1
    return images


def _floor_packed(rt: Runtime, out: Path) -> int:
    out.mkdir()
    images = 0
    with (out / "all").open("wb") as file:
        for _, text, data in _least(rt):
            file.write(text)
            file.write(data)
            images += 1
    return images


def _least(rt: Runtime) -> Iterator[tuple[AnyRow, bytes, bytes]]:
    """Each image's row, its labels as JSON, its bytes."""
    after = 0
    with rt.db.read() as conn:
        release = service.find_release_named(conn, NAME)
    while True:
        with rt.db.read() as conn:
            rows = queries.release_page(conn, release.id, after=after, limit=PAGE)
        for row in rows:
            labels = [row.segmentation, row.attributes, row.styles]
            text = json.dumps(labels, ensure_ascii=False, separators=(",", ":")).encode()
            yield row, text, (rt.storage.root / files_of(row.sha256).working).read_bytes()
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def _peak(folder: Path, name: str, out: Path) -> int:
    """Peak memory (KiB) of a process that writes the export."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", __name__, str(folder), name, str(out)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(out, ignore_errors=True)
    return int(told)


if __name__ == "__main__":
    at, of, to = sys.argv[1:]
    _export(_open(Path(at)), of, Path(to))
    # Not getrusage: what it tells begins with the parent's memory at the moment of the fork.
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
