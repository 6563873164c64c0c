"""`crowd backup` and `crowd restore`: what comes back is what was there, and nothing else is taken."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from crowd.accounts import service as accounts
from crowd.commands import backup as commands
from crowd.commands.named_files import named_files
from crowd.core import dumps
from crowd.core.backup import FILES, MANIFEST
from crowd.core.config import SECRET_FILE
from crowd.core.db import Database
from crowd.core.migrate import alembic_config, upgrade
from crowd.core.supervisor import exclusive
from crowd.datasets.jobs import export_key
from crowd.datasets.models import Export, ExportState, Release
from crowd.images.contracts import NewContract, add_contract
from crowd.images.files import files_of
from crowd.images.models import Image, ImageEvent, Rights
from crowd.images.service import Delivery, keep_original, take_file, take_upload
from crowd.policy import Grade
from crowd.runtime import Runtime
from crowd.standalone import LOCK_FILE
from crowd.tasks import taxonomies
from crowd.tasks.models import CountDelta
from crowd.tiers import service as tiers
from tests.commands.drills import assert_consistent
from tests.commands.places import MakePlace, Place, places
from tests.pictures import jpeg

# For what has nothing to do with the kind of database: once is enough.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def _no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "CROWD_STORAGE", "CROWD_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_place(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[MakePlace]:
    """What makes places on empty databases, of the kind of the test's own."""
    with places(database_url.partition(":")[0].partition("+")[0], tmp_path, request) as make:
        yield make


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """An installation with a person, an image that is ready, one that is not, and a document."""
    place = Place(database_url, tmp_path / "data")
    with place.opened() as rt:
        with rt.db.begin() as conn:
            tiers.join(conn, "김민지", Grade.ADMIN, by=None)
        take_upload(rt, jpeg(1), Delivery("가게 100%", "하나.jpg", Rights.OWNED), None)
        agreed = NewContract(Rights.CONSENT, "all we have", None, None, ())
        contract_id = add_contract(rt, "shop", agreed, b"we agree", "agreed.txt", None)
        delivery = Delivery("shop", "two.jpg", Rights.CONSENT, contract_id=contract_id)
        sha256 = keep_original(rt, jpeg(2))
        with rt.db.begin() as conn:
            take_file(conn, rt.policy, sha256, delivery, None)
    return place


@pytest.fixture
def kept(place: Place, tmp_path: Path) -> Path:
    """A finished backup of it."""
    folder = tmp_path / "backup"
    made = place.crowd("backup", folder)
    assert made.exit_code == 0, made.output
    return folder


def _content(place: Place) -> dict[str, list[Any]]:
    """Every row of every table."""
    found = sa.MetaData()
    with place.opened() as rt, rt.db.read() as conn:
        found.reflect(conn)
        return {
            name: sorted(map(repr, conn.execute(sa.select(table)).all()))
            for name, table in found.tables.items()
        }


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return found


def _add_export(rt: Runtime, state: ExportState, *names: str) -> str:
    """A row of an export and its folder with these files; returns the folder's key."""
    taxonomy_id = taxonomies.ensure(rt.db, rt.taxonomy)
    with rt.db.begin() as conn:
        now = conn.scalar(sa.select(Image.created_at).limit(1))
        release = sa.insert(Release).values(name=f"release {state}", taxonomy_id=taxonomy_id, created_at=now)
        release_id = conn.execute(release).inserted_primary_key[0]  # type: ignore[index]
        export = sa.insert(Export).values(
            release_id=release_id, format="kfashion", layout="release", state=state, created_at=now
        )
        key = export_key(conn.execute(export).inserted_primary_key[0])  # type: ignore[index]
    for name in names:
        rt.storage.put(f"{key}/{name}", name.encode())
    return key


def test_what_comes_back_is_what_was_there(place: Place, kept: Path, make_place: MakePlace) -> None:
    other = make_place()
    restored = other.crowd("restore", kept)
    assert restored.exit_code == 0, restored.output
    assert _content(other) == _content(place)
    storage = place.data_dir / "storage"
    shutil.rmtree(storage / "tmp", ignore_errors=True)
    assert _files(other.data_dir / "storage") == _files(storage)
    assert len(_files(storage)) == 5


