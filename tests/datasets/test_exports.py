"""Exports as files: whole, resumable, written once, and unchanged by what happens to the images later."""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from crowd.cli import main
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Unprocessable
from crowd.datasets import exports, jobs, queries, service
from crowd.datasets.check import check_export
from crowd.datasets.exports import Place, Plan, write_export
from crowd.datasets.jobs import HOLD, export_key, run_exports
from crowd.datasets.models import Export, ExportState
from crowd.datasets.records import MANIFEST
from crowd.images.files import files_of
from crowd.images.history import Happening, record
from crowd.images.models import Image, What
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from tests.datasets.factories import ATTRIBUTES, REGIONS, THEN, Crowd, jpeg
from tests.kinds import Bearer, Client, MakeWorker


@pytest.fixture
def crowd(rt: Runtime) -> Crowd:
    return Crowd(rt)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE", 3)


def freeze(crowd: Crowd, name: str = "first") -> AnyRow:
    return service.create_release(crowd.rt.db, name, taxonomy_id=crowd.taxonomy_id, by=None, now=THEN)


def plan_of(crowd: Crowd, release: AnyRow, layout: str | None = None) -> Plan:
    with crowd.rt.db.read() as conn:
        return service.plan(conn, crowd.rt, release.id, "kfashion", layout)


def order(crowd: Crowd, release: AnyRow, layout: str | None = None) -> int:
    plan = plan_of(crowd, release, layout)
    with crowd.rt.db.begin() as conn:
        return service.order_export(conn, plan, by=None, now=clock.now())


def write(crowd: Crowd, release: AnyRow, folder: Path, layout: str | None = None) -> None:
    place = Place(folder, link=False)
    write_export(crowd.rt.db, crowd.rt.storage, plan_of(crowd, release, layout), place, lambda _: None)


def export_row(rt: Runtime, export_id: int) -> AnyRow:
    with rt.db.read() as conn:
        return service.find_export(conn, export_id)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def folder_of(rt: Runtime, export_id: int) -> Path:
    return rt.storage.root / export_key(export_id)


@pytest.mark.parametrize("layout", ["guideline", "release"])
def test_an_export_is_sound_and_whole(crowd: Crowd, layout: str, small_pages: None) -> None:
    crowd.accept(7)
    export_id = order(crowd, freeze(crowd), layout)
    assert run_exports(crowd.rt) == 1
    row = export_row(crowd.rt, export_id)
    assert (row.state, row.written, row.error, row.run_after) == (ExportState.DONE, 7, None, None)
    report = check_export(folder_of(crowd.rt, export_id))
    assert (report.images, report.problems) == (7, [])


def test_the_manifest_lists_every_file_with_its_digest(
    crowd: Crowd, tmp_path: Path, small_pages: None
) -> None:
    images = crowd.accept(7)
    write(crowd, freeze(crowd), tmp_path / "out")
    with (tmp_path / "out" / MANIFEST).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == images
    listed = {path for row in rows for path in row["files"].split(";")}
    beside = {"README.md", "croissant.json", "statistics.json", MANIFEST, exports.MARKER}
    beside |= {f"SPECIFICATION.{language}.{kind}" for language in ("ko", "en") for kind in ("md", "html")}
    assert listed | beside == set(tree(tmp_path / "out"))
    for number, row in enumerate(rows):
        assert row["sha256"] == hashlib.sha256(jpeg(number)).hexdigest()
    assert {row["style"] for row in rows} == {"street", "resort", "feminine"}


def test_the_sheet_tells_counts_splits_and_what_was_not_said(crowd: Crowd, tmp_path: Path) -> None:
    images = crowd.accept(10)
    changed = {"regions": {"r1": {"category": "shirts", "color": "blue", "shape": "no-such-shape"}}}
    with crowd.rt.db.begin() as conn:
        crowd.label(conn, images[0], Stage.ATTRIBUTES, changed)
    write(crowd, freeze(crowd), tmp_path / "out")
    sheet = (tmp_path / "out" / "README.md").read_text()
    for line in (
        "| images | 10 |",
        "| train | 8 | 80.0 |",
        "| validation | 1 | 10.0 |",
        "| test | 1 | 10.0 |",
        f"version {crowd.rt.taxonomy.version}",
        "| shape | top | no-such-shape |  | left out | no place in this format | 1 |",
    ):
        assert line in sheet
    assert "| street | 스트리트 | 4 | 40.0 |" in sheet


