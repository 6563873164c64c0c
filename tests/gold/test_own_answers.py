"""One's own answers and leases: practice and exams are named, hidden gold is told like any other work."""

import pytest

from tests.gold.conftest import GoldCrew
from tests.gold.test_attentive_worker import accepted
from tests.scenarios.people import good, good_result, regions, styles

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ON_SQLITE
def test_an_answer_on_gold_is_listed_like_work(crew: GoldCrew) -> None:
    crew.gold(crew.sources(2), "segmentation")
    for _ in range(8):
        crew.image()
    drawer = crew.hire("general")
    gold = crew.until_gold(drawer, "segmentation")
    (lease,) = drawer.read("/me")["leases"]
    assert set(lease) == {"task_id", "stage", "token", "expires_at"}
    good(drawer.submit(gold, regions()))
    work = drawer.claim("segmentation")
    while work["id"] in crew.seats(drawer):
        good(drawer.submit(work, good_result(work)))
        work = drawer.claim("segmentation")
    good(drawer.submit(work, good_result(work)))
    listed = drawer.read("/me/answers?limit=200")["items"]
    by_task = {each["task_id"]: each for each in listed}
    same = ("stage", "kind", "counted", "purpose")
    assert [by_task[gold["id"]][name] for name in same] == [by_task[work["id"]][name] for name in same]
    assert listed[0]["task_id"] == work["id"]


@ON_SQLITE
def test_practice_and_exams_say_what_they_are(crew: GoldCrew) -> None:
    crew.gold(accepted(crew, 11), "styles")
    trainee = crew.hire("trainee")
    task = good(trainee.post("/courses/styles/practice", {}))["task"]
    assert trainee.read("/me")["leases"][0]["purpose"] == "practice"
    good(trainee.submit(task, styles()))
    exam = trainee.post("/exams", {"stage": "styles"}).json
    good(trainee.post(f"/exams/{exam['id']}/next"))
    assert trainee.read("/me")["leases"][0]["purpose"] == "exam"
    (told,) = trainee.read("/me/answers")["items"]
    assert (told["task_id"], told["purpose"], told["counted"]) == (task["id"], "practice", True)
    assert crew.hire("trainee").read("/me/answers")["items"] == []


@ON_SQLITE
def test_an_answer_that_came_too_late_says_so(crew: GoldCrew) -> None:
    crew.image()
    drawer = crew.hire("general")
    task = drawer.claim("segmentation")
    crew.clock.forward(hours=1)
    crew.tidy()
    other = crew.hire("general")
    other.claim("segmentation")
    assert drawer.submit(task, regions()).status_code == 409
    (told,) = drawer.read("/me/answers")["items"]
    assert told["counted"] is False
