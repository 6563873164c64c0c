"""Services are used by request and approval, for images that one may fetch, and every use is noted."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.datasets import service
from crowd.datasets.models import ServiceUse
from crowd.ml.models import Candidates
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks.models import Task, TaskState
from tests.datasets.factories import THEN, Crowd
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import add_card, promote, styles_card

API = "/api/v1"
SAID = {"model": "small@1", "styles": [{"value": "resort", "score": 0.74}]}


def look_at(rt: Runtime, model_id: int, image_id: int) -> None:
    """The model says something of an image's styles, as job workers have it do."""
    with rt.db.begin() as conn:
        task_id = conn.execute(
            sa.insert(Task)
            .values(
                image_id=image_id,
                stage=Stage.STYLES,
                round=1,
                seat=0,
                state=TaskState.DONE,
                opened_at=THEN,
            )
            .returning(Task.id)
        ).scalar_one()
        values = {"task_id": task_id, "model_id": model_id, "value": SAID, "made_at": THEN}
        conn.execute(sa.insert(Candidates).values(values))


def test_a_service_is_used_by_request_and_approval_and_every_use_is_noted(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer, tmp_path: Path
) -> None:
    model_id = add_card(rt, tmp_path, styles_card())
    crowd = Crowd(rt)
    image, other = crowd.accept(2)
    release = service.create_release(rt.db, "first", taxonomy_id=crowd.taxonomy_id, by=None, now=clock.now())
    (unreleased,) = crowd.accept(1, first=2)
    look_at(rt, model_id, image)
    look_at(rt, model_id, unreleased)
    admin, person = bearer(make_worker(Grade.ADMIN)[1]), bearer(make_worker(Grade.GENERAL)[1])
    url = f"{API}/services/styles"
    assert client.get(f"{API}/catalogue/services", headers=person).json["items"] == []
    promote(rt, model_id)
    (offered,) = client.get(f"{API}/catalogue/services", headers=person).json["items"]
    assert offered == {"stage": "styles", "model": "small@1", "access": None}
    refused = client.get(f"{url}/images/{image}", headers=person)
    assert (refused.status_code, refused.json["code"]) == (403, "not_granted")
    asked = client.post(f"{url}/requests", json={"purpose": "a shop's tags"}, headers=person)
    assert (asked.status_code, asked.json["verdict"]) == (201, None)
    again = client.post(f"{url}/requests", json={"purpose": "once more"}, headers=person)
    assert (again.status_code, again.json["code"]) == (409, "already_asked")
    decide = f"{url}/requests/{asked.json['id']}"
    assert client.post(f"{decide}/approve", json={"reason": "mine"}, headers=person).status_code == 403
    elsewhere = f"{API}/services/attributes/requests/{asked.json['id']}/approve"
    assert client.post(elsewhere, json={"reason": "x"}, headers=admin).status_code == 404
    assert client.post(f"{decide}/approve", json={"reason": "known"}, headers=admin).status_code == 200
    without = client.get(f"{url}/images/{image}", headers=person)
    assert (without.status_code, without.json["code"]) == (403, "not_granted"), "no release was approved"
    data = f"{API}/releases/{release.id}/requests"
    wanted = client.post(data, json={"purpose": "research"}, headers=person).json["id"]
    assert client.post(f"{data}/{wanted}/approve", json={"reason": "x"}, headers=admin).status_code == 200
    told = client.get(f"{url}/images/{image}", headers=person)
    assert told.status_code == 200
    assert told.json == {"image_id": image, "stage": "styles", "model": "small@1", "candidates": SAID}
    assert client.get(f"{url}/images/{unreleased}", headers=person).status_code == 403
    assert client.get(f"{url}/images/{unreleased}", headers=admin).status_code == 200
    unseen = client.get(f"{url}/images/{other}", headers=person)
    assert (unseen.status_code, unseen.json["code"]) == (404, "nothing_said")
    assert client.post(f"{decide}/revoke", json={"reason": "misused"}, headers=admin).status_code == 200
    assert client.get(f"{url}/images/{image}", headers=person).status_code == 403
    log = client.get(f"{url}/uses", headers=admin).json["items"]
    assert [(each["image_id"], each["request_id"]) for each in log] == [
        (image, asked.json["id"]),
        (unreleased, None),
    ]
    assert client.get(f"{url}/uses", headers=person).status_code == 403
    assert client.get(f"{API}/services/first_review/images/1", headers=admin).status_code == 404
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), rt.db.begin() as conn:
        conn.execute(sa.update(ServiceUse).values(request_id=None))