def test_what_happens_after_the_release_does_not_reach_its_export(crowd: Crowd, tmp_path: Path) -> None:
    images = crowd.accept(3)
    release = freeze(crowd)
    write(crowd, release, tmp_path / "before")
    with crowd.rt.db.begin() as conn:
        record(conn, images[0], Happening(What.REOPENED, target=Stage.SEGMENTATION), THEN)
        crowd.label(conn, images[0], Stage.SEGMENTATION, {"regions": []})
        crowd.label(conn, images[0], Stage.ATTRIBUTES, {"regions": {}})
        crowd.label(conn, images[0], Stage.STYLES, {"styles": ["country"], "unsure": False})
        record(conn, images[1], Happening(What.HELD), THEN)
    crowd.accept(2, first=3)
    write(crowd, release, tmp_path / "after")
    assert tree(tmp_path / "after") == tree(tmp_path / "before")


def test_attributes_of_earlier_regions_are_fitted_to_the_accepted_ones(crowd: Crowd, tmp_path: Path) -> None:
    (image,) = crowd.accept(1)
    redrawn = {"regions": [{**REGIONS["regions"][0], "id": "again"}]}
    with crowd.rt.db.begin() as conn:
        crowd.label(conn, image, Stage.SEGMENTATION, redrawn)
    write(crowd, freeze(crowd), tmp_path / "out")
    form = json.loads((tmp_path / "out" / "스트리트" / str(image) / f"{image}.json").read_text())
    assert form["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]["상의"][0]["카테고리"] == "셔츠"
    assert ATTRIBUTES["regions"].keys() == {"r1"}


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_export_goes_on_and_equals_a_fresh_one(
    crowd: Crowd, tmp_path: Path, small_pages: None, stop: int
) -> None:
    crowd.accept(10)
    release = freeze(crowd)
    write(crowd, release, tmp_path / "fresh")
    pages = 0

    def interrupted(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages == stop:
            raise KeyboardInterrupt

    place = Place(tmp_path / "resumed", link=False)
    with pytest.raises(KeyboardInterrupt):
        write_export(crowd.rt.db, crowd.rt.storage, plan_of(crowd, release), place, interrupted)
    assert exports.written_before(place.folder) == 3 * stop
    first = min(path for path in place.folder.rglob("*.json") if path.stem.isdigit())
    touched = first.stat().st_mtime_ns
    write(crowd, release, place.folder)
    assert tree(place.folder) == tree(tmp_path / "fresh")
    assert first.stat().st_mtime_ns == touched


@pytest.mark.parametrize("cut", [1, 40, 150, 260])
def test_a_journal_cut_off_anywhere_is_taken_up(
    crowd: Crowd, tmp_path: Path, small_pages: None, cut: int
) -> None:
    crowd.accept(10)
    release = freeze(crowd)
    write(crowd, release, tmp_path / "fresh")
    write(crowd, release, tmp_path / "torn")
    journal = (tmp_path / "torn" / MANIFEST).rename(tmp_path / "torn" / exports.JOURNAL)
    os.truncate(journal, journal.stat().st_size - cut)
    write(crowd, release, tmp_path / "torn")
    assert tree(tmp_path / "torn") == tree(tmp_path / "fresh")


def test_two_drains_at_once_write_an_export_once(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, small_pages: None
) -> None:
    crowd.accept(7)
    export_id = order(crowd, freeze(crowd))
    real, writes = exports.write_export, []
    due, seen = queries.due_export, threading.local()
    together = threading.Barrier(2)

    def due_for_both(conn: sa.Connection, now: Any) -> Any:
        found = due(conn, now)
        if not hasattr(seen, "once"):
            seen.once = True
            together.wait(20)
        return found

    def counted(*arguments: Any) -> None:
        writes.append(threading.get_ident())
        real(*arguments)

    monkeypatch.setattr(jobs, "write_export", counted)
    monkeypatch.setattr(queries, "due_export", due_for_both)
    ended: list[int] = []
    drains = [threading.Thread(target=lambda: ended.append(run_exports(crowd.rt))) for _ in range(2)]
    for drain in drains:
        drain.start()
    for drain in drains:
        drain.join(60)
    assert len(writes) == 1
    assert sorted(ended) == [0, 1]
    assert export_row(crowd.rt, export_id).state is ExportState.DONE


DRAIN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from crowd import models
from crowd.core.config import Settings
from crowd.datasets import exports, jobs
from crowd.runtime import build_runtime

exports.PAGE = 3
url, data_dir, storage = sys.argv[1:]
rt = build_runtime(Settings(Path(data_dir), url, None, storage, "only for tests"))
real, pages = exports._write_page, []
def dying(plan, place, number, records):
    if number == 2:
        first = next(iter(plan.format.files(records, number, plan.layout, plan.taxonomy)))
        exports._write_file(first, place, exports._Pictures())
        os.kill(os.getpid(), signal.SIGKILL)
    return real(plan, place, number, records)
exports._write_page = dying
jobs.run_exports(rt)
"""


def test_an_export_whose_writer_was_killed_is_taken_up_when_its_time_is_over(
    crowd: Crowd, tmp_path: Path, small_pages: None
) -> None:
    crowd.accept(10)
    release = freeze(crowd)
    export_id = order(crowd, release)
    settings = crowd.rt.settings
    killed = subprocess.run(
        [sys.executable, "-c", DRAIN_AND_DIE, settings.database_url, settings.data_dir, settings.storage],
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    row = export_row(crowd.rt, export_id)
    assert (row.state, row.written) == (ExportState.RUNNING, 6)
    assert run_exports(crowd.rt) == 0
    with crowd.rt.db.begin() as conn:
        conn.execute(sa.update(Export).values(run_after=row.run_after - HOLD))
    assert run_exports(crowd.rt) == 1
    assert export_row(crowd.rt, export_id).state is ExportState.DONE
    write(crowd, release, tmp_path / "fresh")
    assert tree(folder_of(crowd.rt, export_id)) == tree(tmp_path / "fresh")


def test_a_writer_that_was_overtaken_stops_and_changes_nothing_more(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, small_pages: None
) -> None:
    crowd.accept(10)
    export_id = order(crowd, freeze(crowd))
    real = exports._write_page
    taken_over = clock.now() + timedelta(days=1)

    def slow(plan: Plan, place: Place, number: int, records: Any) -> Any:
        if number == 1:
            with crowd.rt.db.begin() as conn:
                conn.execute(sa.update(Export).values(run_after=taken_over))
        return real(plan, place, number, records)

    monkeypatch.setattr(exports, "_write_page", slow)
    assert run_exports(crowd.rt) == 0
    row = export_row(crowd.rt, export_id)
    assert (row.state, row.written, row.run_after) == (ExportState.RUNNING, 3, taken_over)


def test_a_folder_that_is_being_written_is_left_alone(
    crowd: Crowd, tmp_path: Path, small_pages: None
) -> None:
    crowd.accept(4)
    release = freeze(crowd)
    refused: list[Conflict] = []

    def meanwhile(_: int) -> None:
        with pytest.raises(Conflict) as second:
            write(crowd, release, tmp_path / "out")
        refused.append(second.value)

    place = Place(tmp_path / "out", link=False)
    write_export(crowd.rt.db, crowd.rt.storage, plan_of(crowd, release), place, meanwhile)
    assert {each.code for each in refused} == {"folder_in_use"}


def test_a_folder_with_something_else_is_refused_and_untouched(crowd: Crowd, tmp_path: Path) -> None:
    crowd.accept(1)
    release = freeze(crowd)
    (tmp_path / "mine.txt").write_text("mine")
    other = tmp_path / "other"
    write(crowd, release, other, "release")
    before = tree(tmp_path)
    for folder in (tmp_path, tmp_path / "mine.txt", other):
        with pytest.raises(Conflict) as refused:
            write(crowd, release, folder, "guideline")
        assert refused.value.code == "folder_taken"
    assert tree(tmp_path) == before


def test_a_missing_working_image_fails_the_export_by_name(crowd: Crowd) -> None:
    (image,) = crowd.accept(1)
    with crowd.rt.db.read() as conn:
        sha256 = conn.execute(sa.select(Image.sha256)).scalar_one()
    crowd.rt.storage.delete(files_of(sha256).working)
    export_id = order(crowd, freeze(crowd))
    assert run_exports(crowd.rt) == 1
    row = export_row(crowd.rt, export_id)
    assert (row.state, row.run_after) == (ExportState.FAILED, None)
    assert f"image {image}" in row.error
    assert run_exports(crowd.rt) == 0


def test_a_copy_for_users_does_not_share_the_storages_bytes(crowd: Crowd, tmp_path: Path) -> None:
    crowd.accept(1)
    release = freeze(crowd)
    export_id = order(crowd, release)
    run_exports(crowd.rt)
    write(crowd, release, tmp_path / "out")
    inside, outside = (
        next(folder.rglob("*.jpg")) for folder in (folder_of(crowd.rt, export_id), tmp_path / "out")
    )
    assert inside.stat().st_nlink == 2
    assert outside.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("name", "layout", "path"), [("coffee", None, "format"), ("kfashion", "x", "layout")]
)
def test_an_unknown_format_or_layout_is_named(crowd: Crowd, name: str, layout: str | None, path: str) -> None:
    crowd.accept(1)
    release = freeze(crowd)
    with crowd.rt.db.read() as conn, pytest.raises(Unprocessable) as refused:
        service.plan(conn, crowd.rt, release.id, name, layout)
    assert list(refused.value.errors or {}) == [path]


def test_an_admin_orders_an_export_and_downloads_it(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer, small_pages: None
) -> None:
    crowd.accept(7)
    release = freeze(crowd, "spring")
    admin = bearer(make_worker(Grade.ADMIN)[1])
    url = f"/api/v1/releases/{release.id}/exports"
    bad = client.post(url, json={"format": "coffee"}, headers=admin)
    assert (bad.status_code, list(bad.json["errors"])) == (422, ["format"])
    ordered = client.post(url, json={"format": "kfashion", "layout": "release"}, headers=admin)
    assert ordered.status_code == 202
    job_url = ordered.json["job"]["url"]
    job = client.get(job_url, headers=admin).json
    assert (job["state"], job["written"], job["total"], job["download"]) == ("pending", 0, 7, None)
    early = client.get(f"{job_url}/download", headers=admin)
    assert (early.status_code, early.json["code"]) == (409, "not_done")
    run_exports(crowd.rt)
    job = client.get(job_url, headers=admin).json
    assert (job["state"], job["written"], job["error"]) == ("done", 7, None)
    answer = client.get(job["download"], headers=admin)
    assert 'filename="spring-kfashion.zip"' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        packed = {name: archive.read(name) for name in archive.namelist()}
    expected = tree(folder_of(crowd.rt, job["id"]))
    del expected[exports.MARKER]
    assert packed == {f"spring-kfashion/{name}": data for name, data in expected.items()}


def test_an_unknown_job_is_not_found(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    admin = bearer(make_worker(Grade.ADMIN)[1])
    assert client.get("/api/v1/jobs/7", headers=admin).status_code == 404
    assert client.get("/api/v1/jobs/7/download", headers=admin).status_code == 404


@pytest.fixture
def command(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`crowd release …` on the test's own database and storage."""
    monkeypatch.setenv("CROWD_DATA_DIR", str(rt.settings.data_dir))
    monkeypatch.setenv("DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("CROWD_STORAGE", rt.settings.storage)
    return lambda *words: CliRunner().invoke(main, ["release", *map(str, words)])


def test_a_release_is_made_listed_and_exported_from_the_command_line(
    crowd: Crowd, command: Callable[..., Result], tmp_path: Path
) -> None:
    crowd.accept(10)
    made = command("create", "spring")
    assert (made.exit_code, made.stdout) == (
        0,
        "Release spring: 10 images (8 train, 1 validation, 1 test)\n",
    )
    assert command("list").stdout.split()[::2] == ["10", "spring"]
    out = tmp_path / "out"
    for _ in range(2):
        done = command("export", "spring", "--format", "kfashion", "--out", out, "--layout", "release")
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("10 images of spring as kfashion (release) in ")
    assert check_export(out).problems == []


def test_ctrl_c_says_how_far_it_was_and_the_same_command_goes_on(
    crowd: Crowd,
    command: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_pages: None,
) -> None:
    crowd.accept(10)
    freeze(crowd)
    real = exports._write_page

    def interrupted(plan: Plan, place: Place, number: int, records: Any) -> Any:
        if number == 2:
            raise KeyboardInterrupt
        return real(plan, place, number, records)

    monkeypatch.setattr(exports, "_write_page", interrupted)
    words = ("export", "first", "--format", "kfashion", "--out", tmp_path / "out")
    stopped = command(*words)
    assert stopped.exit_code == 130
    assert "6 of 10 images written" in stopped.stderr
    monkeypatch.setattr(exports, "_write_page", real)
    assert command(*words).exit_code == 0


def test_an_export_that_was_tampered_with_is_called_unsound(
    crowd: Crowd, command: Callable[..., Result], tmp_path: Path
) -> None:
    crowd.accept(2)
    freeze(crowd)
    words = ("export", "first", "--format", "kfashion", "--out", tmp_path / "out")
    assert command(*words).exit_code == 0
    next(tmp_path.glob("out/*/*/*.jpg")).write_bytes(b"no photograph")
    again = command(*words)
    assert again.exit_code == 2
    assert "does not hold" in again.stderr
    assert command(*words, "--no-check").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "a b"), "name"),
        (("create", "first"), "already"),
        (("export", "no", "--format", "kfashion", "--out", "x"), "no release"),
        (("export", "first", "--format", "coffee", "--out", "x"), "kfashion"),
        (("export", "first", "--format", "kfashion", "--layout", "y", "--out", "x"), "guideline, release"),
        (("export", "first", "--format", "kfashion", "--out", "/dev/null"), "something other"),
        (("export", "first", "--format", "kfashion", "--out", "/dev/null/x"), "/dev/null"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_two(
    crowd: Crowd, command: Callable[..., Result], words: tuple[str, ...], said: str
) -> None:
    crowd.accept(1)
    freeze(crowd)
    result = command(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
