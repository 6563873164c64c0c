"""What people in a blind seat, or who may get one, learn of the others: nothing."""

from typing import Any

from tests.scenarios.people import Crew, Json, Person, good, refused, verdict

SECRET = "the collar is wrong"


def seat_taken(crew: Crew, score: int = 1) -> tuple[int, Json]:
    """An image of which `left` has answered with SECRET; its id and that task."""
    image = crew.image_at("second_review")
    task = crew.left.claim()
    result = verdict(score, comment=SECRET)
    good(crew.left.submit(task, result))
    return image, task


def seen_by(person: Person, image: int, task: Json | None = None) -> str:
    """All that the API tells `person` about the image."""
    pages = [person.image(image), person.read("/me"), person.read("/me/feedback")]
    found: list[Any] = [*pages, task]
    return str(found)


def test_the_other_seat_looks_the_same_whatever_the_first_said(crew: Crew) -> None:
    views = []
    for score in (1, 5):
        image, _ = seat_taken(crew, score)
        task = crew.right.claim()
        shown = crew.right.image(image)
        assert task["feedback"] == []
        views.append((shown["state"], shown["round"], shown["labels"], shown["history"]))
        assert SECRET not in seen_by(crew.right, image, task)
        crew.right.release(task)
        good(crew.admin.decide(image, "refused"))
    assert views[0] == views[1]


def test_the_other_seat_sees_no_event_of_the_first(crew: Crew) -> None:
    image = crew.image_at("second_review")
    task = crew.right.claim()
    before = crew.right.image(image)
    crew.left.do("second_review", verdict(1, comment=SECRET))
    assert crew.right.image(image) == before
    assert "second_review" not in str(before["history"])
    good(crew.right.submit(task, verdict(5)))


def test_the_first_seat_learns_nothing_until_the_second_is_in(crew: Crew) -> None:
    image, _ = seat_taken(crew)
    before = crew.left.image(image)
    task = crew.right.claim()
    assert crew.left.image(image) == before
    good(crew.right.submit(task, verdict(1, comment="so is the hem")))
    assert crew.left.image(image)["round"] == 2


def test_who_may_get_a_seat_sees_nothing_of_the_image(crew: Crew) -> None:
    image, task = seat_taken(crew)
    eligible = crew.hire("inspector")
    for path in (f"/images/{image}", f"/images/{image}/file", f"/tasks/{task['id']}/comments"):
        refused(eligible.get(path), 403)
    for path in ("/stats/progress", "/stats/attention?kind=held", "/images", "/workers"):
        refused(eligible.get(path), 403)


def test_the_adjudicator_of_a_split_sees_neither_verdict(crew: Crew) -> None:
    image, left = seat_taken(crew)
    right = crew.right.claim()
    good(crew.right.submit(right, verdict(5, comment=SECRET)))
    task = crew.judge.claim()
    assert task["cause"] == "split"
    assert task["feedback"] == []
    assert SECRET not in seen_by(crew.judge, image, task)
    for seat in (left, right):
        crew.people["left" if seat is left else "right"].post(
            f"/tasks/{seat['id']}/comments", {"text": SECRET}
        )
        shown = crew.judge.get(f"/tasks/{seat['id']}/comments")
        assert SECRET not in shown.text


def test_who_might_adjudicate_a_split_sees_neither_verdict(crew: Crew) -> None:
    image, left = seat_taken(crew)
    passed_on = crew.hire("inspector")
    passed_on.release(passed_on.claim())
    crew.left.post(f"/tasks/{left['id']}/comments", {"text": SECRET})
    crew.right.do("second_review", verdict(5))
    assert SECRET not in seen_by(passed_on, image)
    assert SECRET not in passed_on.get(f"/tasks/{left['id']}/comments").text
    assert passed_on.claim()["cause"] == "split"


def test_a_split_of_a_later_round_shows_no_earlier_verdict_either(crew: Crew) -> None:
    image, _ = seat_taken(crew)
    crew.right.do("second_review", verdict(1, comment=SECRET))
    crew.checker.do("first_review", verdict(5))
    third, fourth = crew.hire("inspector"), crew.hire("inspector")
    task = third.claim()
    assert task["feedback"] == []
    good(third.submit(task, verdict(5)))
    fourth.do("second_review", verdict(2, "styles"))
    assert SECRET not in seen_by(crew.judge, image, crew.judge.claim())


def test_the_adjudicator_of_a_loop_sees_the_reasons(crew: Crew) -> None:
    crew.loop_image()
    task = crew.judge.claim()
    assert [piece["reasons"] for piece in task["feedback"]] == [["wrong_entry"]] * 3


def test_a_worker_sees_their_own_events_without_other_names(crew: Crew) -> None:
    image = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes", comment="navy"))
    for person in (crew.drawer, crew.tagger, crew.stylist):
        shown = person.image(image)
        own = [event["what"] for event in shown["history"] if event["who"] == person.name]
        assert own == ["submitted"]
        # Feedback on their own answer reaches them, from nobody in particular.
        came_back = [event for event in shown["history"] if event["who"] is None]
        assert [event["what"] for event in came_back] == (["bounced"] if person is crew.tagger else [])
        others = {"drawer", "tagger", "stylist", "checker", "admin"} - {person.name}
        assert not any(name in str(shown) for name in others)


