"""`crowd import`: what it takes, what it says, and that bad input is told without a traceback."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
import time
import unicodedata
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crowd.cli import main
from crowd.core.config import load_settings
from crowd.core.migrate import upgrade
from crowd.core.storage import FolderStorage
from crowd.images import queries
from crowd.images.models import ImageState
from crowd.images.service import prepare
from crowd.runtime import Runtime, build_runtime
from tests.commands.places import environ_without_places
from tests.pictures import jpeg


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(jpeg(seed))
    return folder


def bring(rt: Runtime, *words: str | Path) -> Result:
    env = {
        "CROWD_DATA_DIR": str(rt.settings.data_dir),
        "DATABASE_URL": rt.settings.database_url,
        "REDIS_URL": "unix:///nowhere",
    }
    arguments = ["import", *map(str, words), "--no-wait"]
    return CliRunner().invoke(main, arguments, env={**os.environ, **env}, prog_name="crowd")


def names(rt: Runtime, state: ImageState | None = None) -> list[str]:
    with rt.db.read() as conn:
        rows = queries.listed(conn, state=state, supplier=None, after=0, limit=100)
    return [row.file_name for row in rows]


def test_a_folder_comes_in_once_however_often_it_is_imported(rt: Runtime, photos: Path) -> None:
    first = bring(rt, photos, "--supplier", "Shop", "--rights", "owned")
    assert (first.exit_code, first.stdout.splitlines()[-1]) == (
        0,
        "3 new, 0 duplicates refused, 0 already there, 0 not taken",
    )
    again = bring(rt, photos, "--supplier", "Shop", "--rights", "owned")
    assert "0 new, 0 duplicates refused, 3 already there" in again.stdout
    assert names(rt, ImageState.IN_WORK) == ["0.jpg", "1.jpg", "2.jpg"]


def test_an_import_that_was_cut_off_goes_on_where_it_was(rt: Runtime, photos: Path) -> None:
    bring(rt, photos / "1.jpg", "--supplier", "Shop", "--rights", "owned")
    said = bring(rt, photos, "--supplier", "Shop", "--rights", "owned").stdout
    assert "2 new, 0 duplicates refused, 1 already there" in said


def test_the_same_bytes_of_another_shop_are_refused_as_a_duplicate(rt: Runtime, photos: Path) -> None:
    bring(rt, photos, "--supplier", "Shop", "--rights", "owned")
    said = bring(rt, photos, "--supplier", "Other", "--rights", "owned").stdout
    assert "0 new, 3 duplicates refused" in said
    assert len(names(rt, ImageState.REFUSED)) == 3


def test_without_rights_images_are_held_and_a_proof_is_kept(
    rt: Runtime, photos: Path, tmp_path: Path
) -> None:
    bring(rt, photos / "0.jpg", "--supplier", "Shop")
    assert names(rt, ImageState.HELD) == ["0.jpg"]
    proof = tmp_path / "consent.pdf"
    proof.write_bytes(b"they agree")
    assert bring(rt, photos / "1.jpg", "--supplier", "Shop", "--rights", proof).exit_code == 0
    assert names(rt, ImageState.IN_WORK) == ["1.jpg"]
    kept = list((rt.storage.root / "proofs").iterdir())
    assert [path.read_bytes() for path in kept] == [b"they agree"]


def test_a_zip_and_a_manifest_come_in_under_their_names(rt: Runtime, tmp_path: Path, photos: Path) -> None:
    archive = tmp_path / "hand-over.zip"
    korean = unicodedata.normalize("NFD", "봄 원피스.jpg")
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(korean, jpeg(7))
    assert bring(rt, archive, "--supplier", "Shop", "--rights", "owned").exit_code == 0
    manifest = tmp_path / "list.csv"
    manifest.write_text("file,supplier,rights\nphotos/0.jpg,Another,licensed\n", encoding="utf-8")
    assert bring(rt, manifest, "--supplier", "Shop").exit_code == 0
    assert names(rt, ImageState.IN_WORK) == ["봄 원피스.jpg", "0.jpg"]


@pytest.mark.parametrize(
    "options",
    [
        ["--supplier", " "],
        ["--supplier", "x" * 201],
        ["--supplier", "Shop", "--batch", "x" * 300],
        ["--supplier", "Shop", "--batch", "a\nb"],
        ["--supplier", "Shop", "--rights", "perhaps"],
    ],
)
def test_options_that_cannot_be_are_named(rt: Runtime, photos: Path, options: list[str]) -> None:
    result = bring(rt, photos, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --")
    assert names(rt) == []


@pytest.mark.parametrize("supplier", ["x\u0000y", "\ud800", "x" * 201])
def test_a_manifest_with_an_impossible_supplier_loses_that_line_alone(
    rt: Runtime, photos: Path, supplier: str
) -> None:
    manifest = photos / "list.jsonl"
    lines = [{"file": "0.jpg", "supplier": supplier}, {"file": "1.jpg"}]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    result = bring(rt, manifest, "--supplier", "Shop", "--rights", "owned")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert names(rt) == ["1.jpg"]


def test_what_a_full_disk_kept_out_is_told_and_not_written_down_as_refused(
    rt: Runtime, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "r.json"
    given = (photos, "--supplier", "Shop", "--rights", "owned", "--report", report)

    def full(_storage: object, key: str, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", key)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStorage, "put", full)
        first = bring(rt, *given)
    assert (first.exit_code, first.stderr.count("No space left")) == (2, 3)
    assert bring(rt, *given).exit_code == 0
    (told,) = json.loads(report.read_text())
    assert (told["report"]["files"], told["report"]["refused"]) == (3, 0)


def test_the_report_tells_of_every_file(rt: Runtime, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("text")
    (photos / "same.jpg").write_bytes(jpeg(0))
    (photos / "empty.jpg").touch()
    for report in (tmp_path / "r.json", tmp_path / "r.csv"):
        bring(rt, photos, "--supplier", "Shop", "--rights", "owned", "--report", report)
    prepare(rt)
    bring(rt, photos, "--supplier", "Shop", "--rights", "owned", "--report", tmp_path / "r.json")
    (told,) = json.loads((tmp_path / "r.json").read_text())
    assert {key: told["report"][key] for key in ("files", "taken", "refused", "pending")} == {
        "files": 7,
        "taken": 3,
        "refused": 4,
        "pending": 0,
    }
    states = {row["file"]: (row["state"], row["codes"]) for row in told["files"]}
    assert states["broken.jpg"] == ("refused", "unreadable")
    assert states["notes.txt"] == ("refused", "not_an_image")
    assert states["same.jpg"] == ("refused", "duplicate")
    assert states["empty.jpg"] == ("refused", "bad_source")
    assert (tmp_path / "r.csv").read_text(encoding="utf-8-sig").startswith("file,image,state,codes,details")


def test_killed_in_the_middle_and_given_again_it_comes_to_the_same(
    rt: Runtime, tmp_path: Path, photos: Path
) -> None:
    for seed in range(3, 160):
        (photos / f"{seed % 140:03}.jpg").write_bytes(jpeg(seed))
    whole = Settled(rt, photos, tmp_path / "whole")
    cut = Settled(rt, photos, tmp_path / "cut")
    process = cut.start()
    while cut.images() < 50:
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert cut.images() < whole.finish()
    cut.finish()
    assert cut.outcome() == whole.outcome()


class Settled:
    """An installation of its own, on SQLite, into which the photographs are imported."""

    def __init__(self, rt: Runtime, photos: Path, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.photos = folder, photos
        self.env = environ_without_places() | {"CROWD_DATA_DIR": str(folder), "REDIS_URL": "unix:///nowhere"}
        upgrade(load_settings(self.env).database_url)

    def start(self) -> "subprocess.Popen[bytes]":
        words = ["import", str(self.photos), "--supplier", "Shop", "--rights", "owned", "--no-wait"]
        return subprocess.Popen(
            [sys.executable, "-m", "crowd", *words],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self) -> int:
        assert self.start().wait() == 0
        rt = build_runtime(load_settings(self.env))
        while prepare(rt):
            pass
        rt.db.close()
        return self.images()

    def images(self) -> int:
        with sqlite3.connect(self.folder / "crowd.sqlite") as conn:
            return int(conn.execute("SELECT count(*) FROM images").fetchone()[0])

    def outcome(self) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.folder / "crowd.sqlite") as conn:
            return conn.execute(
                "SELECT i.id, file_name, state, hex(sha256), duplicate_of, width, f.code FROM images i "
                "LEFT JOIN findings f ON f.image_id = i.id ORDER BY i.id, f.code"
            ).fetchall()


def test_nothing_there_and_nothing_in_it_are_told(rt: Runtime, tmp_path: Path) -> None:
    gone = bring(rt, tmp_path / "gone", "--supplier", "Shop")
    assert (gone.exit_code, "there is no such file or folder" in gone.stderr) == (2, True)
    (tmp_path / "empty.jpg").touch()
    empty = bring(rt, tmp_path / "empty.jpg", "--supplier", "Shop")
    assert (empty.exit_code, "the file is empty" in empty.stderr) == (2, True)
