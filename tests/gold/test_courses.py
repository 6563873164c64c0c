"""Courses, practice and exams over the API."""

import pytest

from crowd.gold import queries
from crowd.policy import Stage
from tests.gold.conftest import GoldCrew
from tests.gold.test_attentive_worker import accepted
from tests.scenarios.people import Json, Person, good, refused, styles, verdict

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ITEMS = 10


def practise(person: Person, stage: str, result: Json) -> None:
    task = good(person.post(f"/courses/{stage}/practice", {}))["task"]
    good(person.submit(task, result))


def sit_exam(person: Person, stage: str, result: Json, *, wrong: int = 0, bad: Json | None = None) -> Json:
    for _ in range(person.read(f"/courses/{stage}")["exam"]["practice_left"]):
        practise(person, stage, result)
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
    assert trainee.read("/courses/styles")["exam"]["practice_left"] == 5
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
    crew.gold(accepted(crew, ITEMS - 1), "styles")
    trainee = crew.hire("trainee")
    practise(trainee, "styles", styles())
    told = refused(trainee.post("/exams", {"stage": "styles"}), 409, "too_little_gold")["detail"]
    assert told.startswith("The exam has 10 questions that you have not met; 2 are missing.")
    course = trainee.read("/courses/styles")["exam"]
    assert course["missing"] == {"questions": 2, "good": 0, "bad": 0}
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
def test_practice_comes_before_the_exam_as_far_as_there_is_any(crew: GoldCrew) -> None:
    known = accepted(crew, ITEMS + 2)
    crew.gold(known[:ITEMS], "styles")
    trainee = crew.hire("trainee")
    told = refused(trainee.post("/courses/styles/practice", {}), 409, "no_more")["detail"]
    assert told == "There is nothing more to practise at styles: the rest is kept for your exam."
    assert trainee.read("/courses/styles")["exam"]["practice_left"] == 0, "nobody is stuck between the two"
    crew.gold(known[ITEMS:], "styles")
    assert trainee.read("/courses/styles")["exam"]["practice_left"] == 2
    refused(trainee.post("/exams", {"stage": "styles"}), 409, "practice_first")
    practise(trainee, "styles", styles())
    # An example is no practice; but it takes one of what there is.
    task = good(trainee.post("/courses/styles/practice", {"example": True}))["task"]
    good(trainee.submit(task, styles()))
    assert trainee.read("/courses/styles")["practised"] == 1
    assert trainee.post("/exams", {"stage": "styles"}).status_code == 201
    empty = trainee.read("/courses/attributes")["exam"]
    assert (empty["practice_left"], empty["missing"]["questions"]) == (0, ITEMS)
    assert "an admin can add gold" in trainee.post("/courses/attributes/practice", {}).json["detail"]


@ON_SQLITE
def test_practice_never_takes_all_of_the_pool_nor_more_than_enough_of_a_day(crew: GoldCrew) -> None:
    numbers = crew.rt.policy.gold
    crew.gold(accepted(crew, 2 * numbers.practice_least + 4), "styles")
    person = crew.hire("expert")
    path = "/courses/styles/practice"
    for _ in range(numbers.practice_daily):
        task = good(person.post(path, {"example": True}))["task"]
        assert person.release(task).status_code == 204
    refused(person.post(path, {}), 409, "enough_today")
    crew.clock.forward(days=1)
    for _ in range(2):
        practise(person, "styles", styles())
    told = refused(person.post(path, {}), 409, "no_more")["detail"]
    assert told == "There is nothing more to practise at styles: the rest is kept."
    with crew.rt.db.read() as conn:
        left = queries.count_unmet(conn, person.id, Stage.STYLES, 100)
    assert left == numbers.practice_least + 2


@ON_SQLITE
def test_an_exam_of_reviews_wants_good_and_bad_work(crew: GoldCrew) -> None:
    known = accepted(crew, ITEMS + 6)
    crew.gold(known[:ITEMS], "first_review")
    general = crew.hire("general")
    told = refused(general.post("/exams", {"stage": "first_review"}), 409, "too_little_gold")["detail"]
    assert "4 are missing (4 of bad work among them)" in told
    crew.gold(known[ITEMS:], "first_review", fault="styles")
    for _ in range(5):
        practise(general, "first_review", verdict(5))
    with crew.rt.db.read() as conn:
        unmet = [queries.count_unmet(conn, general.id, Stage.FIRST_REVIEW, 100, bad) for bad in (False, True)]
    assert min(unmet) >= 4, "practice leaves what the exam asks for"
    sit_exam(general, "first_review", verdict(5))
    ((asked,),) = crew.rows(
        "SELECT count(*) FROM gold_seats s JOIN gold_items g ON g.id = s.gold_id "
        "WHERE s.exam_id IS NOT NULL AND g.origin = 2"
    )
    assert 4 <= asked <= 6


@ON_SQLITE
def test_the_exam_of_the_second_review_has_questions_of_its_own(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, 2), "second_review")
    exam = crew.hire("reviewer").read("/courses/second_review")["exam"]
    items = crew.rt.policy.gold.second_exam_items
    assert exam["items"] == items
    least = items * crew.rt.policy.gold.exam_mix_percent // 100
    assert exam["missing"] == {"questions": items - 2, "good": least - 2, "bad": least}


@ON_SQLITE
def test_what_is_right_is_not_shown_before_the_answer(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "styles")
    trainee = crew.hire("trainee")
    task = good(trainee.post("/courses/styles/practice", {}))["task"]
    for span in ({"seconds": 1}, {"minutes": 20}, {"hours": 9}):
        crew.clock.forward(**span)
        shown = trainee.image(task["image"]["id"])
        assert (shown["state"], shown["labels"]["styles"]) == ("in_work", None)
