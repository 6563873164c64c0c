"""Comments meet: along an image's tasks, as far as each person may read, and on one's own page."""

import pytest
import sqlalchemy as sa

from crowd.review import queries, talk
from crowd.review.models import Comment
from tests.scenarios.people import Crew, Json, Person, good, refused, verdict

SECRET = "the collar is wrong"


def say(person: Person, task: Json, text: str) -> None:
    response = person.post(f"/tasks/{task['id']}/comments", {"text": text})
    assert response.status_code == 201, response.text


def say_about(person: Person, image: int, stage: str, text: str) -> Json:
    response = person.post(f"/images/{image}/comments", {"stage": stage, "text": text})
    assert response.status_code == 201, response.text
    said: Json = response.json
    return said


def beside(person: Person, image: int) -> list[tuple[str, str]]:
    """Stage and text of what this person hears about an image."""
    return [(each["stage"], each["text"]) for each in person.read(f"/images/{image}/comments")["items"]]


def own(person: Person) -> list[tuple[int, int, str]]:
    """Task, how much was said, and what last, of what others said about tasks this person held."""
    return [(each["task_id"], each["said"], each["text"]) for each in person.read("/me/comments")["items"]]


def drawn_and_reviewed(crew: Crew) -> tuple[int, Json]:
    """An image before its first review, of which the drawer said something; and the drawer's task."""
    image = crew.image()
    drawing = crew.drawer.do("segmentation")
    say(crew.drawer, drawing, "the hem was hard to see")
    crew.bring("first_review", start="attributes")
    return image, drawing


def test_a_reviewer_hears_the_labeller_and_the_labeller_finds_the_answer(crew: Crew) -> None:
    image, drawing = drawn_and_reviewed(crew)
    review = crew.checker.claim()
    say(crew.checker, review, "to myself")
    assert beside(crew.checker, image) == [
        ("segmentation", "the hem was hard to see"),
        ("first_review", "to myself"),
    ]
    said = say_about(crew.checker, image, "segmentation", "look again")
    assert (said["stage"], said["own"], said["who"]) == ("segmentation", True, None)
    good(crew.checker.submit(review, verdict(2, "segmentation")))
    heard = [("segmentation", "the hem was hard to see"), ("segmentation", "look again")]
    assert beside(crew.drawer, image) == heard
    assert own(crew.drawer) == [(drawing["id"], 1, "look again")]
    again = crew.drawer.claim("segmentation")
    assert again["round"] == 2
    say_about(crew.drawer, image, "segmentation", "it is lower now")
    assert beside(crew.drawer, image) == [*heard, ("segmentation", "it is lower now")]
    assert [each["text"] for each in crew.drawer.read(f"/tasks/{again['id']}/comments")["items"]] == [
        "it is lower now"
    ]