def test_a_restored_system_guards_its_history_and_counts_on(kept: Path, make_place: MakePlace) -> None:
    other = make_place()
    assert other.crowd("restore", kept).exit_code == 0
    with other.opened() as rt:
        with pytest.raises(sa.exc.DatabaseError, match="append-only"), rt.db.begin() as conn:
            conn.execute(sa.update(ImageEvent).values(round=7))
        taken = take_upload(rt, jpeg(3), Delivery("shop", "three.jpg", Rights.OWNED), None)
        assert taken.image_id == 3
        with rt.db.read() as conn:
            assert accounts.find_person_named(conn, "김민지").grade is Grade.ADMIN


def test_the_drills_notice_a_figure_that_came_back_wrong(place: Place, make_place: MakePlace) -> None:
    with place.opened() as rt, rt.db.begin() as conn:
        conn.execute(sa.delete(CountDelta))
    assert place.crowd("backup", place.data_dir.parent / "backup").exit_code == 0
    other = make_place()
    assert other.crowd("restore", place.data_dir.parent / "backup").exit_code == 0
    with other.opened() as rt, pytest.raises(AssertionError, match="not what they count"):
        assert_consistent(rt)


@ON_SQLITE
def test_an_image_that_comes_in_at_any_moment_has_its_files_or_no_row(
    place: Place, make_place: MakePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(50, 60))

    def preceded_by_an_upload(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*words: Any) -> Any:
            with place.opened() as rt:
                number = next(numbers)
                take_upload(rt, jpeg(number), Delivery("shop", f"{number}.jpg", Rights.OWNED), None)
            return step(*words)

        return stepped

    for step in (commands._dump, commands._back_up_files, commands._missing):
        monkeypatch.setattr(commands, step.__name__, preceded_by_an_upload(step))
    made = place.crowd("backup", tmp_path / "backup")
    assert made.exit_code == 0, made.output
    monkeypatch.undo()
    other = make_place()
    restored = other.crowd("restore", tmp_path / "backup")
    assert restored.exit_code == 0, restored.output
    with other.opened() as rt, rt.db.read() as conn:
        assert "50.jpg" in conn.scalars(sa.select(Image.file_name)).all()


