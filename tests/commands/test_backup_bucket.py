"""`crowd backup` and `crowd restore` of an installation whose files lie in a bucket."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crowd.cli import main
from crowd.core.backup import FILES, MANIFEST
from crowd.core.config import load_settings
from crowd.core.s3 import connect_s3
from crowd.core.storage import S3Storage
from crowd.images.rights import Rights
from crowd.images.service import Delivery, take_upload
from crowd.runtime import build_runtime
from tests.pictures import jpeg
from tests.s3 import S3Server, start_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with start_s3() as server:
        yield server


class Place:
    """An installation on SQLite with a bucket of its own."""

    def __init__(self, server: S3Server, data_dir: Path, template: Path | None) -> None:
        data_dir.mkdir()
        self.bucket = server.make_bucket()
        self.environ = {
            "DATABASE_URL": f"sqlite:///{data_dir / 'crowd.sqlite'}",
            "CROWD_DATA_DIR": str(data_dir),
            "CROWD_STORAGE": f"s3://{self.bucket}/crowd",
        }
        if template is not None:
            shutil.copyfile(template, data_dir / "crowd.sqlite")

    def crowd(self, *words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], env=self.environ)

    def take(self, *seeds: int) -> None:
        rt = build_runtime(load_settings(self.environ))
        for seed in seeds:
            take_upload(rt, jpeg(seed), Delivery("Shop", f"{seed}.jpg", Rights.OWNED), None)
        assert isinstance(rt.storage, S3Storage)
        export = rt.storage.path("exports/1/manifest.csv")
        export.write_text("id\n")
        rt.db.close()

    def objects(self, folder: Path) -> dict[str, bytes]:
        bucket, found = connect_s3(self.bucket), {}
        for name, _ in bucket.list("crowd/"):
            bucket.fetch(name, folder)
            found[name.removeprefix("crowd/")] = folder.read_bytes()
        return found


def test_what_lies_in_a_bucket_is_kept_and_comes_back(
    s3: S3Server, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, other = Place(s3, tmp_path / "one", sqlite_template), Place(s3, tmp_path / "two", None)
    place.take(1, 2)
    made = place.crowd("backup", tmp_path / "kept")
    assert made.exit_code == 0, made.output
    fetched: list[str] = []
    real = S3Storage.fetch

    def noted(storage: S3Storage, key: str, path: Path) -> None:
        fetched.append(key)
        real(storage, key, path)

    monkeypatch.setattr(S3Storage, "fetch", noted)
    place.take(3)
    again = place.crowd("backup", tmp_path / "kept")
    assert again.exit_code == 0, again.output
    assert len(fetched) == 3, "an original, its working image and its thumbnail are new"
    assert json.loads((tmp_path / "kept" / MANIFEST).read_text())["files"] == 3 * 3 + 1
    restored = other.crowd("restore", tmp_path / "kept")
    assert restored.exit_code == 0, restored.output
    assert other.objects(tmp_path / "aside") == place.objects(tmp_path / "aside")
    assert (tmp_path / "two/s3/exports/1/manifest.csv").read_text() == "id\n"


def test_an_object_lost_or_changed_is_told(s3: S3Server, sqlite_template: Path, tmp_path: Path) -> None:
    place = Place(s3, tmp_path / "one", sqlite_template)
    place.take(1)
    (lost,) = [name for name in place.objects(tmp_path / "aside") if name.startswith("originals/")]
    connect_s3(place.bucket).delete(f"crowd/{lost}")
    made = place.crowd("backup", tmp_path / "kept")
    assert made.exit_code == 1
    assert f"missing in the storage: {lost}" in made.stderr
    damaged = next((tmp_path / "kept" / FILES / "working").rglob("*.jpg"))
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    refused = place.crowd("restore", tmp_path / "kept", "--check")
    assert refused.exit_code == 2
    assert "damaged or missing" in refused.stderr
