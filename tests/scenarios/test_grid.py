"""The grid of second reviews: many at once, each answer by itself."""

from tests.scenarios.people import Crew, Json, Person, good, refused, token_of, verdict


def grid(person: Person, limit: int = 60) -> list[Json]:
    tasks: list[Json] = good(person.post("/tasks/claim-batch", {"stage": "second_review", "limit": limit}))[
        "tasks"
    ]
    return tasks


def answer(task: Json, result: object) -> Json:
    return {"task_id": task["id"], "token": token_of(task), "result": result, "seconds": 2.5}


def outcomes(person: Person, *answers: Json) -> list[Json]:
    body = good(person.post("/tasks/submit-batch", {"answers": list(answers)}))
    found: list[Json] = body["outcomes"] if isinstance(body, dict) else body
    return found


def wait_for_second_review(crew: Crew, count: int) -> list[int]:
    """`count` images whose two seats are open."""
    return [crew.image_at("second_review") for _ in range(count)]


def test_a_grid_never_holds_both_seats_of_an_image(crew: Crew) -> None:
    images = wait_for_second_review(crew, 3)
    tasks = grid(crew.left)
    assert sorted(task["image"]["id"] for task in tasks) == images
    assert grid(crew.left) == []
    assert sorted(task["image"]["id"] for task in grid(crew.right)) == images


def test_a_grid_is_no_longer_than_asked(crew: Crew) -> None:
    wait_for_second_review(crew, 3)
    assert len(grid(crew.left, 2)) == 2
    assert len(grid(crew.left, 2)) == 1


def test_a_grid_is_not_counted_among_the_three(crew: Crew) -> None:
    wait_for_second_review(crew, 5)
    assert len(grid(crew.left, 4)) == 4
    task = crew.left.claim()
    assert task["stage"] == "second_review"
    assert crew.left.queue_state() != "capped"


def test_a_grid_task_won_back_is_still_not_counted_among_the_three(crew: Crew) -> None:
    wait_for_second_review(crew, 4)
    tasks = grid(crew.left, 3)
    crew.clock.forward(minutes=21)
    crew.tidy()
    for task in tasks:
        good(crew.left.heartbeat(task))
    assert crew.left.claim()


def test_at_most_sixty_are_held_in_all(crew: Crew) -> None:
    crew.people["left"] = crew.hire("inspector", "left")
    with crew.rt.db.begin() as conn:
        for _ in range(62):
            crew.seats(conn)
    assert len(grid(crew.left, 59)) == 59
    assert len(grid(crew.left, 500)) == 1
    assert grid(crew.left) == []
    good(crew.left.submit(crew.left.claim(), verdict(5)))


def test_only_second_reviews_are_done_in_a_grid(crew: Crew) -> None:
    crew.image()
    body = {"stage": "segmentation", "limit": 5}
    assert crew.drawer.post("/tasks/claim-batch", body).status_code in (403, 422)
    refused(crew.drawer.post("/tasks/claim-batch", {"stage": "second_review", "limit": 5}), 403)
    refused(crew.left.post("/tasks/claim-batch", {"stage": "second_review", "limit": 0}), 422)


def test_every_answer_has_its_own_outcome(crew: Crew) -> None:
    images = wait_for_second_review(crew, 4)
    for _ in images:
        crew.right.do("second_review", verdict(5))
    ok, bad, lost, gone = grid(crew.left)
    crew.left.release(lost)
    good(crew.admin.decide(gone["image"]["id"], "refused"))
    found = outcomes(
        crew.left,
        answer(ok, verdict(4)),
        answer(bad, {"score": 9}),
        answer(lost, verdict(4)),
        answer(gone, verdict(4)),
        {"task_id": 4711, "token": 1, "result": verdict(4)},
        answer(ok, verdict(1)),
    )
    assert [each["status"] for each in found] == [200, 422, 409, 409, 404, 200]
    assert [each.get("code") for each in found][2:4] == ["lease_lost", "superseded"]
    assert [each["task_id"] for each in found][:2] == [ok["id"], bad["id"]]
    assert crew.state(ok["image"]["id"]) == "accepted"
    assert crew.state(bad["image"]["id"]) == "in_work"
    (again,) = outcomes(crew.left, answer(bad, verdict(5)))
    assert again["status"] == 200


def test_a_grid_answer_of_somebody_else_is_forbidden_alone(crew: Crew) -> None:
    wait_for_second_review(crew, 1)
    (task,) = grid(crew.left)
    (outcome,) = outcomes(crew.right, answer(task, verdict(5)))
    assert outcome["status"] == 403
    (outcome,) = outcomes(crew.left, answer(task, verdict(5)))
    assert outcome == {"task_id": task["id"], "status": 200}


def test_a_grid_takes_second_reviews_alone(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    (outcome,) = outcomes(crew.drawer, answer(task, {"unusable": "watermark"}))
    assert (outcome["status"], outcome["code"]) == (422, "not_in_grid")
    good(crew.drawer.heartbeat(task))


def test_what_the_database_refuses_of_one_answer_hides_no_other_outcome(crew: Crew) -> None:
    wait_for_second_review(crew, 1)
    (task,) = grid(crew.left)
    never = {"task_id": task["id"], "token": 2**62, "result": verdict(5)}
    found = outcomes(crew.left, never, answer(task, verdict(5)))
    assert [each["status"] for each in found] == [403, 200]