@ON_SQLITE
def test_a_second_backup_reads_only_what_is_new(place: Place, kept: Path) -> None:
    before = {path: path.stat().st_ino for path in (kept / FILES).rglob("*") if path.is_file()}
    with place.opened() as rt:
        keep_original(rt, jpeg(4))
        files = list(named_files(rt.db))
    # It can tell by size and time alone: what lies in the backup is not read again.
    untouched = kept / FILES / files[0]
    status = untouched.stat()
    untouched.write_bytes(bytes(status.st_size))
    os.utime(untouched, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = place.crowd("backup", kept)
    assert again.exit_code == 0, again.output
    after = {path: path.stat().st_ino for path in (kept / FILES).rglob("*") if path.is_file()}
    assert before.items() < after.items()
    assert len(after) == len(before) + 1
    assert sorted(path.name.split("-")[0] for path in kept.iterdir()) == [
        "backup.json",
        "backup.lock",
        "database",
        "files",
        "storage",
    ]


@ON_SQLITE
def test_a_file_once_kept_stays_when_the_storage_loses_it(
    place: Place, kept: Path, make_place: MakePlace
) -> None:
    shutil.rmtree(place.data_dir / "storage" / "originals")
    again = place.crowd("backup", kept)
    assert again.exit_code == 0, again.output
    other = make_place()
    assert other.crowd("restore", kept).exit_code == 0
    assert len(_files(other.data_dir / "storage" / "originals")) == 2


@ON_SQLITE
def test_files_missing_from_the_start_are_told_and_come_back_as_missing(
    place: Place, make_place: MakePlace, tmp_path: Path
) -> None:
    lost = files_of(_sha256_of(place, 1)).working
    (place.data_dir / "storage" / lost).unlink()
    made = place.crowd("backup", tmp_path / "backup")
    assert made.exit_code == 1
    assert lost in made.stderr
    restored = make_place().crowd("restore", tmp_path / "backup")
    assert restored.exit_code == 0
    assert lost in restored.stderr


def _sha256_of(place: Place, image_id: int) -> bytes:
    with place.opened() as rt, rt.db.read() as conn:
        found: bytes = conn.scalar(sa.select(Image.sha256).where(Image.id == image_id))  # type: ignore[assignment]
        return found


@ON_SQLITE
def test_finished_exports_come_along_as_links_and_half_written_ones_stay_behind(
    place: Place, make_place: MakePlace, tmp_path: Path
) -> None:
    working = files_of(_sha256_of(place, 1)).working
    with place.opened() as rt:
        done = _add_export(rt, ExportState.DONE, "manifest.csv", ".export.json")
        (rt.storage.root / done / "1.jpg").hardlink_to(rt.storage.root / working)
        half = _add_export(rt, ExportState.RUNNING, "manifest.csv.part", ".export.json")
        with rt.storage.temporary():
            made = place.crowd("backup", tmp_path / "backup")
    assert made.exit_code == 0, made.output
    other = make_place()
    assert other.crowd("restore", tmp_path / "backup").exit_code == 0
    for root in (tmp_path / "backup" / FILES, other.data_dir / "storage"):
        assert sorted(os.listdir(root / done)) == [".export.json", "1.jpg", "manifest.csv"]
        assert (root / done / "1.jpg").samefile(root / working)
        assert not (root / half).exists()
        assert not (root / "tmp").exists()


@ON_SQLITE
def test_the_secret_key_comes_along_only_when_asked_for(
    place: Place, make_place: MakePlace, tmp_path: Path
) -> None:
    secret = (place.data_dir / SECRET_FILE).read_text()
    assert place.crowd("backup", tmp_path / "without").exit_code == 0
    assert not any(secret.encode() in content for content in _files(tmp_path / "without").values())
    assert place.crowd("backup", tmp_path / "with", "--with-secret-key").exit_code == 0
    other, third = make_place(), make_place()
    assert other.crowd("restore", tmp_path / "with").exit_code == 0
    assert (other.data_dir / SECRET_FILE).read_text() == secret
    assert third.crowd("restore", tmp_path / "without").exit_code == 0
    assert (third.data_dir / SECRET_FILE).read_text() != secret


@ON_SQLITE
def test_a_damaged_backup_is_refused_before_anything_is_touched(kept: Path, make_place: MakePlace) -> None:
    manifest = _manifest(kept)
    image = str(min((kept / FILES).glob("working/*/*/*")).relative_to(kept))
    other = make_place()
    for name, damage in (
        (manifest["dump"]["name"], _flip_a_bit),
        (manifest["file_list"]["name"], _flip_a_bit),
        (image, _flip_a_bit),
        (image, Path.unlink),
        (MANIFEST, Path.unlink),
        (MANIFEST, _cut),
    ):
        folder = shutil.copytree(kept, kept.with_name("damaged"))
        damage(folder / name)
        for words in ((), ("--check",)):
            refused = other.crowd("restore", folder, *words)
            assert refused.exit_code == 2
            assert name in refused.stderr
        assert _files(other.data_dir / "storage") == {}
        assert _is_empty(other)
        shutil.rmtree(folder)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _is_empty(place: Place) -> bool:
    if place.url.startswith("sqlite"):
        return not Path(place.url.removeprefix("sqlite:///")).exists()
    with place.opened() as rt, rt.db.read() as conn:
        return not sa.inspect(conn).get_table_names()


@ON_SQLITE
def test_a_sound_backup_is_said_to_be_sound_wherever_one_asks(kept: Path, tmp_path: Path) -> None:
    checked = Place("nonsense://", tmp_path / "nowhere").crowd("restore", kept, "--check")
    assert checked.exit_code == 0, checked.output
    assert "Sound backup" in checked.stdout


def test_a_database_with_rows_is_replaced_only_by_force(
    place: Place, kept: Path, make_place: MakePlace
) -> None:
    other = make_place()
    assert other.crowd("restore", kept).exit_code == 0
    with other.opened() as rt:
        with rt.db.begin() as conn:
            tiers.join(conn, "other", Grade.ADMIN, by=None)
        foreign = _add_export_folder(rt)
    before = _content(other)
    refused = other.crowd("restore", kept)
    assert refused.exit_code == 2
    assert "suppliers: 2" in refused.stderr
    assert _content(other) == before
    assert foreign.exists()
    forced = other.crowd("restore", kept, "--force")
    assert forced.exit_code == 0, forced.output
    assert _content(other) == _content(place)
    assert not foreign.exists()


def _add_export_folder(rt: Runtime) -> Path:
    rt.storage.put("exports/9/manifest.csv", b"another database's")
    return rt.storage.root / "exports" / "9"


@ON_SQLITE
def test_exports_of_another_database_are_not_taken_for_ones_own(kept: Path, make_place: MakePlace) -> None:
    other = make_place()
    with other.opened() as rt:
        _add_export_folder(rt)
    refused = other.crowd("restore", kept)
    assert refused.exit_code == 2
    assert "exports" in refused.stderr
    assert _is_empty(other)


def test_a_database_that_somebody_uses_is_not_replaced(place: Place, kept: Path) -> None:
    with place.opened() as rt:
        with rt.db.read() as conn:
            conn.execute(sa.select(Image.id))
        refused = place.crowd("restore", kept, "--force")
    assert refused.exit_code == 2
    assert "DATABASE_URL" in refused.stderr
    assert place.crowd("restore", kept, "--force").exit_code == 0


@ON_POSTGRESQL
def test_a_client_on_a_database_that_is_still_empty_is_noticed(kept: Path, make_place: MakePlace) -> None:
    other = make_place()
    upgrade(other.settings.database_url)
    with _connected(other):
        refused = other.crowd("restore", kept)
    assert refused.exit_code == 2
    assert "stop web processes" in refused.stderr
    assert _files(other.data_dir / "storage") == {}, "it is said before anything is copied"
    assert other.crowd("restore", kept).exit_code == 0


def test_rows_that_appear_while_files_are_copied_are_not_replaced(
    place: Place, kept: Path, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_place()
    upgrade(other.settings.database_url)
    _follow(monkeypatch, commands, "_bring_files", lambda: _hire(other))
    refused = other.crowd("restore", kept)
    assert refused.exit_code == 2
    assert "not empty any more" in refused.stderr
    assert len(_content(other)["workers"]) == 1
    assert len(_content(other)["images"]) == 0
    monkeypatch.undo()
    assert other.crowd("restore", kept, "--force").exit_code == 0
    assert _content(other) == _content(place)


@ON_POSTGRESQL
@pytest.mark.parametrize("words", [(), ("--force",)], ids=["empty", "forced"])
def test_a_client_that_comes_while_files_are_copied_is_noticed(
    kept: Path, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    other = make_place()
    upgrade(other.settings.database_url)
    with ExitStack() as stack:
        _follow(monkeypatch, commands, "_bring_files", lambda: stack.enter_context(_connected(other)))
        refused = other.crowd("restore", kept, *words)
    assert refused.exit_code == 2
    assert "stop web processes" in refused.stderr
    assert len(_content(other)["images"]) == 0


@ON_POSTGRESQL
def test_whoever_comes_after_the_last_look_is_noticed_by_the_loading_itself(
    kept: Path, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_place()
    upgrade(other.settings.database_url)
    with ExitStack() as stack:
        _follow(monkeypatch, dumps, "_guards", lambda: stack.enter_context(_connected(other)))
        forced = other.crowd("restore", kept, "--force")
        monkeypatch.undo()
    _follow(monkeypatch, dumps, "_guards", lambda: _hire(other))
    refused = other.crowd("restore", kept)
    assert (forced.exit_code, refused.exit_code) == (2, 2)
    assert "stop web processes" in forced.stderr
    assert "not empty any more" in refused.stderr
    assert len(_content(other)["workers"]) == 1
    assert len(_content(other)["images"]) == 0


@contextmanager
def _connected(place: Place) -> Iterator[None]:
    """A process that has a connection to the database and asks nothing at the moment."""
    with place.opened() as rt:
        with rt.db.read() as conn:
            conn.execute(sa.select(Image.id))
        yield


def _hire(place: Place) -> None:
    """Somebody is added, by a process that is gone at once."""
    with place.opened() as rt, rt.db.begin() as conn:
        tiers.join(conn, "박서준", Grade.GENERAL, by=None)


def _follow(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, happening: Callable[[], object]) -> None:
    """Have something happen right after a step."""
    step = getattr(module, name)

    def followed(*words: Any) -> Any:
        result = step(*words)
        happening()
        return result

    monkeypatch.setattr(module, name, followed)


@ON_POSTGRESQL
def test_a_dump_that_cannot_be_loaded_leaves_the_database_as_it_was(
    place: Place, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _content(place)
    dump = kept / _manifest(kept)["dump"]["name"]
    dump.write_bytes(dump.read_bytes()[:-3000])
    # As if the disk had failed between the check and the loading.
    monkeypatch.setattr("crowd.commands.backup._check", lambda folder, manifest: None)
    failed = place.crowd("restore", kept, "--force")
    assert failed.exit_code == 2
    assert "pg_restore" in failed.stderr
    assert _content(place) == before


@ON_SQLITE
def test_a_running_standalone_is_refused(kept: Path, make_place: MakePlace) -> None:
    other = make_place()
    with exclusive(other.settings.data_dir / LOCK_FILE):
        refused = other.crowd("restore", kept)
    assert refused.exit_code == 2
    assert "stop it first" in refused.stderr
    assert _is_empty(other)


def test_a_backup_of_the_other_kind_of_database_is_refused(kept: Path, tmp_path: Path) -> None:
    kind = _manifest(kept)["dump"]["kind"]
    url = "postgresql://nobody@127.0.0.1:1/none" if kind == "sqlite" else f"sqlite:///{tmp_path}/x.sqlite"
    refused = Place(url, tmp_path / "data").crowd("restore", kept)
    assert refused.exit_code == 2
    assert f"one of {kind}" in refused.stderr


@ON_SQLITE
def test_a_backup_of_a_newer_version_is_refused(kept: Path, make_place: MakePlace) -> None:
    for changes, said in (({"format": 99, "later": True}, "newer version"), ({}, "migration 9999")):
        manifest = _manifest(kept)
        manifest["dump"]["migration"] = "9999"
        folder = shutil.copytree(kept, kept.with_name(said))
        (folder / MANIFEST).write_text(json.dumps(manifest | changes))
        other = make_place()
        refused = other.crowd("restore", folder)
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert _is_empty(other)


def test_an_older_backup_is_brought_to_the_newest_migration(make_place: MakePlace, tmp_path: Path) -> None:
    revisions = [each.revision for each in ScriptDirectory.from_config(alembic_config("")).walk_revisions()]
    if len(revisions) == 1:
        pytest.skip("there is only one migration")
    older, newer = make_place(), make_place()
    upgrade(older.settings.database_url, revisions[-1])
    made = older.crowd("backup", tmp_path / "backup")
    assert made.exit_code == 0, made.output
    assert _manifest(tmp_path / "backup")["dump"]["migration"] == revisions[-1]
    restored = newer.crowd("restore", tmp_path / "backup")
    assert restored.exit_code == 0, restored.output
    assert "(the newest)" in newer.crowd("db", "current").stdout


@ON_SQLITE
def test_what_cannot_be_kept_is_refused_in_words(place: Place, make_place: MakePlace, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "holiday.jpg").touch()
    (tmp_path / "file").touch()
    refusals = {
        "holds something other": place.crowd("backup", full),
        "must lie apart": place.crowd("backup", place.data_dir / "storage" / "backup"),
        "never set up": make_place().crowd("backup", tmp_path / "c"),
        "there is no backup": make_place().crowd("restore", full),
        "is a file": place.crowd("backup", tmp_path / "file"),
    }
    for said, refused in refusals.items():
        assert refused.exit_code == 2, said
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
    assert os.listdir(full) == ["holiday.jpg"]


@ON_SQLITE
def test_two_backups_into_one_folder_at_once_are_refused(place: Place, kept: Path) -> None:
    with exclusive(kept / "backup.lock"):
        refused = place.crowd("backup", kept)
    assert refused.exit_code == 2
    assert "another backup" in refused.stderr


@ON_SQLITE
def test_a_killed_backup_goes_on_and_the_earlier_one_counts_until_then(
    place: Place, kept: Path, make_place: MakePlace
) -> None:
    with place.opened() as rt:
        for number in range(600):
            path = rt.storage.path(f"originals/more/{number}")
            path.write_bytes(number.to_bytes(4) * 1000)
    before = _manifest(kept)
    killed = place.spawn("backup", kept)
    copied = kept / FILES / "originals" / "more"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (copied.is_dir() and len(os.listdir(copied)) > 20):
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert 20 < len(os.listdir(copied)) < 600
    assert _manifest(kept) == before
    assert place.crowd("restore", kept, "--check").exit_code == 0
    inodes = {path.name: path.stat().st_ino for path in copied.glob("[0-9]*")}
    assert place.crowd("backup", kept).exit_code == 0
    assert _manifest(kept)["files"] == before["files"] + 600
    assert sum((copied / name).stat().st_ino == inode for name, inode in inodes.items()) >= len(inodes) - 1
    assert make_place().crowd("restore", kept).exit_code == 0


def test_writers_go_on_while_sqlite_is_copied_and_the_copy_shows_one_moment(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/crowd.sqlite")
    with database.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE filler (id INTEGER PRIMARY KEY, text TEXT)")
        conn.exec_driver_sql("CREATE TABLE pairs (n INTEGER)")
        rows = [("x" * 3000,) for _ in range(8000)]
        conn.exec_driver_sql("INSERT INTO filler (text) VALUES (?)", rows)
    steps: list[int] = []

    def write(done: int) -> None:
        steps.append(done)
        # One that starts anew at every write never gets to its end.
        assert len(steps) < 100
        with database.begin() as conn:
            conn.exec_driver_sql("INSERT INTO pairs VALUES (1)")
            conn.exec_driver_sql("UPDATE filler SET text = 'y' WHERE id IN (1, 8000)")

    with dumps.snapshot(database) as conn:
        dumps.dump(conn, tmp_path / "copy", write)
    database.close()
    assert len(steps) > 3
    assert steps == sorted(steps)
    copy = sqlite3.connect(f"file:{tmp_path}/copy?immutable=1", uri=True)
    assert copy.execute("SELECT count(*) FROM pairs").fetchone() == (0,)
    assert copy.execute("SELECT count(*) FROM filler WHERE text = 'y'").fetchone() == (0,)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()


@ON_POSTGRESQL
@pytest.mark.parametrize(("version", "said"), [("9.6.24", "version 9"), (None, "not installed here")])
def test_tools_older_than_the_server_are_told_with_what_to_install(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore", "psql") if version else ():
        tool = folder / name
        tool.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(dumps, "INSTALLED", str(tmp_path / "none/*/bin"))
    refused = place.crowd("backup", tmp_path / "backup")
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert "postgresql-client-" in refused.stderr
    assert not (tmp_path / "backup" / MANIFEST).exists()


@ON_POSTGRESQL
def test_a_pooler_is_refused_at_once_with_what_to_name_instead(
    kept: Path, make_place: MakePlace, tmp_path: Path
) -> None:
    other = make_place()
    for words in (("backup", tmp_path / "new"), ("restore", kept), ("restore", kept, "--force")):
        refused = other.crowd(*words, CROWD_DB_POOLER="transaction")
        assert refused.exit_code == 2
        assert "PostgreSQL's own address" in refused.stderr
        assert "CROWD_DB_POOLER" in refused.stderr
    assert not (tmp_path / "new").exists()
    assert _is_empty(other)
    assert other.crowd("restore", kept, "--check", CROWD_DB_POOLER="transaction").exit_code == 0


@ON_POSTGRESQL
def test_no_password_stands_on_a_command_line(place: Place) -> None:
    url = place.url.replace("postgres@", "postgres:geheim%40@")
    database = Database(url)
    try:
        assert "geheim" not in dumps._conninfo(database.engine)
        with dumps._running(["env"], database.engine, stdout=subprocess.PIPE) as (process, _):
            assert process.stdout is not None
            assert b"PGPASSWORD=geheim@\n" in process.stdout.read()
    finally:
        database.close()