def test_who_labelled_another_stage_hears_nothing_of_this_one(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    crew.checker.claim()
    say_about(crew.checker, image, "segmentation", "look again")
    assert beside(crew.tagger, image) == []
    assert own(crew.tagger) == []
    for stage in ("segmentation", "styles", "first_review"):
        answer = refused(
            crew.tagger.post(f"/images/{image}/comments", {"stage": stage, "text": "me too"}), 422
        )
        assert list(answer["errors"]) == ["stage"]
    stranger = crew.hire("general")
    refused(stranger.get(f"/images/{image}/comments"), 403)
    refused(stranger.post(f"/images/{image}/comments", {"stage": "segmentation", "text": "me too"}), 403)


def test_another_person_who_does_the_rework_does_not_read_the_first_ones_thread(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    crew.checker.do("first_review", verdict(2, "segmentation"))
    crew.clock.forward(hours=5)
    crew.tidy()
    other = crew.hire("general")
    assert other.claim("segmentation")["image"]["id"] == image
    assert beside(other, image) == []


def test_admins_hear_everything_about_an_image_with_names(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    say(crew.checker, crew.checker.claim(), "all well")
    shown = crew.admin.read(f"/images/{image}/comments")["items"]
    assert [(each["who"], each["stage"], each["round"]) for each in shown] == [
        ("drawer", "segmentation", 1),
        ("checker", "first_review", 1),
    ]
    say_about(crew.admin, image, "attributes", "thank you")
    assert beside(crew.tagger, image) == [("attributes", "thank you")]
    assert "drawer" not in crew.checker.get(f"/images/{image}/comments").text
    assert "admin" not in crew.tagger.get(f"/images/{image}/comments").text
    assert "admin" not in crew.tagger.get("/me/comments").text


def test_nobody_talks_about_a_stage_beyond_their_own(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    crew.checker.claim()
    for stage in ("second_review", "adjudication"):
        refused(crew.checker.post(f"/images/{image}/comments", {"stage": stage, "text": "then"}), 422)
    for body in ({}, {"text": "no stage"}, {"stage": "styles", "text": ""}, {"stage": "hats", "text": "a"}):
        refused(crew.checker.post(f"/images/{image}/comments", body), 422)
    refused(crew.checker.get("/images/4711/comments"), 404)
    refused(crew.admin.get("/images/4711/comments"), 404)
    refused(crew.admin.post("/images/4711/comments", {"stage": "styles", "text": "a"}), 404)


def test_a_seat_hears_nothing_of_the_other_anywhere_until_both_are_in(crew: Crew) -> None:
    image = crew.image()
    drawing = crew.drawer.do("segmentation")
    crew.bring("second_review", start="attributes")
    mine = crew.left.claim()
    other = crew.right.claim()
    before = [person.read(f"/images/{image}/comments") for person in (crew.right, crew.drawer)]
    for stage in ("segmentation", "first_review", "second_review"):
        say_about(crew.left, image, stage, SECRET)
    crew.left.submit(mine, verdict(1))
    assert [person.read(f"/images/{image}/comments") for person in (crew.right, crew.drawer)] == before
    assert own(crew.drawer) == own(crew.right) == own(crew.checker) == []
    assert [text for _, text in beside(crew.left, image)] == [SECRET] * 3
    assert [text for _, text in beside(crew.admin, image)] == [SECRET] * 3
    say_about(crew.right, image, "segmentation", "mine")
    assert SECRET not in crew.right.get(f"/images/{image}/comments").text
    assert "mine" not in crew.left.get(f"/images/{image}/comments").text
    good(crew.right.submit(other, verdict(1)))
    assert [text for _, text in beside(crew.right, image)] == [SECRET] * 3 + ["mine"]
    assert own(crew.drawer) == [(drawing["id"], 2, "mine")]


def test_who_may_yet_get_the_other_seat_hears_nothing(crew: Crew) -> None:
    image = crew.image_at("second_review")
    passed_on = crew.hire("inspector")
    passed_on.release(passed_on.claim())
    crew.left.claim()
    say_about(crew.left, image, "styles", SECRET)
    assert beside(passed_on, image) == []
    refused(crew.hire("inspector").get(f"/images/{image}/comments"), 403)


def test_who_may_settle_a_split_hears_neither_seat(crew: Crew) -> None:
    # Somebody who sat as well, but for another image.
    crew.image_at("second_review")
    crew.judge.do("second_review", verdict(5))
    crew.left.do("second_review", verdict(5))
    image = crew.split_image()
    say_about(crew.left, image, "styles", SECRET)
    say_about(crew.right, image, "styles", SECRET)
    crew.judge.claim()
    assert beside(crew.judge, image) == []
    assert len(beside(crew.left, image)) == 2
    assert own(crew.stylist) == []


def test_an_inspector_made_admin_hears_nothing_of_the_other_seat(crew: Crew) -> None:
    image = crew.image_at("second_review")
    crew.right.claim()
    crew.left.claim()
    say_about(crew.left, image, "styles", SECRET)
    good(crew.admin.post(f"/workers/{crew.right.id}/grade", {"grade": "admin", "reason": "steers now"}))
    assert beside(crew.right, image) == []
    assert own(crew.right) == []


def test_a_long_talk_comes_in_pages_without_gap_or_double(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    crew.checker.claim()
    for number in range(4):
        say_about(crew.checker, image, "segmentation", str(number))
    found, cursor = [], ""
    for _ in range(3):
        page = crew.drawer.read(f"/images/{image}/comments?limit=2{cursor}")
        found += [each["text"] for each in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["the hem was hard to see", "0", "1", "2", "3"]
    assert page["next_cursor"] is None


def test_ones_own_threads_come_newest_task_first_and_page_by_page(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "LOOKED_THROUGH", 2)
    tasks = []
    for _ in range(5):
        crew.image()
        tasks.append(crew.drawer.do("segmentation"))
    for task in (tasks[0], tasks[3]):
        say(crew.admin, task, f"about {task['id']}")
    pages, cursor = [], ""
    while cursor is not None:
        page = crew.drawer.read(f"/me/comments{cursor}")
        pages.append([each["task_id"] for each in page["items"]])
        cursor = page["next_cursor"] and f"?cursor={page['next_cursor']}"
    assert pages == [[tasks[3]["id"]], [], [tasks[0]["id"]]]


def test_what_one_says_oneself_is_nothing_new(crew: Crew) -> None:
    _, drawing = drawn_and_reviewed(crew)
    assert own(crew.drawer) == []
    say(crew.admin, drawing, "yes")
    say(crew.drawer, drawing, "thanks")
    assert own(crew.drawer) == [(drawing["id"], 1, "yes")]


def test_the_talk_about_an_image_is_found_by_indexes(crew: Crew) -> None:
    """A table of comments is never gone through, however large it gets."""
    image, _ = drawn_and_reviewed(crew)
    crew.checker.claim()
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    with crew.rt.db.read() as conn:
        if conn.dialect.name != "sqlite":
            pytest.skip("a planner with statistics reads small tables whole")
        sa.event.listen(conn, "before_cursor_execute", note)
        ids = [row.id for row in queries.tasks_held(conn, image, crew.checker.id)]
        for viewer in (None, crew.checker.id):
            for tasks in (None, ids):
                queries.comments_about(conn, image, tasks, viewer, 0, 10)
        queries.threads_on(conn, ids, crew.checker.id)
        sa.event.remove(conn, "before_cursor_execute", note)
        for statement in seen:
            count = statement.count("?")
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (1,) * count).all()
            scans = {row.detail for row in plan if row.detail.startswith("SCAN")}
            assert scans <= {"SCAN heard"}, statement
    assert len(seen) >= 6


def test_nothing_but_comments_is_written_by_talking(crew: Crew) -> None:
    image, _ = drawn_and_reviewed(crew)
    before = crew.rows("SELECT id, state, token, worker_id FROM tasks ORDER BY id")
    say_about(crew.admin, image, "segmentation", "thank you")
    assert crew.rows("SELECT id, state, token, worker_id FROM tasks ORDER BY id") == before
    with crew.rt.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(Comment)).scalar_one() == 2
