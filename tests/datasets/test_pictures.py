"""A face that is covered after its release: what was written before is handed out no more; a note stays."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from crowd.cli import main
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.datasets import exports, jobs, service
from crowd.datasets.jobs import export_key, run_exports
from crowd.datasets.models import ReleasePicture
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.datasets.factories import Crowd
from tests.kinds import Answer, Bearer, Client, Headers, MakeWorker

API = "/api/v1"
FACE = [5, 5, 20, 20]


class House:
    """Three accepted images in a release, and an admin."""

    def __init__(self, rt: Runtime, client: Client, admin: Headers) -> None:
        self.rt, self.client, self.admin = rt, client, admin
        self.crowd = Crowd(rt)
        self.images = self.crowd.accept(3)
        self.release = self.freeze("first")
        self.url = f"{API}/releases/{self.release.id}"

    def freeze(self, name: str) -> AnyRow:
        return service.create_release(
            self.rt.db, name, taxonomy_id=self.crowd.taxonomy_id, by=None, now=clock.now()
        )

    def cover(self, image_id: int) -> None:
        body = {"regions": [FACE], "how": "mosaic", "reason": "a face was missed"}
        answer = self.client.post(f"{API}/images/{image_id}/cover", json=body, headers=self.admin)
        assert answer.status_code == 200, answer.text

    def order(self) -> Any:
        body = {"format": "coco"}
        return self.client.post(f"{self.url}/exports", json=body, headers=self.admin).json["job"]

    def get(self, url: str) -> Answer:
        return self.client.get(url, headers=self.admin)

    def delivered(self, job: Any) -> dict[int, str]:
        """SHA-256 of every image of a download, by its number."""
        with zipfile.ZipFile(io.BytesIO(self.get(f"{job['url']}/download").data)) as archive:
            return {
                int(Path(name).stem): hashlib.sha256(archive.read(name)).hexdigest()
                for name in archive.namelist()
                if name.endswith(".jpg")
            }

    def sheet(self, job: Any) -> str:
        folder = self.rt.storage.root / export_key(job["id"])
        return (folder / "SPECIFICATION.en.md").read_text(encoding="utf-8")


@pytest.fixture
def house(rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer) -> House:
    return House(rt, client, bearer(make_worker(Grade.ADMIN)[1]))


def test_a_covered_face_makes_a_new_revision_and_what_shows_it_is_not_handed_out_any_more(
    house: House,
) -> None:
    before = house.order()
    run_exports(house.rt)
    uncovered = house.delivered(before)
    first, second, _ = house.images
    house.cover(first)
    refused = house.get(f"{before['url']}/download")
    assert (refused.status_code, refused.json["code"]) == (409, "not_done")
    assert house.get(before["url"]).json["state"] == "superseded"
    house.cover(second)
    house.cover(second)
    shown = house.get(house.url).json
    assert (shown["images"], shown["revision"], shown["remade"], shown["withdrawn"]) == (3, 4, 2, 0)
    after = house.order()
    run_exports(house.rt)
    assert not (house.rt.storage.root / export_key(before["id"])).exists()
    covered = house.delivered(after)
    changed = {image for image in house.images if covered[image] != uncovered[image]}
    assert changed == {first, second}
    noted = house.get(f"{house.url}/pictures").json["items"]
    assert [(each["image_id"], each["revision"], each["what"]) for each in noted] == [
        (first, 2, "covered"),
        (second, 3, "covered"),
        (second, 4, "covered"),
    ]
    assert [each["before"] for each in noted] == [None, None, noted[1]["picture"]]
    assert (noted[0]["picture"], noted[2]["picture"]) == (covered[first], covered[second])
    assert "r4: 2 images were made anew since, faces covered or parts cut off" in house.sheet(after)
    page = house.get(f"{house.url}/pictures?limit=2").json
    rest = house.get(f"{house.url}/pictures?limit=2&cursor={page['next_cursor']}").json
    assert [*page["items"], *rest["items"]] == noted


def test_a_release_made_afterwards_begins_with_the_covered_picture(house: House) -> None:
    house.cover(house.images[0])
    with house.rt.db.read() as conn:
        later = house.freeze("second")
        assert (later.revision, later.remade) == (1, 0)
        earlier = service.find_release(conn, house.release.id)
    assert (earlier.revision, earlier.remade) == (2, 1)


def test_a_cover_and_a_withdrawal_count_revisions_together(house: House) -> None:
    first, second, _ = house.images
    house.cover(first)
    body = {"state": "withdrawn", "reason": "consent taken back"}
    answer = house.client.post(f"{API}/images/{second}/decide", json=body, headers=house.admin)
    assert answer.status_code == 200, answer.text
    shown = house.get(house.url).json
    assert (shown["images"], shown["revision"], shown["remade"], shown["withdrawn"]) == (2, 3, 1, 1)
    house.cover(first)
    assert house.get(house.url).json["revision"] == 4


def test_an_export_during_which_a_face_is_covered_is_not_handed_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE", 1)
    job = house.order()
    real = jobs.Held.keep

    def covering(held: jobs.Held, written: int) -> None:
        real(held, written)
        if written == 2:
            house.cover(house.images[0])

    monkeypatch.setattr(jobs.Held, "keep", covering)
    run_exports(house.rt)
    told = house.get(job["url"]).json
    assert told["state"] == "failed"
    assert "made anew" in told["error"]
    assert house.get(f"{job['url']}/download").status_code == 409
    assert not (house.rt.storage.root / export_key(job["id"])).exists()


def test_the_command_refuses_a_folder_during_which_a_face_was_covered(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = house.rt.settings
    environ = {
        "CROWD_DATA_DIR": str(settings.data_dir),
        "CROWD_STORAGE": settings.storage,
        "DATABASE_URL": settings.database_url,
    }
    real = exports._close

    def covering(*given: Any) -> None:
        house.cover(house.images[0])
        real(*given)

    monkeypatch.setattr(exports, "_close", covering)
    words = ["release", "export", "first", "--format", "coco", "--out", str(tmp_path / "out")]
    refused = CliRunner(env=environ).invoke(main, words)
    assert refused.exit_code == 2, refused.output
    assert "revision 2" in refused.output


def test_a_note_of_a_picture_is_never_changed(house: House) -> None:
    house.cover(house.images[0])
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), house.rt.db.begin() as conn:
        conn.execute(sa.delete(ReleasePicture))
