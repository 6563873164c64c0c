"""Models are fetched by request and approval, every fetch is noted; they bring their test results along."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.clock import rfc3339
from crowd.datasets import service
from crowd.datasets.exports import Place, write_export
from crowd.datasets.models import ModelFetch
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.datasets.factories import Crowd
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import add_card, styles_card, write_card

API = "/api/v1"


def test_a_model_is_fetched_by_request_and_approval_and_every_fetch_is_noted(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer, tmp_path: Path
) -> None:
    model_id = add_card(rt, tmp_path, styles_card())
    admin, person = bearer(make_worker(Grade.ADMIN)[1]), bearer(make_worker(Grade.GENERAL)[1])
    url = f"{API}/models/{model_id}"
    refused = client.get(f"{url}/file", headers=person)
    assert (refused.status_code, refused.json["code"]) == (403, "not_granted")
    assert client.post(f"{url}/requests", json={"purpose": " "}, headers=person).status_code == 422
    asked = client.post(f"{url}/requests", json={"purpose": "a shop's search"}, headers=person)
    assert (asked.status_code, asked.json["verdict"]) == (201, None)
    again = client.post(f"{url}/requests", json={"purpose": "once more"}, headers=person)
    assert (again.status_code, again.json["code"]) == (409, "already_asked")
    decide = f"{url}/requests/{asked.json['id']}"
    assert client.post(f"{decide}/approve", json={"reason": "mine"}, headers=person).status_code == 403
    assert client.post(f"{decide}/revoke", json={"reason": "too early"}, headers=admin).status_code == 409
    assert client.post(f"{decide}/approve", json={"reason": "known"}, headers=admin).status_code == 200
    (offered,) = client.get(f"{API}/catalogue/models", headers=person).json["items"]
    assert (offered["id"], offered["access"]) == (model_id, "approved")
    fetched = client.get(f"{url}/file", headers=person)
    assert fetched.status_code == 200
    assert fetched.data == next(tmp_path.rglob("*.safetensors")).read_bytes()
    assert client.get(f"{url}/file", headers=admin).status_code == 200
    assert client.post(f"{decide}/revoke", json={"reason": "misused"}, headers=admin).status_code == 200
    assert client.get(f"{url}/file", headers=person).status_code == 403
    log = client.get(f"{url}/fetches", headers=admin).json["items"]
    assert [each["request_id"] for each in log] == [asked.json["id"], None]
    assert client.get(f"{url}/fetches", headers=person).status_code == 403
    other = bearer(make_worker(Grade.GENERAL)[1])
    assert client.get(f"{url}/requests", headers=other).json["items"] == []
    own = client.post(f"{url}/requests", json={"purpose": "mine"}, headers=admin).json
    refused = client.post(f"{url}/requests/{own['id']}/approve", json={"reason": "mine"}, headers=admin)
    assert (refused.status_code, refused.json["code"]) == (403, "own_request")
    assert client.get(f"{API}/models/999/file", headers=admin).status_code == 404
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
        conn.execute(sa.update(ModelFetch).values(request_id=None))


def test_a_model_brings_its_test_result_to_the_release_that_it_was_trained_on(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer, tmp_path: Path
) -> None:
    crowd = Crowd(rt)
    crowd.accept(1)
    release = service.create_release(rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=clock.now())
    admin = bearer(make_worker(Grade.ADMIN)[1])
    trained = {"name": "first", "created_at": rfc3339(release.created_at), "split": "test"}
    metrics = {"mAP": 0.61, "images": 12, "labels": {}}
    model_id = add_card(rt, tmp_path, styles_card(release=trained, metrics=metrics))
    namesake = {**trained, "created_at": "2020-01-01T00:00:00Z"}
    add_card(rt, tmp_path, styles_card(release=namesake, metrics=metrics), seed=1)
    add_card(rt, tmp_path, styles_card(metrics=metrics), seed=2)
    (item,) = client.get(f"{API}/releases/{release.id}/results", headers=admin).json["items"]
    assert (item["model"], item["model_id"], item["split"]) == ("small@1", model_id, "test")
    assert (item["figures"], item["actor_id"]) == ({"mAP": 0.61}, None)
    with rt.db.read() as conn:
        plan = service.plan(conn, rt, release.id, "coco", None)
    write_export(rt.db, rt.storage, plan, Place(tmp_path / "out", link=False), lambda _: None)
    assert "| small@1 | test | mAP 0.61 |" in (tmp_path / "out/README.md").read_text()
    sent = write_card(tmp_path / "sent", styles_card(release=trained, metrics=metrics), seed=3)
    body = {"name": "sent", "file": (sent.open("rb"), "sent.safetensors")}
    assert client.post(f"{API}/models", data=body, headers=admin).status_code == 201
    newest = client.get(f"{API}/releases/{release.id}/results", headers=admin).json["items"][-1]
    assert (newest["model"], newest["actor_id"] is None) == ("sent@1", False)
