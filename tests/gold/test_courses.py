"""Courses, practice and exams over the API."""

import pytest

from tests.gold.conftest import GoldCrew
from tests.gold.test_attentive_worker import accepted
from tests.scenarios.people import Json, Person, good, refused, styles, verdict

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ITEMS = 10


def sit_exam(person: Person, stage: str, result: Json, *, wrong: int = 0, bad: Json | None = None) -> Json:
    exam = person.post("/exams", {"stage": stage})
    assert exam.status_code == 201, exam.text
    path = f"/exams/{exam.json['id']}"
    for number in range(ITEMS):
        task = good(person.post(f"{path}/next"))
        good(person.submit(task, bad if number < wrong else result))
    assert person.post(f"{path}/next").status_code == 204
    over: Json = person.read(path)
    return over


def test_a_trainee_passes_an_exam_and_is_proposed_for_the_grade(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, ITEMS), "styles")
    trainee = crew.hire("trainee")
    refused(trainee.ask("styles"), 403)
    over = sit_exam(trainee, "styles", styles("resort"), wrong=2, bad=styles("street"))
    assert (over["score"], over["passed"], over["answered"]) == (0.8, True, ITEMS)
    (proposal,) = crew.admin.read("/tiers/proposals")["items"]
    assert (proposal["worker_id"], proposal["old_grade"], proposal["new_grade"]) == (
        trainee.id,
        "trainee",
        "expert",
    )
    assert trainee.read("/me")["grade"] == "trainee", "the exam proposes, an admin confirms"
    good(crew.admin.post(f"/tiers/proposals/{proposal['id']}/confirm", {"reason": "passed"}))
    assert trainee.read("/me")["grade"] == "expert"
    refused(trainee.post("/exams", {"stage": "styles"}), 409, "exam_passed")
    assert crew.progress("styles")["done"] == 0


def test_a_failed_exam_waits_and_tries_are_numbered(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, 4 * ITEMS), "styles")
    trainee = crew.hire("trainee")
    for number in range(3):
        assert trainee.read("/courses/styles")["exam"]["tries_left"] == 3 - number
        over = sit_exam(trainee, "styles", styles("street"))
        assert (over["score"], over["passed"]) == (0.0, False)
        if number < 2:
            refused(trainee.post("/exams", {"stage": "styles"}), 409, "too_soon")
        crew.clock.forward(hours=24, seconds=1)
    refused(trainee.post("/exams", {"stage": "styles"}), 409, "no_tries_left")
    assert crew.admin.read("/tiers/proposals")["items"] == []
    assert len(crew.admin.read(f"/exams?worker={trainee.id}")["items"]) == 3


@ON_SQLITE
def test_a_question_left_alone_is_missed(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, ITEMS), "styles")
    trainee = crew.hire("trainee")
    exam = trainee.post("/exams", {"stage": "styles"}).json
    path = f"/exams/{exam['id']}"
    first = good(trainee.post(f"{path}/next"))
    assert good(trainee.post(f"{path}/next"))["id"] == first["id"]
    refused(trainee.post("/exams", {"stage": "styles"}), 409, "exam_open")
    crew.clock.forward(hours=1)
    crew.tidy()
    assert good(trainee.post(f"{path}/next"))["id"] != first["id"]
    refused(trainee.submit(first, styles("resort")), 409, "lease_lost")
    stranger = crew.hire("trainee")
    refused(stranger.post(f"{path}/next"), 403, "not_your_exam")
    refused(stranger.get(path), 403)


@ON_SQLITE
def test_practice_explains_what_was_right_and_wrong_at_once(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, 2), "attributes")
    trainee = crew.hire("trainee")
    example = good(trainee.post("/courses/attributes/practice", {"example": True}))
    assert example["known"]["regions"]["r1"]["color"] == "black"
    task = good(trainee.post("/courses/attributes/practice", {}))["task"]
    path = f"/courses/attributes/practice/{task['id']}"
    refused(trainee.get(path), 409, "not_answered")
    good(trainee.submit(task, {"regions": {"r1": {"category": "blouses", "color": "white"}}}))
    lesson = trainee.read(path)
    assert lesson["value"] == 0.5
    texts = {note["path"]: note["text"] for note in lesson["notes"]}
    assert texts["regions.r1.color"] == "regions.r1.color: you said white; it is black."
    assert texts["regions.r1.category"] == "regions.r1.category: right."
    refused(trainee.post("/courses/attributes/practice", {}), 409, "no_more")
    course = trainee.read("/courses/attributes")
    assert (course["practised"], course["right"]) == (1, 0)
    assert crew.rows("SELECT count(*) FROM evidence WHERE worker_id = :who", who=trainee.id) == [(0,)]
    refused(crew.hire("trainee").get(path), 403)


@ON_SQLITE
def test_who_would_review_is_examined_with_good_and_bad_work(crew: GoldCrew) -> None:
    known = accepted(crew, ITEMS)
    crew.gold(known[:5], "first_review")
    crew.gold(known[5:], "first_review", fault="styles")
    general = crew.hire("general")
    over = sit_exam(general, "first_review", verdict(5))
    assert over["score"] == 0.5
    assert over["passed"] is False


@ON_SQLITE
def test_an_exam_needs_questions_that_the_person_has_not_met(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, ITEMS), "styles")
    trainee = crew.hire("trainee")
    task = good(trainee.post("/courses/styles/practice", {}))["task"]
    good(trainee.submit(task, styles()))
    refused(trainee.post("/exams", {"stage": "styles"}), 409, "too_little_gold")
    refused(trainee.post("/exams", {"stage": "adjudication"}), 422)
    refused(trainee.get("/courses/adjudication"), 404)
    refused(crew.admin.post("/exams", {"stage": "styles"}), 403)
    assert {course["stage"] for course in trainee.read("/courses")["items"]} == {
        "segmentation",
        "attributes",
        "styles",
        "first_review",
        "second_review",
    }


@ON_SQLITE
def test_what_is_right_is_not_shown_before_the_answer(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "styles")
    trainee = crew.hire("trainee")
    task = good(trainee.post("/courses/styles/practice", {}))["task"]
    for span in ({"seconds": 1}, {"minutes": 20}, {"hours": 9}):
        crew.clock.forward(**span)
        shown = trainee.image(task["image"]["id"])
        assert (shown["state"], shown["labels"]["styles"]) == ("in_work", None)
