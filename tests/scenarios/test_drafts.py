"""Drafts over HTTP: one's own, of tasks one held, kept until they are old."""

from datetime import timedelta

from crowd.core import clock
from crowd.drafts import service
from crowd.policy import Stage
from tests.kinds import Client
from tests.scenarios.people import API, Crew, Person, refused, token_of


def _save(person: Person, task_id: int, token: int, body: object) -> int:
    path = f"{API}/tasks/{task_id}/draft"
    headers = {"Authorization": f"Bearer {person.token}"}
    return person.client.put(path, json={"token": token, "body": body}, headers=headers).status_code


def test_a_held_task_is_handed_out_again_with_the_last_draft(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    again = crew.drawer.read(f"/tasks/{task['id']}")
    assert again == {**task, "draft": None}
    assert _save(crew.drawer, task["id"], token_of(task), {"value": 1}) == 204
    assert _save(crew.drawer, task["id"], token_of(task), {"value": [2, "옷"]}) == 204
    assert crew.drawer.read(f"/tasks/{task['id']}")["draft"]["body"] == {"value": [2, "옷"]}


def test_nobody_sees_a_task_that_they_do_not_hold(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    refused(crew.tagger.get(f"/tasks/{task['id']}"), 409, "lease_lost")
    refused(crew.admin.get(f"/tasks/{task['id']}"), 409, "lease_lost")
    refused(crew.tagger.get("/tasks/999"), 404)
    crew.drawer.release(task)
    refused(crew.drawer.get(f"/tasks/{task['id']}"), 409, "lease_lost")


def test_a_draft_needs_a_token_that_was_ones_own_and_outlives_the_lease(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    assert _save(crew.tagger, task["id"], token_of(task), {}) == 403
    assert _save(crew.drawer, task["id"], token_of(task) + 5, {}) == 403
    crew.drawer.release(task)
    assert _save(crew.drawer, task["id"], token_of(task), {"value": 1}) == 204
    again = crew.drawer.claim(Stage.SEGMENTATION)
    assert crew.drawer.read(f"/tasks/{again['id']}")["draft"]["body"] == {"value": 1}


def test_one_persons_draft_is_not_anothers(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    _save(crew.drawer, task["id"], token_of(task), {"value": "mine"})
    crew.drawer.release(task)
    other = crew.tagger.claim(Stage.SEGMENTATION)
    assert crew.tagger.read(f"/tasks/{other['id']}")["draft"] is None


def test_a_draft_that_is_no_object_or_too_large_is_refused(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    assert _save(crew.drawer, task["id"], token_of(task), [1]) == 422
    assert _save(crew.drawer, task["id"], token_of(task), {"value": "x" * service.MOST_BYTES}) == 422


def test_old_drafts_are_forgotten_and_fresh_ones_stay(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    _save(crew.drawer, task["id"], token_of(task), {"value": 1})
    later = clock.now() + service.KEPT_FOR
    with crew.rt.db.begin() as conn:
        assert service.forget_old(conn, later - timedelta(minutes=1)) == 0
        assert service.forget_old(conn, later + timedelta(minutes=1)) == 1


def test_drafts_ask_for_a_login(client: Client) -> None:
    assert client.get(f"{API}/tasks/1").status_code == 401
    assert client.put(f"{API}/tasks/1/draft", json={}).status_code == 401
    assert client.delete(f"{API}/tasks/1/draft").status_code == 401
