"""What a release holds, and that nothing changes it afterwards."""

from datetime import date

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Unprocessable
from crowd.datasets import queries, service
from crowd.datasets.models import Release, ReleaseImage
from crowd.datasets.records import Split
from crowd.images.history import Happening, record
from crowd.images.models import What
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from tests.datasets.factories import ATTRIBUTES, REGIONS, THEN, Crowd
from tests.kinds import Bearer, Client, MakeWorker


@pytest.fixture
def crowd(rt: Runtime) -> Crowd:
    return Crowd(rt)


def freeze(crowd: Crowd, name: str = "first") -> AnyRow:
    return service.create_release(crowd.rt.db, name, taxonomy_id=crowd.taxonomy_id, by=None, now=clock.now())


def held(crowd: Crowd, release_id: int) -> list[AnyRow]:
    columns = ReleaseImage.__table__.columns
    with crowd.rt.db.read() as conn:
        statement = sa.select(*columns).where(columns.release_id == release_id).order_by(columns.image_id)
        return list(conn.execute(statement))


def reopen(crowd: Crowd, image_id: int) -> None:
    with crowd.rt.db.begin() as conn:
        record(conn, image_id, Happening(What.REOPENED, target=Stage.STYLES), THEN)
        crowd.label(conn, image_id, Stage.STYLES, {"styles": ["country"], "unsure": False})


def test_only_accepted_images_are_released(crowd: Crowd) -> None:
    first, second, third = crowd.accept(3)
    reopen(crowd, second)
    release = freeze(crowd)
    assert [row.image_id for row in held(crowd, release.id)] == [first, third]
    assert release.images == 2


def test_a_release_holds_the_newest_labels_of_each_stage(crowd: Crowd) -> None:
    (image,) = crowd.accept(1)
    with crowd.rt.db.begin() as conn:
        ids = [
            crowd.label(conn, image, Stage.SEGMENTATION, REGIONS),
            crowd.label(conn, image, Stage.ATTRIBUTES, ATTRIBUTES),
            crowd.label(conn, image, Stage.STYLES, {"styles": ["country"], "unsure": False}),
        ]
    (row,) = held(crowd, freeze(crowd).id)
    assert [row.segmentation_id, row.attributes_id, row.styles_id] == ids


def test_an_image_relabelled_later_stays_in_the_release_as_it_was(crowd: Crowd) -> None:
    (image,) = crowd.accept(1)
    release = freeze(crowd)
    before = held(crowd, release.id)
    reopen(crowd, image)
    assert held(crowd, release.id) == before
    with crowd.rt.db.read() as conn:
        (row,) = queries.release_page(conn, release.id, after=0, limit=10)
    assert row.styles["styles"] == ["street"]


def test_a_hundred_images_are_split_eighty_ten_ten(crowd: Crowd) -> None:
    crowd.accept(100)
    release = freeze(crowd)
    with crowd.rt.db.read() as conn:
        assert queries.split_sizes(conn, release.id) == {
            Split.TRAIN: 80,
            Split.VALIDATION: 10,
            Split.TEST: 10,
        }


def test_the_main_style_decides_about_the_split(crowd: Crowd) -> None:
    crowd.accept(20, style="street")
    crowd.accept(20, first=20, style="resort")
    with crowd.rt.db.snapshot() as conn:
        styles = [row.main_style for row in queries.accepted_images(conn, THEN.date())]
    assert styles == ["street"] * 20 + ["resort"] * 20


