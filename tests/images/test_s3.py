"""Images on a bucket: brought in from one, kept in one, prepared by the job, served by signed addresses."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from flask import Flask

from crowd.app import create_app
from crowd.core.config import Settings
from crowd.core.s3 import connect_s3
from crowd.images.files import files_of
from crowd.images.models import Image, ImageState
from crowd.images.rights import Rights
from crowd.images.service import Delivery, keep_original, prepare, take_file
from crowd.images.sources import open_source
from crowd.policy import Grade
from crowd.runtime import Runtime, build_runtime
from tests.kinds import Bearer, MakeWorker, client_of
from tests.pictures import jpeg
from tests.s3 import S3Server, start_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with start_s3() as server:
        yield server


@pytest.fixture
def rt(settings: Settings, s3: S3Server) -> Iterator[Runtime]:
    runtime = build_runtime(replace(settings, storage=f"s3://{s3.make_bucket()}/crowd"))
    yield runtime
    runtime.db.close()


def test_a_prefix_is_a_source_whose_objects_are_counted_and_read(s3: S3Server) -> None:
    bucket = connect_s3(s3.make_bucket())
    for name in ("in/b.jpg", "in/a.png", "in/list.txt", "in/.hidden.jpg", "out/c.jpg"):
        bucket.put(name, jpeg(len(name)))
    with open_source(f"s3://{bucket.name}/in") as source:
        assert len(source) == 2
        assert [(item.name, item.open()) for item in source] == [("a.png", jpeg(8)), ("b.jpg", jpeg(8))]
        assert [each["code"] for each in source.findings] == ["not_an_image"]


def test_the_job_makes_working_images_in_the_bucket(rt: Runtime, app: Flask) -> None:
    with rt.db.begin() as conn:
        for seed in range(3):
            delivery = Delivery("Shop", f"{seed}.jpg", Rights.OWNED)
            take_file(conn, rt.policy, keep_original(rt, jpeg(seed)), delivery, None)
    assert prepare(rt) == 3
    with rt.db.read() as conn:
        rows = conn.execute(sa.select(Image.sha256, Image.state, Image.width)).all()
    for row in rows:
        assert (row.state, row.width) == (ImageState.IN_WORK, 120)
        files = files_of(row.sha256)
        assert all(rt.storage.exists(key) for key in (files.original, files.working, files.thumbnail))
    assert not list(Path(rt.storage.root).rglob("*.jpg")), "nothing stays on this machine"


def test_whoever_may_see_an_image_is_sent_to_a_signed_address_and_nobody_else(
    rt: Runtime, make_worker: MakeWorker, bearer: Bearer
) -> None:
    app = create_app(rt=rt, environ={})
    client = client_of(app)
    admin = bearer(make_worker(Grade.ADMIN)[1])
    other = bearer(make_worker(Grade.GENERAL)[1])
    form = {"supplier": "Shop", "rights": "owned", "file": (io.BytesIO(jpeg(1)), "a.jpg")}
    image = client.post("/api/v1/images", data=form, headers=admin).json["id"]
    sent = client.get(f"/api/v1/images/{image}/file", headers=admin)
    assert sent.status_code == 302
    assert sent.headers["Cache-Control"].startswith("private")
    picture = httpx.get(sent.headers["Location"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    again = client.get(
        f"/api/v1/images/{image}/file", headers={**admin, "If-None-Match": sent.headers["ETag"]}
    )
    assert again.status_code == 304
    refused = client.get(f"/api/v1/images/{image}/file", headers=other)
    assert (refused.status_code, "Location" in refused.headers) == (403, False)
    original = client.get(f"/api/v1/images/{image}/original", headers=admin)
    assert httpx.get(original.headers["Location"]).content == jpeg(1)
    assert str(rt.storage.origin) in client.get("/").headers["Content-Security-Policy"]
