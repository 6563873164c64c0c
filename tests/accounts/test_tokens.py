"""API tokens: issued, listed, revoked, and never kept."""

from datetime import datetime

import pytest
import sqlalchemy as sa

from crowd.accounts.api import ME_SECTIONS
from crowd.accounts.models import ApiToken
from crowd.core.security import digest
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.kinds import Bearer, Client, MakeWorker


def test_me_tells_grade_and_stages(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    worker_id, token = make_worker(Grade.REVIEWER, name="rosa")
    me = client.get("/api/v1/me", headers=bearer(token)).json
    assert {key: me[key] for key in ("id", "username", "grade", "suspended")} == {
        "id": worker_id,
        "username": "rosa",
        "grade": "reviewer",
        "suspended": False,
    }
    assert me["stages"] == ["segmentation", "attributes", "first_review"]


def test_rooms_above_add_sections_to_me(
    client: Client, make_worker: MakeWorker, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ME_SECTIONS, "leases", lambda conn, actor: [{"task_id": actor.id}])
    worker_id, token = make_worker(Grade.GENERAL)
    assert client.get("/api/v1/me", headers=bearer(token)).json["leases"] == [{"task_id": worker_id}]


def test_token_is_kept_as_its_digest_alone(rt: Runtime, make_worker: MakeWorker) -> None:
    _, token = make_worker(Grade.GENERAL)
    with rt.db.read() as conn:
        row = conn.execute(sa.select(ApiToken)).mappings().one()
    assert bytes(row["digest"]) == digest(token)
    assert len(token) == 43
    assert all(token not in str(value) for value in row.values())


def test_revoked_token_is_refused_at_once(client: Client, make_worker: MakeWorker, bearer: Bearer) -> None:
    _, first = make_worker(Grade.GENERAL)
    added = client.post("/api/v1/me/tokens", headers=bearer(first)).json
    assert client.get("/api/v1/me", headers=bearer(added["token"])).status_code == 200
    gone = client.delete(f"/api/v1/me/tokens/{added['id']}", headers=bearer(first))
    assert gone.status_code == 204
    refused = client.get("/api/v1/me", headers=bearer(added["token"]))
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.get("/api/v1/me", headers=bearer(first)).status_code == 200
    again = client.delete(f"/api/v1/me/tokens/{added['id']}", headers=bearer(first))
    assert again.status_code == 204


def test_revoking_again_keeps_the_first_moment(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, token = make_worker(Grade.GENERAL)
    added = client.post("/api/v1/me/tokens", headers=bearer(token)).json

    def revoked_at() -> datetime | None:
        with rt.db.read() as conn:
            return conn.execute(sa.select(ApiToken.revoked_at).where(ApiToken.id == added["id"])).scalar_one()

    client.delete(f"/api/v1/me/tokens/{added['id']}", headers=bearer(token))
    first = revoked_at()
    client.delete(f"/api/v1/me/tokens/{added['id']}", headers=bearer(token))
    assert first is not None
    assert revoked_at() == first


def test_somebody_elses_token_cannot_be_revoked(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, one = make_worker(Grade.GENERAL)
    _, other = make_worker(Grade.GENERAL)
    added = client.post("/api/v1/me/tokens", headers=bearer(one)).json
    assert client.delete(f"/api/v1/me/tokens/{added['id']}", headers=bearer(other)).status_code == 404
    assert client.get("/api/v1/me", headers=bearer(added["token"])).status_code == 200


def test_list_pages_through_the_tokens_that_work(
    client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    _, token = make_worker(Grade.GENERAL)
    added = [client.post("/api/v1/me/tokens", headers=bearer(token)).json["id"] for _ in range(4)]
    client.delete(f"/api/v1/me/tokens/{added[1]}", headers=bearer(token))
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        query = f"limit=2&cursor={cursor}" if cursor else "limit=2"
        answer = client.get(f"/api/v1/me/tokens?{query}", headers=bearer(token)).json
        assert len(answer["items"]) <= 2
        seen += [item["id"] for item in answer["items"]]
        assert all("token" not in item and item["created_at"].endswith("Z") for item in answer["items"])
        cursor, pages = answer["next_cursor"], pages + 1
    assert seen[1:] == [added[0], added[2], added[3]]
    assert pages == 2


def test_kind_of_authorization_is_read_without_case(client: Client, make_worker: MakeWorker) -> None:
    _, token = make_worker(Grade.GENERAL)
    assert client.get("/api/v1/me", headers={"Authorization": f"bearer {token}"}).status_code == 200
    assert client.get("/api/v1/me", headers={"Authorization": f"Basic {token}"}).status_code == 401
    assert client.get("/api/v1/me", headers={"Authorization": "Bearer"}).status_code == 401
    assert client.get("/api/v1/me", headers={"Authorization": "Bearer \xff\xfe"}).status_code == 401
