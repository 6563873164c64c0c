"""Images: upload, history, labels handed out, decisions, progress; and rows that nobody changes."""

from io import BytesIO

import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw
from sqlalchemy.exc import DBAPIError

from tests.kinds import Answer
from tests.scenarios.people import Crew, Person, good, refused, regions, styles, unusable, verdict


def picture() -> bytes:
    """A drawn dress, 900 x 1200 px."""
    image = Image.new("RGB", (900, 1200), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((380, 60, 520, 220), fill="peachpuff")
    draw.polygon([(350, 230), (550, 230), (700, 900), (200, 900)], fill="navy")
    draw.rectangle((380, 900, 430, 1150), fill="peachpuff")
    draw.rectangle((470, 900, 520, 1150), fill="peachpuff")
    file = BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def upload(person: Person, data: bytes, rights: str = "owned") -> Answer:
    return person.client.post(
        "/api/v1/images",
        data={"file": (BytesIO(data), "dress.jpg"), "supplier": "a new shop", "rights": rights},
        headers={"Authorization": f"Bearer {person.token}"},
    )


def test_an_uploaded_image_can_be_claimed_at_once_and_goes_all_the_way(crew: Crew) -> None:
    response = upload(crew.admin, picture())
    assert response.status_code == 201, response.text
    image = response.json["id"]
    assert response.json["state"] == "accepted"
    task = crew.drawer.claim()
    assert task["image"] == {"id": image, "url": task["image"]["url"], "width": 800, "height": 1067}
    file = crew.drawer.client.get(
        task["image"]["url"], headers={"Authorization": f"Bearer {crew.drawer.token}"}
    )
    with Image.open(BytesIO(file.data)) as shown:
        assert (shown.size, shown.mode) == ((800, 1067), "RGB")
    good(crew.drawer.submit(task, regions("dress"), seconds=41.5))
    for stage in ("attributes", "styles", "first_review", "second_review"):
        crew.step(stage)
    assert crew.state(image) == "accepted"
    again = upload(crew.admin, picture()).json
    assert (again["state"], again["findings"][0]["code"]) == ("refused", "duplicate")
    assert str(image) in again["findings"][0]["detail"]
    assert crew.drawer.ask().status_code == 204


def test_an_image_of_unknown_rights_is_held_until_an_admin_lets_it_in(crew: Crew) -> None:
    body = upload(crew.admin, picture(), "unknown").json
    assert body["state"] == "held"
    assert crew.drawer.queue_state() == "empty"
    good(crew.admin.decide(body["id"], "in_work"))
    assert crew.drawer.claim()["image"]["id"] == body["id"]


def test_only_admins_upload(crew: Crew) -> None:
    refused(upload(crew.hire("inspector"), picture()), 403)


def test_a_file_that_is_no_image_is_unreadable(crew: Crew) -> None:
    assert "file" in refused(upload(crew.admin, b"not an image"), 422)["errors"]
    assert crew.drawer.queue_state() == "empty"


def test_a_task_says_what_the_contract_promises(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    assert set(task) >= {"id", "stage", "round", "lease", "image", "labels", "candidates", "feedback"}
    assert set(task["image"]) >= {"id", "url", "width", "height"}
    assert set(task["labels"]) == {"segmentation", "attributes", "styles"}
    assert task["candidates"] is None
    assert task["feedback"] == []
    assert "cause" not in task
    assert task["image"]["url"].startswith(f"/api/v1/images/{image}/file")


def test_the_labels_so_far_come_with_the_task(crew: Crew) -> None:
    crew.image()
    crew.drawer.do("segmentation", regions("dress"))
    task = crew.tagger.do("attributes")
    assert task["labels"]["segmentation"]["regions"][0]["part"] == "dress"
    labels = crew.stylist.do("styles", styles("punk"))["labels"]
    assert labels["attributes"]["regions"]["r1"]["category"] == "dresses"
    assert crew.checker.claim()["labels"]["styles"]["styles"] == ["punk"]


def test_the_history_of_an_image_tells_every_step(crew: Crew) -> None:
    image = crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    crew.bring("first_review", start="segmentation")
    crew.checker.do("first_review", verdict(2, "styles"))
    crew.bring("second_review", start="styles")
    crew.step("second_review")
    shown = crew.shown(image)
    assert (shown["id"], shown["state"], shown["round"]) == (image, "accepted", 3)
    told = [(event["what"], event["stage"], event["round"], event["who"]) for event in shown["history"]]
    assert told == [
        ("uploaded", None, 1, None),
        ("submitted", "segmentation", 1, "drawer"),
        ("sent_back", "attributes", 1, "tagger"),
        ("bounced", "attributes", 2, "tagger"),
        ("submitted", "segmentation", 2, "drawer"),
        ("submitted", "attributes", 2, "tagger"),
        ("submitted", "styles", 2, "stylist"),
        ("submitted", "first_review", 2, "checker"),
        ("bounced", "first_review", 3, "checker"),
        ("submitted", "styles", 3, "stylist"),
        ("submitted", "first_review", 3, "checker"),
        ("submitted", "second_review", 3, "left"),
        ("submitted", "second_review", 3, "right"),
        ("accepted", "second_review", 3, "right"),
    ]
    assert all(
        set(event) >= {"at", "who", "what", "stage", "round", "task_id", "why"} for event in shown["history"]
    )


@pytest.mark.parametrize("state", ["accepted", "held", "refused", "in_work", "stuck"])
@pytest.mark.parametrize("decision", ["in_work", "accepted", "refused", "withdrawn"])
def test_an_admin_settles_an_image_in_every_state(crew: Crew, state: str, decision: str) -> None:
    if state == "accepted":
        image = crew.accepted_image()
    elif state == "held":
        image = crew.loop_image()
        crew.judge.do("adjudication", verdict(1))
    elif state == "refused":
        image = crew.image()
        crew.drawer.do("segmentation", unusable())
        crew.tagger.do("segmentation", unusable())
    else:
        image = crew.image_at("styles" if state == "in_work" else "first_review")
        for _ in range(5 if state == "stuck" else 0):
            person = crew.hire("reviewer")
            person.release(person.claim("first_review"), skip=True)
    complete = state in ("accepted", "held", "stuck")
    response = crew.admin.decide(image, decision)
    if decision == "accepted" and not complete:
        refused(response, 422)
        return
    assert good(response)["state"] == decision
    expected = [("segmentation", crew.shown(image)["round"])] if decision == "in_work" else []
    assert crew.open_stages(image) == expected
    event = crew.shown(image)["history"][-1]
    assert event["who"] == "admin"
    assert "to go on" in str(event["why"])


def test_a_reopened_image_begins_at_the_stage_the_admin_names(crew: Crew) -> None:
    image = crew.accepted_image()
    for stage, seats in (("styles", 1), ("second_review", 2), ("first_review", 1)):
        good(crew.admin.decide(image, "in_work", stage=stage))
        assert [each for each, _ in crew.open_stages(image)] == [stage] * seats
    crew.bring("second_review", start="first_review")
    crew.step("second_review")
    assert crew.state(image) == "accepted"


def test_an_image_is_reopened_only_where_its_labels_reach(crew: Crew) -> None:
    image = crew.image_at("attributes")
    refused(crew.admin.decide(image, "in_work", stage="first_review"), 422)
    refused(crew.admin.decide(image, "in_work", stage="adjudication"), 422)
    assert crew.open_stages(image) == [("attributes", 1)]


def test_a_decision_needs_a_known_state_a_stage_and_a_reason(crew: Crew) -> None:
    image = crew.image()
    for body in (
        {"state": "in_work"},
        {"state": "in_work", "reason": ""},
        {"state": "held", "reason": "x"},
        {"state": "lost", "reason": "x"},
        {"state": "in_work", "stage": "ironing", "reason": "x"},
    ):
        assert refused(crew.admin.post(f"/images/{image}/decide", body), 422)["errors"]
    refused(crew.admin.decide(4711, "refused"), 404)


def test_progress_counts_what_waits_is_held_and_was_done(crew: Crew) -> None:
    for _ in range(2):
        crew.image()
    crew.clock.forward(seconds=90)
    crew.drawer.claim()
    figures = crew.progress("segmentation")
    assert (figures["ready"], figures["leased"], figures["done"], figures["bounced"]) == (1, 1, 0, 0)
    assert figures["oldest_ready_seconds"] == 90
    crew.drawer.do("segmentation")
    crew.tagger.refuse("attributes")
    figures = crew.progress("segmentation")
    # The rework is reserved, and counts as ready all the same.
    assert (figures["ready"], figures["leased"], figures["done"], figures["bounced"]) == (1, 1, 1, 1)
    assert crew.progress("attributes")["done"] == 1
    assert crew.progress("styles")["oldest_ready_seconds"] is None
    good(crew.admin.decide(1, "in_work"))
    assert crew.progress("segmentation")["done"] == 1


def test_rows_of_history_are_never_changed_or_removed(crew: Crew) -> None:
    image = crew.accepted_image()
    task = crew.rows("SELECT id FROM tasks ORDER BY id LIMIT 1")[0][0]
    assert crew.admin.post(f"/tasks/{task}/comments", {"text": "well done"}).status_code == 201
    good(crew.admin.post(f"/workers/{crew.drawer.id}/grade", {"grade": "semi_expert", "reason": "good work"}))
    assert crew.state(image) == "accepted"
    changes = {
        "image_events": "worker_id",
        "submissions": "worker_id",
        "labels": "worker_id",
        "comments": "worker_id",
        "claims": "worker_id",
        "grade_events": "worker_id",
    }
    for table, column in changes.items():
        before = crew.rows(f"SELECT * FROM {table}")
        assert before, table
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="append-only"), crew.rt.db.begin() as conn:
                conn.execute(sa.text(statement))
        assert crew.rows(f"SELECT * FROM {table}") == before
