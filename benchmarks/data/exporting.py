"""Exports: images a second beside the least that they cost, on one core.

The floor reads the same rows by page, dumps each image's labels as JSON and copies its bytes, into as many
files and folders as the layout asks for: one for all, one for each image and one for all labels, or two for
each image, in a folder of its own. Nothing else: no digest, no check, no journal.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
PACKED = {("parquet", "embedded"), ("webdataset", "shards")}
# (format, layout) with a file of labels, and with a folder, for each image.
LABELS_EACH = {("kfashion", "guideline"), ("kfashion", "release")}
FOLDER_EACH = {("kfashion", "guideline")}
# The one layout of classifiers with whole images.
STYLES = "styles"
FASTER = 0.6
CHUNK = 1000


def speed(given: argparse.Namespace) -> list[Line]:
    """Speed of each format at each of its layouts, but for those that cut garments out: they copy nothing."""
    names = given.formats or list(FORMATS)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        rt = build(folder / "speed", given.images, width=800)
        lines = [
            line
            for name in names
            for layout in FORMATS[name].layouts(rt.taxonomy)
            if name != "classifier" or layout == STYLES
            for line in _speed(rt, (name, layout), given.rounds, folder / "out")
        ]
        rt.db.close()
    return lines


def build(folder: Path, images: int, *, width: int) -> Runtime:
    """An installation with a release of so many drawn images; the files of equal ones are one on disk."""
    rt = open_installation(folder)
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


def open_installation(folder: Path) -> Runtime:
    """The installation in this folder."""
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


def _speed(rt: Runtime, form: tuple[str, str], rounds: int, out: Path) -> list[Line]:
    name, layout = form
    if form in PACKED:
        floor = _floor_packed
    elif form in LABELS_EACH:
        floor = partial(_floor_by_image, folders=form in FOLDER_EACH)
    else:
        floor = _floor_loose
    ways: dict[str, Callable[[], int]] = {
        "floor": lambda: floor(rt, out),
        "export": lambda: export(rt, name, out, layout),
    }
    watches = {"of CPU time": time.process_time, "by the clock": time.perf_counter}
    rates: dict[tuple[str, str], list[float]] = {(watch, way): [] for watch in watches for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            shutil.rmtree(out, ignore_errors=True)
            started = {watch: read() for watch, read in watches.items()}
            images = run()
            for watch, read in watches.items():
                rates[watch, way].append(images / (read() - started[watch]))
    shutil.rmtree(out, ignore_errors=True)
    medians = {key: statistics.median(each) for key, each in rates.items()}
    return [
        Line(
            f"export, {name} {layout}, images/s {watch}",
            medians[watch, "export"],
            medians[watch, "floor"],
            "images/s",
            FASTER,
        )
        for watch in watches
    ]


def export(rt: Runtime, name: str, out: Path, layout: str | None = None) -> int:
    """Write the release in a format, at its first layout unless told which; how many images."""
    with rt.db.read() as conn:
        release = service.find_release_named(conn, NAME)
        plan = service.plan(conn, rt, release.id, name, layout)
    write_export(rt.db, rt.storage, plan, Place(out, link=False), lambda _: None)
    return int(release.images)


def _floor_by_image(rt: Runtime, out: Path, *, folders: bool) -> int:
    out.mkdir()
    images = 0
    for row, text, data in _least(rt):
        folder = out
        if folders:
            folder = out / str(row.id)
            folder.mkdir()
        (folder / f"{row.id}.json").write_bytes(text)
        (folder / f"{row.id}.jpg").write_bytes(data)
        images += 1
    return images


def _floor_loose(rt: Runtime, out: Path) -> int:
    out.mkdir()
    images = 0
    with (out / "labels").open("wb") as file:
        for row, text, data in _least(rt):
            file.write(text)
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
