"""The list of batches, from which admins choose what to assign."""

from crowd.core import clock
from crowd.images import queries
from crowd.images.models import Batch
from crowd.policy import Grade
from crowd.runtime import Runtime
from tests.kinds import Bearer, Client, MakeWorker


def test_batches_come_newest_first_page_by_page_to_admins_alone(
    rt: Runtime, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    with rt.db.begin() as conn:
        made = [queries.named(conn, Batch, name, clock.now()) for name in ("spring", "summer", "autumn")]
    _, boss = make_worker(Grade.ADMIN)
    found: list[tuple[int, str]] = []
    cursor = ""
    while True:
        answer = client.get(f"/api/v1/batches?limit=2{cursor}", headers=bearer(boss))
        assert answer.status_code == 200, answer.text
        found += [(each["id"], each["name"]) for each in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            break
        cursor = f"&cursor={answer.json['next_cursor']}"
    assert found == list(zip(reversed(made), ("autumn", "summer", "spring"), strict=True))
    _, expert = make_worker(Grade.EXPERT)
    assert client.get("/api/v1/batches", headers=bearer(expert)).status_code == 403