def test_a_worker_sees_images_of_tasks_they_hold_or_held_alone(crew: Crew) -> None:
    image = crew.image()
    refused(crew.drawer.get(f"/images/{image}"), 403)
    refused(crew.drawer.get(f"/images/{image}/file"), 403)
    task = crew.drawer.claim()
    assert crew.drawer.image(image)["id"] == image
    crew.drawer.release(task)
    assert crew.drawer.image(image)["id"] == image
    refused(crew.tagger.get(f"/images/{image}"), 403)
    assert crew.admin.image(image)["id"] == image


def test_an_image_that_is_not_there_is_not_found(crew: Crew) -> None:
    for person in (crew.drawer, crew.admin):
        refused(person.get("/images/4711"), 404)
        refused(person.get("/images/4711/file"), 404)


def test_an_inspector_made_admin_learns_nothing_of_the_other_seat(crew: Crew) -> None:
    image = crew.image_at("second_review")
    task = crew.right.claim()
    crew.left.do("second_review", verdict(1, comment=SECRET))
    good(crew.admin.post(f"/workers/{crew.right.id}/grade", {"grade": "admin", "reason": "steers now"}))
    assert SECRET not in seen_by(crew.right, image, task)
    good(crew.right.submit(task, verdict(5)))


def comment(person: Person, task: Json, text: str) -> None:
    response = person.post(f"/tasks/{task['id']}/comments", {"text": text})
    assert response.status_code in (200, 201), response.text


def heard(person: Person, task: Json) -> list[str]:
    body = person.read(f"/tasks/{task['id']}/comments")
    items = body["items"] if isinstance(body, dict) else body
    return [each["text"] for each in items]


def test_who_held_the_task_its_reviewers_and_admins_talk(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.do("segmentation")
    crew.bring("first_review", start="attributes")
    comment(crew.drawer, task, "the hem was hard to see")
    refused(crew.checker.get(f"/tasks/{task['id']}/comments"), 403)
    crew.checker.claim()
    comment(crew.checker, task, "it is fine")
    comment(crew.admin, task, "thank you")
    for person in (crew.drawer, crew.checker, crew.admin):
        assert heard(person, task) == ["the hem was hard to see", "it is fine", "thank you"]
    stranger = crew.hire("general")
    for person in (stranger, crew.tagger):
        refused(person.get(f"/tasks/{task['id']}/comments"), 403)
        refused(person.post(f"/tasks/{task['id']}/comments", {"text": "me too"}), 403)
    assert crew.state(image) == "in_work"


def test_comments_name_nobody_to_workers(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.do("segmentation")
    crew.bring("first_review", start="attributes")
    crew.checker.claim()
    comment(crew.checker, task, "well drawn")
    assert "checker" not in crew.drawer.get(f"/tasks/{task['id']}/comments").text


def test_a_comment_has_words_and_a_task(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    for text in ("", None, 5, "x" * 100_000):
        refused(crew.drawer.post(f"/tasks/{task['id']}/comments", {"text": text}), 422)
    refused(crew.drawer.post("/tasks/4711/comments", {"text": "hello"}), 404)
    refused(crew.drawer.get("/tasks/4711/comments"), 404)


def test_a_seats_comments_stay_hidden_from_the_other_until_both_are_in(crew: Crew) -> None:
    image, left = seat_taken(crew, 5)
    comment(crew.left, left, SECRET)
    right = crew.right.claim()
    assert heard(crew.right, left) == []
    assert heard(crew.left, left) == [SECRET]
    comment(crew.right, right, "mine")
    assert heard(crew.left, right) == []
    assert heard(crew.admin, left) == [SECRET]
    good(crew.right.submit(right, verdict(5)))
    assert crew.state(image) == "accepted"
    assert heard(crew.right, left) == [SECRET]
    assert heard(crew.left, right) == ["mine"]


def test_a_seats_comments_elsewhere_are_hidden_too(crew: Crew) -> None:
    crew.image()
    drawing = crew.drawer.do("segmentation")
    crew.bring("second_review", start="attributes")
    task = crew.left.claim()
    comment(crew.left, drawing, SECRET)
    other = crew.right.claim()
    assert heard(crew.right, drawing) == []
    good(crew.left.submit(task, verdict(4)))
    good(crew.right.submit(other, verdict(4)))
    assert heard(crew.right, drawing) == [SECRET]


def test_the_seats_hear_each_other_once_both_are_in_even_when_they_differ(crew: Crew) -> None:
    _, left = seat_taken(crew)
    comment(crew.left, left, SECRET)
    crew.right.do("second_review", verdict(5))
    assert heard(crew.right, left) == [SECRET]
    crew.judge.claim()
    assert heard(crew.judge, left) == []
