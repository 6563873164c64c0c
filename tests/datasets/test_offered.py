"""Models are fetched by request and approval, and every fetch is noted."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from crowd.datasets.models import ModelFetch
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import add_card, styles_card

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