@pytest.mark.parametrize("name", ["", "a b", "été", "a/b", "x" * 101, "..", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(crowd: Crowd, name: str) -> None:
    crowd.accept(1)
    with pytest.raises(Unprocessable) as refused:
        freeze(crowd, name)
    assert list(refused.value.errors or {}) == ["name"]


def test_a_name_is_given_once(crowd: Crowd) -> None:
    crowd.accept(1)
    freeze(crowd)
    with pytest.raises(Conflict) as refused:
        freeze(crowd)
    assert refused.value.code == "release_exists"


def test_of_two_that_give_one_name_at_once_the_second_is_told(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd.accept(1)
    real = queries.accepted_images

    def overtaken(conn: sa.Connection, today: date) -> list[AnyRow]:
        rows = list(real(conn, today))
        monkeypatch.setattr(queries, "accepted_images", real)
        conn.rollback()
        freeze(crowd)
        return rows

    monkeypatch.setattr(queries, "accepted_images", overtaken)
    with pytest.raises(Conflict) as refused:
        freeze(crowd)
    assert refused.value.code == "release_exists"


def test_nothing_accepted_is_no_release(crowd: Crowd) -> None:
    with pytest.raises(Conflict) as refused:
        freeze(crowd)
    assert refused.value.code == "nothing_accepted"


def test_a_release_that_breaks_off_leaves_nothing(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd.accept(5)
    monkeypatch.setattr(service, "CHUNK", 2)
    real, chunks = queries.add_release_images, []

    def breaks_off(conn: sa.Connection, rows: list[dict[str, object]]) -> None:
        chunks.append(rows)
        if len(chunks) == 3:
            raise OSError("the power went off")
        real(conn, rows)

    monkeypatch.setattr(queries, "add_release_images", breaks_off)
    with pytest.raises(OSError, match="power"):
        freeze(crowd)
    with crowd.rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Release)).scalar_one() == 0
        assert conn.execute(sa.select(sa.func.count()).select_from(ReleaseImage)).scalar_one() == 0


def test_an_accepted_image_without_all_labels_is_named(crowd: Crowd) -> None:
    crowd.accept(2)
    (image,) = crowd.accept(1, first=2, lacking=Stage.STYLES)
    with pytest.raises(Conflict, match=f"Image {image} ") as refused:
        freeze(crowd)
    assert refused.value.code == "labels_incomplete"


@pytest.mark.parametrize("table", ["releases", "release_images"])
def test_the_database_refuses_to_change_a_release(crowd: Crowd, table: str) -> None:
    crowd.accept(2)
    freeze(crowd)
    column = "id" if table == "releases" else "release_id"
    for change in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), crowd.rt.db.begin() as conn:
            conn.execute(sa.text(change))


def test_an_admin_freezes_and_finds_releases(
    crowd: Crowd, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    crowd.accept(10)
    admin = bearer(make_worker(Grade.ADMIN)[1])
    made = client.post("/api/v1/releases", json={"name": "spring"}, headers=admin)
    assert made.status_code == 201, made.json
    release = made.json
    assert release["images"] == 10
    assert release["splits"] == {"train": 8, "validation": 1, "test": 1}
    assert client.get(f"/api/v1/releases/{release['id']}", headers=admin).json == release
    assert client.post("/api/v1/releases", json={"name": "summer"}, headers=admin).status_code == 201
    first = client.get("/api/v1/releases?limit=1", headers=admin).json
    rest = client.get(f"/api/v1/releases?cursor={first['next_cursor']}", headers=admin).json
    assert [row["name"] for row in first["items"] + rest["items"]] == ["spring", "summer"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "a b"}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"name": 7}, 422, "invalid"),
        ({"name": "spring"}, 409, "nothing_accepted"),
    ],
)
def test_a_release_that_cannot_be_is_refused_with_its_reason(
    crowd: Crowd,
    client: Client,
    make_worker: MakeWorker,
    bearer: Bearer,
    body: dict[str, object],
    status: int,
    code: str,
) -> None:
    answer = client.post("/api/v1/releases", json=body, headers=bearer(make_worker(Grade.ADMIN)[1]))
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_releases_are_for_admins(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    inspector = bearer(make_worker(Grade.INSPECTOR)[1])
    assert client.get("/api/v1/releases", headers=inspector).status_code == 403
    assert client.post("/api/v1/releases", json={"name": "x"}, headers=inspector).status_code == 403
    assert client.get("/api/v1/releases").status_code == 401
    assert client.get("/api/v1/jobs/1", headers=inspector).status_code == 403


def test_an_unknown_release_is_not_found(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    admin = bearer(make_worker(Grade.ADMIN)[1])
    assert client.get("/api/v1/releases/99", headers=admin).status_code == 404
    ordered = client.post("/api/v1/releases/99/exports", json={"format": "kfashion"}, headers=admin)
    assert (ordered.status_code, ordered.json["code"]) == (404, "no_such_release")
