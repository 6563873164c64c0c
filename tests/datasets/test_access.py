"""Releases that live on: revised when an image is withdrawn, compared, asked for, fetched, and tried."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from crowd.cli import main
from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.datasets import queries, service
from crowd.datasets.exports import Place, write_export
from crowd.datasets.jobs import export_key, run_exports
from crowd.datasets.models import AccessRequest, Tombstone
from crowd.images.history import Happening, record
from crowd.images.models import What
from crowd.policy import Grade, Stage
from crowd.policy.targets import Targets
from crowd.runtime import Runtime
from tests.datasets.factories import ATTRIBUTES, THEN, Crowd
from tests.kinds import Bearer, Client, MakeWorker

API = "/api/v1"


@pytest.fixture
def crowd(rt: Runtime) -> Crowd:
    return Crowd(rt)


def freeze(crowd: Crowd, name: str = "first") -> AnyRow:
    return service.create_release(crowd.rt.db, name, taxonomy_id=crowd.taxonomy_id, by=None, now=clock.now())


def withdraw(crowd: Crowd, image_id: int) -> None:
    with crowd.rt.db.begin() as conn:
        record(conn, image_id, Happening(What.WITHDRAWN, why={"reason": "consent taken back"}), THEN)


def written(crowd: Crowd, release: AnyRow, folder: Path) -> set[int]:
    with crowd.rt.db.read() as conn:
        plan = service.plan(conn, crowd.rt, release.id, "coco", None)
    write_export(crowd.rt.db, crowd.rt.storage, plan, Place(folder, link=False), lambda _: None)
    return {int(path.stem) for path in folder.rglob("*.jpg")}


def test_a_withdrawn_image_leaves_a_tombstone_and_a_new_revision(crowd: Crowd, tmp_path: Path) -> None:
    images = crowd.accept(5)
    release = freeze(crowd)
    assert written(crowd, release, tmp_path / "before") == set(images)
    withdraw(crowd, images[1])
    service.revise(crowd.rt.db, release.id, clock.now())
    service.revise(crowd.rt.db, release.id, clock.now())
    withdraw(crowd, images[3])
    service.revise(crowd.rt.db, release.id, clock.now())
    with crowd.rt.db.read() as conn:
        found = service.find_release(conn, release.id)
        stones = queries.tombstones(conn, release.id, after=0, limit=10)
    assert (found.images, found.withdrawn, found.revision) == (3, 2, 3)
    assert [(row.image_id, row.revision) for row in stones] == [(images[1], 2), (images[3], 3)]
    assert written(crowd, release, tmp_path / "after") == {images[0], images[2], images[4]}
    assert json.loads((tmp_path / "after/croissant.json").read_text())["version"] == "3.0.0"
    assert freeze(crowd, "second").images == 3


def test_a_tombstone_is_never_moved(crowd: Crowd) -> None:
    (image,) = crowd.accept(1)
    release = freeze(crowd)
    withdraw(crowd, image)
    service.revise(crowd.rt.db, release.id, clock.now())
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), crowd.rt.db.begin() as conn:
        conn.execute(sa.delete(Tombstone))


def test_files_with_a_withdrawn_image_are_not_handed_out_and_go(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    images = crowd.accept(4)
    release = freeze(crowd)
    admin = bearer(make_worker(Grade.ADMIN)[1])
    url = f"{API}/releases/{release.id}"
    job = client.post(f"{url}/exports", json={"format": "coco"}, headers=admin).json["job"]
    waiting = client.post(f"{url}/exports", json={"format": "coco"}, headers=admin).json["job"]
    with crowd.rt.db.begin() as conn:
        conn.execute(sa.text("UPDATE exports SET run_after = NULL WHERE id = :id"), {"id": waiting["id"]})
    run_exports(crowd.rt)
    whole = client.get(f"{job['url']}/download", headers=admin)
    assert (whole.status_code, whole.data[:2]) == (200, b"PK")
    withdraw(crowd, images[0])
    refused = client.get(f"{job['url']}/download", headers=admin)
    assert (refused.status_code, refused.json["code"]) == (409, "not_done")
    assert client.get(job["url"], headers=admin).json["state"] == "superseded"
    with crowd.rt.db.begin() as conn:
        conn.execute(
            sa.text("UPDATE exports SET run_after = created_at WHERE id = :id"), {"id": waiting["id"]}
        )
    run_exports(crowd.rt)
    late = client.get(waiting["url"], headers=admin).json
    assert late["state"] == "failed"
    assert "withdrawn" in late["error"]
    assert not (crowd.rt.storage.root / export_key(job["id"])).exists()
    shown = client.get(url, headers=admin).json
    assert (shown["images"], shown["withdrawn"], shown["revision"]) == (3, 1, 2)
    listed = client.get(f"{url}/tombstones", headers=admin).json["items"]
    assert [each["image_id"] for each in listed] == [images[0]]


def test_two_releases_differ_in_what_came_went_and_was_labelled_anew(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, relabelled, gone = crowd.accept(3)
    one = freeze(crowd, "one")
    with crowd.rt.db.begin() as conn:
        crowd.label(conn, relabelled, Stage.ATTRIBUTES, ATTRIBUTES)
    (added,) = crowd.accept(1, first=3)
    withdraw(crowd, gone)
    other = freeze(crowd, "two")
    admin = bearer(make_worker(Grade.ADMIN)[1])
    url = f"{API}/releases/{one.id}/diff/{other.id}"
    told = client.get(url, headers=admin).json
    sizes = {change: size for change, size in told["sizes"].items() if change != "moved"}
    assert sizes == {"added": 1, "removed": 1, "relabelled": 1}
    by_image = {each["image_id"]: each for each in told["items"]}
    assert "relabelled" in by_image[relabelled]["what"]
    assert by_image[relabelled]["stages"] == ["attributes"]
    assert by_image[gone]["what"] == ["removed"]
    assert by_image[gone]["split_after"] is None
    assert by_image[added]["what"] == ["added"]
    assert by_image.get(same, {"what": ["moved"]})["what"] == ["moved"]
    first = client.get(f"{url}?limit=1", headers=admin).json
    rest = client.get(f"{url}?cursor={first['next_cursor']}", headers=admin).json
    assert first["items"] + rest["items"] == told["items"]
    assert client.get(f"{API}/releases/{one.id}/diff/999", headers=admin).status_code == 404
    settings = crowd.rt.settings
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CROWD_STORAGE", str(settings.storage))
    monkeypatch.setenv("CROWD_DATA_DIR", str(settings.data_dir))
    result = CliRunner().invoke(main, ["release", "diff", "one", "two", "--images"])
    assert result.exit_code == 0, result.output
    assert "1 added, 1 removed, 1 relabelled" in result.output
    assert f"{relabelled}  " in result.output


def test_a_release_is_fetched_by_request_and_approval_and_every_fetch_is_noted(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    crowd.accept(2)
    release = freeze(crowd)
    admin, person = bearer(make_worker(Grade.ADMIN)[1]), bearer(make_worker(Grade.GENERAL)[1])
    url = f"{API}/releases/{release.id}"
    job = client.post(f"{url}/exports", json={"format": "webdataset"}, headers=admin).json["job"]
    run_exports(crowd.rt)

    def fetch(who: dict[str, str]) -> Any:
        answer = client.get(f"{job['url']}/download", headers=who)
        assert answer.data
        return answer

    assert (fetch(person).status_code, fetch(person).json["code"]) == (403, "not_granted")
    assert client.get(f"{url}/exports", headers=person).status_code == 403
    assert offered(client, person) is None
    assert client.post(f"{url}/requests", json={}, headers=person).status_code == 422
    asked = client.post(f"{url}/requests", json={"purpose": "a thesis"}, headers=person)
    assert (asked.status_code, asked.json["verdict"]) == (201, None)
    again = client.post(f"{url}/requests", json={"purpose": "a thesis"}, headers=person)
    assert (again.status_code, again.json["code"]) == (409, "already_asked")
    assert fetch(person).status_code == 403
    decide = f"{url}/requests/{asked.json['id']}"
    assert client.post(f"{decide}/approve", json={"reason": "ok"}, headers=person).status_code == 403
    assert client.post(f"{decide}/approve", json={"reason": " "}, headers=admin).status_code == 422
    assert client.post(f"{decide}/revoke", json={"reason": "ok"}, headers=admin).status_code == 409
    denied = client.post(f"{decide}/deny", json={"reason": "say more"}, headers=admin).json
    assert (denied["verdict"], denied["reason"]) == ("denied", "say more")
    assert fetch(person).status_code == 403
    assert client.post(f"{decide}/approve", json={"reason": "explained"}, headers=admin).status_code == 200
    assert offered(client, person) == "approved"
    (listed,) = client.get(f"{url}/exports", headers=person).json["items"]
    assert listed["download"] == f"{job['url']}/download"
    assert fetch(person).status_code == 200
    assert fetch(admin).status_code == 200
    assert client.post(f"{decide}/revoke", json={"reason": "misused"}, headers=admin).status_code == 200
    assert fetch(person).status_code == 403
    log = client.get(f"{url}/downloads", headers=admin).json["items"]
    assert [(each["format"], each["request_id"]) for each in log] == [
        ("webdataset", asked.json["id"]),
        ("webdataset", None),
    ]
    assert client.get(f"{url}/downloads", headers=person).status_code == 403
    assert len(client.get(f"{url}/requests", headers=admin).json["items"]) == 1
    other = bearer(make_worker(Grade.GENERAL)[1])
    assert client.get(f"{url}/requests", headers=other).json["items"] == []


def offered(client: Client, who: dict[str, str]) -> str | None:
    (item,) = client.get(f"{API}/catalogue", headers=who).json["items"]
    access: str | None = item["access"]
    return access


def test_the_form_tells_what_its_makers_said_what_was_withdrawn_and_how_values_are_distributed(
    crowd: Crowd, tmp_path: Path
) -> None:
    images = crowd.accept(5)
    about = {"author": "A <house>", "coverage": "one shop"}
    release = service.create_release(
        crowd.rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=THEN, about=about
    )
    withdraw(crowd, images[0])
    service.revise(crowd.rt.db, release.id, clock.now())
    written(crowd, release, tmp_path / "out")
    english = (tmp_path / "out/SPECIFICATION.en.md").read_text()
    for line in (
        "| Author, distributor | A &lt;house> |",
        "| Source | 1 suppliers |",
        "| Revision history | New; r2: 1 images were taken out since, their right withdrawn |",
        "| Size | 4 images, 4 garments |",
        "| Ribbon | 4 | 100.00 |",
        "| Street | 1 | 25.00 | 48.07 |",
    ):
        assert line in english
    assert "one shop; " in english
    page = (tmp_path / "out/SPECIFICATION.ko.html").read_text()
    assert "<th>작성자/배포자</th><td>A &lt;house&gt;</td>" in page
    assert '<html lang="ko">' in page


def test_nobody_approves_their_own_request(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    crowd.accept(1)
    url = f"{API}/releases/{freeze(crowd).id}/requests"
    admin = bearer(make_worker(Grade.ADMIN)[1])
    asked = client.post(url, json={"purpose": "mine"}, headers=admin).json
    refused = client.post(f"{url}/{asked['id']}/approve", json={"reason": "mine"}, headers=admin)
    assert (refused.status_code, refused.json["code"]) == (403, "own_request")
    assert client.post(f"{url}/999/approve", json={"reason": "x"}, headers=admin).status_code == 404
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), crowd.rt.db.begin() as conn:
        conn.execute(sa.update(AccessRequest).values(purpose="another"))


def test_test_results_are_attached_to_a_release(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    crowd.accept(1)
    url = f"{API}/releases/{freeze(crowd).id}/results"
    admin = bearer(make_worker(Grade.ADMIN)[1])
    body = {"model": "styles-1", "split": "test", "figures": {"mAP": 0.61, "CF1": 0.5}}
    assert client.post(url, json=body, headers=admin).status_code == 201
    assert client.post(url, json={**body, "model_id": 999}, headers=admin).status_code == 422
    assert client.post(url, json={**body, "figures": {}}, headers=admin).status_code == 422
    (item,) = client.get(url, headers=admin).json["items"]
    assert (item["model"], item["split"], item["figures"]) == ("styles-1", "test", body["figures"])


def test_what_its_makers_say_of_a_release_is_kept_and_checked(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    crowd.accept(1)
    admin = bearer(make_worker(Grade.ADMIN)[1])
    bad = client.post(f"{API}/releases", json={"name": "x", "about": {"colour": "red"}}, headers=admin)
    assert (bad.status_code, list(bad.json["errors"])) == (422, ["about.colour"])
    body = {"name": "spring", "about": {"author": "A house", "license": "CC BY 4.0"}}
    made = client.post(f"{API}/releases", json=body, headers=admin)
    assert (made.status_code, made.json["about"]) == (201, body["about"])


def test_the_sheet_tells_progress_against_targets_and_the_results_of_models_trained_on_it(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer, tmp_path: Path
) -> None:
    crowd.accept(6)
    targets = Targets(1000, {"A shop": 24, "A house": 10})
    policy = replace(crowd.rt.policy, targets=targets, name_suppliers=True)
    release = service.create_release(
        crowd.rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=THEN, policy=policy
    )
    body = {"model": "styles-1", "figures": {"mAP": 0.61}}
    admin = bearer(make_worker(Grade.ADMIN)[1])
    assert client.post(f"{API}/releases/{release.id}/results", json=body, headers=admin).status_code == 201
    written(crowd, release, tmp_path / "out")
    told = json.loads((tmp_path / "out/statistics.json").read_text())
    assert told["images"] == {"count": 6, "target": 1000}
    assert told["suppliers"] == {
        "A house": {"images": 0, "target": 10},
        "A shop": {"images": 6, "target": 24},
    }
    assert told["styles"]["street"]["images"] == 2
    wanted = [style["target"] for style in told["styles"].values() if style["target"]]
    assert abs(sum(wanted) - 1000) <= len(wanted), "each is a rounded share of all"
    (result,) = told["results"]
    assert (result["model"], result["split"], result["figures"]) == ("styles-1", "test", {"mAP": 0.61})
    english = (tmp_path / "out/SPECIFICATION.en.md").read_text()
    for line in (
        "| all (target quantity 1,000) | 6 | 0.60 |",
        "| A shop (target quantity 24) | 6 | 25.00 |",
        "| A house (target quantity 10) | 0 | 0.00 |",
        f"| styles-1 | test | mAP 0.61 | {result['at'][:10]} |",
    ):
        assert line in english
    page = (tmp_path / "out/SPECIFICATION.ko.html").read_text()
    assert "공급처별 목표 대비 (%)" in page
    assert "<td>mAP 0.61</td>" in page
    assert "| styles-1 | test | mAP 0.61 |" in (tmp_path / "out/README.md").read_text()


def test_suppliers_are_numbers_in_what_is_handed_out_unless_the_policy_names_them(
    crowd: Crowd, tmp_path: Path
) -> None:
    crowd.accept(2)
    targets = Targets(1000, {"A shop": 24, "A house": 10, "A mill": 5})
    policy = replace(crowd.rt.policy, targets=targets)
    release = service.create_release(
        crowd.rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=THEN, policy=policy
    )
    written(crowd, release, tmp_path / "out")
    told = json.loads((tmp_path / "out/statistics.json").read_text())
    assert told["suppliers"] == {
        "others": {"images": 0, "target": 15},
        f"supplier {crowd.supplier_id}": {"images": 2, "target": 24},
    }
    for sheet in tmp_path.joinpath("out").glob("*.[mhj]*"):
        assert not any(name in sheet.read_text(encoding="utf-8") for name in targets.suppliers), sheet.name
