"""Leases: claims that expire, tokens that rise, late answers, releases, skips, and stuck tasks."""

import pytest

from tests.scenarios.people import Crew, Json, Person, good, refused, regions, token_of, verdict


def test_a_claim_is_a_lease_with_a_token_and_an_end(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    assert isinstance(token_of(task), int)
    assert task["lease"]["expires_at"] == "2026-03-02T09:30:00.000Z"


def test_me_lists_the_leases_so_that_a_lost_answer_is_found(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    (lease,) = crew.drawer.read("/me")["leases"]
    assert lease == {
        "task_id": task["id"],
        "stage": "segmentation",
        "token": token_of(task),
        "expires_at": task["lease"]["expires_at"],
    }
    good(
        crew.drawer.post(f"/tasks/{lease['task_id']}/submit", {"token": lease["token"], "result": regions()})
    )
    assert crew.drawer.read("/me")["leases"] == []


def test_a_claim_needs_no_body(crew: Crew) -> None:
    crew.image()
    assert crew.drawer.post("/tasks/claim").status_code == 200


def test_nobody_else_gets_a_leased_task(crew: Crew) -> None:
    crew.image()
    crew.drawer.claim()
    assert crew.tagger.queue_state() == "leased"


def test_an_expired_lease_is_the_next_ones_and_the_token_rises(crew: Crew) -> None:
    crew.image()
    lost = crew.drawer.claim()
    crew.clock.forward(minutes=31)
    task = crew.tagger.claim()
    assert task["id"] == lost["id"]
    assert token_of(task) > token_of(lost)


def test_a_released_task_gets_a_higher_token_for_the_same_person_too(crew: Crew) -> None:
    crew.image()
    first = crew.drawer.claim()
    crew.drawer.release(first)
    assert token_of(crew.drawer.claim()) > token_of(first)


def test_an_overtaken_token_is_lost_and_its_answer_changes_nothing(crew: Crew) -> None:
    image = crew.image()
    lost = crew.drawer.claim()
    crew.clock.forward(minutes=31)
    task = crew.tagger.claim()
    refused(crew.drawer.submit(lost, regions("dress")), 409, "lease_lost")
    refused(crew.drawer.heartbeat(lost), 409, "lease_lost")
    refused(crew.drawer.send_back(lost), 409)
    good(crew.tagger.submit(task, regions("top")))
    refused(crew.drawer.submit(lost, regions("dress")), 409, "lease_lost")
    (region,) = crew.shown(image)["labels"]["segmentation"]["regions"]
    assert region["part"] == "top"


@pytest.mark.parametrize("body", [None, [], {"regions": "no"}, 7])
def test_an_overtaken_answer_is_refused_as_such_whatever_it_says(crew: Crew, body: object) -> None:
    crew.image()
    lost = crew.drawer.claim()
    crew.clock.forward(minutes=31)
    crew.tagger.claim()
    refused(crew.drawer.submit(lost, body), 409, "lease_lost")


@pytest.mark.parametrize("reaped", [False, True])
def test_a_late_answer_is_taken_while_nobody_else_has_the_task(crew: Crew, reaped: bool) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    crew.clock.forward(days=1)
    if reaped:
        crew.tidy()
    good(crew.drawer.submit(task, regions()))
    assert crew.open_stages(image) == [("attributes", 1)]


@pytest.mark.parametrize("reaped", [False, True])
def test_a_late_send_back_is_taken_too(crew: Crew, reaped: bool) -> None:
    image = crew.image_at("attributes")
    task = crew.tagger.claim()
    crew.clock.forward(days=1)
    if reaped:
        crew.tidy()
    good(crew.tagger.send_back(task))
    assert crew.open_stages(image) == [("segmentation", 2)]


@pytest.mark.parametrize("reaped", [False, True])
def test_a_heartbeat_after_expiry_wins_the_task_back(crew: Crew, reaped: bool) -> None:
    crew.image()
    task = crew.drawer.claim()
    crew.clock.forward(minutes=31)
    if reaped:
        crew.tidy()
    lease = good(crew.drawer.heartbeat(task))["lease"]
    assert lease == {"token": token_of(task), "expires_at": "2026-03-02T10:01:00.000Z"}
    assert crew.tagger.queue_state() == "leased"
    good(crew.drawer.submit(task, regions()))


def test_a_heartbeat_keeps_the_lease(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    for _ in range(3):
        crew.clock.forward(minutes=29)
        good(crew.drawer.heartbeat(task))
    assert crew.tagger.queue_state() == "leased"


def test_an_answered_task_has_no_heartbeat(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.do("segmentation")
    refused(crew.drawer.heartbeat(task), 409)


def test_a_bad_result_is_named_and_keeps_the_lease(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    bad = regions()
    bad["regions"][0]["part"] = "hat"
    refusal = refused(crew.drawer.submit(task, bad), 422)
    assert list(refusal["errors"]) == ["result.regions.0.part"]
    assert [lease["token"] for lease in crew.drawer.read("/me")["leases"]] == [token_of(task)]
    good(crew.drawer.submit(task, regions()))


@pytest.mark.parametrize("body", [regions("dress"), None, {"regions": []}, "nonsense"])
def test_the_same_token_again_gets_the_same_answer_and_the_first_stands(crew: Crew, body: object) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    first = good(crew.drawer.submit(task, regions("top")))
    assert first == {"task_id": task["id"], "state": "done"}
    assert good(crew.drawer.submit(task, body)) == first
    assert good(crew.drawer.submit(task, body, seconds="long")) == first
    (region,) = crew.shown(image)["labels"]["segmentation"]["regions"]
    assert region["part"] == "top"
    assert crew.happened(image).count("submitted") == 1


def test_a_repeated_send_back_gets_the_same_answer(crew: Crew) -> None:
    image = crew.image_at("attributes")
    task = crew.tagger.claim()
    first = good(crew.tagger.send_back(task))
    assert good(crew.tagger.send_back(task)) == first
    assert good(crew.tagger.send_back(task, reasons=[])) == first
    assert good(crew.tagger.submit(task, None)) == first
    assert crew.shown(image)["round"] == 2


def test_a_send_back_after_the_answer_leaves_the_answer(crew: Crew) -> None:
    image = crew.image_at("attributes")
    task = crew.tagger.do("attributes")
    good(crew.tagger.send_back(task))
    assert crew.open_stages(image) == [("styles", 1)]


def test_the_answer_is_replayed_however_far_the_image_has_moved_on(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.do("segmentation")
    crew.bring("second_review", start="attributes")
    crew.step("second_review")
    good(crew.drawer.submit(task, regions()))


def test_a_token_that_was_never_yours_is_forbidden(crew: Crew) -> None:
    crew.image_at("attributes")
    task = crew.tagger.claim()
    stranger, unclaimed = crew.hire("general"), {**task, "lease": {"token": token_of(task) + 1}}
    for person, taken in ((stranger, task), (crew.tagger, unclaimed)):
        refused(person.submit(taken, regions()), 403)
        refused(person.send_back(taken), 403)
        refused(person.heartbeat(taken), 403)
        refused(person.release(taken), 403)


def test_a_task_that_is_not_there_is_not_found(crew: Crew) -> None:
    for action in ("submit", "heartbeat", "release", "send-back"):
        refused(crew.drawer.post(f"/tasks/4711/{action}", {"token": 1}), 404)


def test_a_token_is_needed(crew: Crew) -> None:
    crew.image_at("attributes")
    task = crew.tagger.claim()
    bodies: list[object] = [{}, {"token": None}, {"token": "x"}, []]
    for action in ("submit", "heartbeat", "release", "send-back"):
        for body in bodies:
            assert crew.tagger.post(f"/tasks/{task['id']}/{action}", body).status_code in (400, 422)


def test_a_release_puts_the_task_back_and_may_be_repeated(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    for _ in range(3):
        assert crew.drawer.release(task, reason="lunch").status_code == 204
    assert crew.drawer.read("/me")["leases"] == []
    assert crew.tagger.claim()["id"] == task["id"]
    assert crew.drawer.release(task).status_code == 204
    assert crew.tagger.read("/me")["leases"] != []


def test_a_release_puts_the_task_back_where_it_stood(crew: Crew) -> None:
    first = crew.image()
    crew.image()
    task = crew.drawer.claim()
    assert task["image"]["id"] == first
    crew.drawer.release(task)
    assert crew.tagger.claim()["image"]["id"] == first


def test_with_a_released_token_nothing_is_answered_any_more(crew: Crew) -> None:
    image = crew.image_at("attributes")
    task = crew.tagger.claim()
    crew.tagger.release(task)
    refused(crew.tagger.submit(task, None), 409, "lease_lost")
    refused(crew.tagger.heartbeat(task), 409, "lease_lost")
    refused(crew.tagger.send_back(task), 409, "lease_lost")
    assert crew.open_stages(image) == [("attributes", 1)]


@pytest.mark.parametrize("reaped", [False, True])
def test_a_release_after_expiry_spends_the_token(crew: Crew, reaped: bool) -> None:
    crew.image()
    task = crew.drawer.claim()
    crew.clock.forward(hours=1)
    if reaped:
        crew.tidy()
    assert crew.drawer.release(task).status_code == 204
    refused(crew.drawer.submit(task, regions()), 409, "lease_lost")


def test_a_release_after_the_answer_leaves_the_answer(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.do("segmentation")
    assert crew.drawer.release(task).status_code == 204
    assert crew.open_stages(image) == [("attributes", 1)]
    good(crew.drawer.submit(task, regions()))


def test_a_person_holds_three_leases_at_most(crew: Crew) -> None:
    for _ in range(5):
        crew.image()
    tasks = [crew.drawer.claim() for _ in range(3)]
    assert crew.drawer.queue_state() == "capped"
    assert crew.drawer.queue_state("segmentation") == "capped"
    good(crew.drawer.submit(tasks[0], regions()))
    assert crew.drawer.claim("segmentation")
    assert crew.drawer.queue_state() == "capped"
    crew.drawer.release(tasks[1])
    assert crew.drawer.claim("segmentation")


def test_only_unexpired_leases_count(crew: Crew) -> None:
    for _ in range(6):
        crew.image()
    for _ in range(3):
        crew.drawer.claim()
    crew.clock.forward(minutes=31)
    assert crew.drawer.read("/me")["leases"] == []
    for _ in range(3):
        crew.drawer.claim()
    assert crew.drawer.queue_state() == "capped"


def test_capped_is_said_before_leased_and_leased_before_empty(crew: Crew) -> None:
    assert crew.drawer.queue_state() == "empty"
    for _ in range(3):
        crew.image()
        crew.drawer.claim()
    assert crew.drawer.queue_state() == "capped"
    assert crew.tagger.queue_state() == "leased"
    assert crew.stylist.queue_state() == "empty"


def test_nothing_now_says_when_to_ask_again(crew: Crew) -> None:
    response = crew.drawer.ask()
    assert response.status_code == 204
    assert int(response.headers["Retry-After"]) > 0


def test_work_of_other_stages_leased_to_others_is_not_ones_own(crew: Crew) -> None:
    crew.image()
    crew.drawer.claim()
    assert crew.stylist.queue_state() == "empty"
    assert crew.checker.queue_state("first_review") == "empty"
    assert crew.checker.queue_state() == "leased"


def test_a_skipped_task_stays_away_from_that_person_for_ten_minutes(crew: Crew) -> None:
    first, second = crew.image(), crew.image()
    crew.drawer.release(crew.drawer.claim(), skip=True)
    task = crew.drawer.claim()
    assert task["image"]["id"] == second
    crew.drawer.release(task)
    crew.clock.forward(minutes=9, seconds=59)
    assert crew.drawer.claim()["image"]["id"] == second
    crew.clock.forward(seconds=2)
    assert crew.drawer.claim()["image"]["id"] == first


def test_a_skipped_task_is_there_for_others(crew: Crew) -> None:
    first = crew.image()
    crew.drawer.release(crew.drawer.claim(), skip=True)
    assert crew.tagger.claim()["image"]["id"] == first


def let_go(crew: Crew, people: list[Person], *, skip: bool) -> list[Json]:
    """Each of `people` claims the one task and lets it go, by skipping it or by not coming back."""
    tasks = []
    for person in people:
        tasks.append(person.claim())
        if skip:
            assert person.release(tasks[-1], skip=True).status_code == 204
        else:
            crew.clock.forward(minutes=31)
            crew.tidy()
    return tasks


@pytest.mark.parametrize("skips", [5, 0, 2])
def test_expiries_and_skips_by_five_people_mark_the_task_stuck(crew: Crew, skips: int) -> None:
    image = crew.image()
    people = [crew.hire("general") for _ in range(5)]
    let_go(crew, people[:skips][:4], skip=True)
    assert crew.progress("segmentation")["stuck"] == 0
    let_go(crew, people[4:skips], skip=True)
    let_go(crew, people[skips:], skip=False)
    assert crew.hire("general").ask().status_code == 204
    figures = crew.progress("segmentation")
    assert (figures["stuck"], figures["ready"]) == (1, 0)
    assert [each["image_id"] for each in crew.admin.read("/stats/attention?kind=stuck")["items"]] == [image]


def test_one_person_alone_does_not_make_a_task_stuck(crew: Crew) -> None:
    crew.image()
    let_go(crew, [crew.drawer] * 6, skip=False)
    assert crew.tagger.claim()


def test_releases_without_skip_do_not_make_a_task_stuck(crew: Crew) -> None:
    crew.image()
    for _ in range(6):
        person = crew.hire("general")
        person.release(person.claim())
    assert crew.drawer.claim()


def test_a_valid_late_answer_clears_a_stuck_task(crew: Crew) -> None:
    image = crew.image()
    people = [crew.hire("general") for _ in range(5)]
    last = let_go(crew, people, skip=False)[-1]
    assert crew.progress("segmentation")["stuck"] == 1
    refused(people[-1].submit(last, {"regions": []}), 422)
    assert crew.progress("segmentation")["stuck"] == 1
    good(people[-1].submit(last, regions()))
    assert crew.progress("segmentation")["stuck"] == 0
    assert crew.open_stages(image) == [("attributes", 1)]


def test_a_release_of_a_stuck_task_spends_the_token_too(crew: Crew) -> None:
    crew.image()
    people = [crew.hire("general") for _ in range(5)]
    last = let_go(crew, people, skip=False)[-1]
    assert people[-1].release(last).status_code == 204
    refused(people[-1].submit(last, regions()), 409, "lease_lost")
    assert crew.progress("segmentation")["stuck"] == 1


def test_an_admin_gives_a_stuck_image_back_to_the_queue(crew: Crew) -> None:
    image = crew.image()
    let_go(crew, [crew.hire("general") for _ in range(5)], skip=True)
    good(crew.admin.decide(image, "in_work"))
    assert crew.progress("segmentation")["stuck"] == 0
    assert crew.drawer.claim()["image"]["id"] == image


def test_a_ready_task_that_just_ran_out_is_found_without_the_reaper(crew: Crew) -> None:
    crew.image_at("second_review")
    crew.left.claim()
    crew.right.claim()
    assert crew.judge.queue_state() == "leased"
    crew.clock.forward(minutes=21)
    task = crew.judge.claim()
    good(crew.judge.submit(task, verdict(5)))


@pytest.mark.parametrize("token", ["1", 1.5, True, None, [1]])
def test_a_token_of_a_wrong_type_is_named_and_the_lease_kept(crew: Crew, token: object) -> None:
    crew.image()
    task = crew.drawer.claim()
    for action in ("submit", "heartbeat", "release"):
        body = (
            {"token": token, "result": {"unusable": "watermark"}} if action == "submit" else {"token": token}
        )
        response = crew.drawer.post(f"/tasks/{task['id']}/{action}", body)
        assert response.status_code == 422
        assert list(response.json["errors"]) == ["token"]
    good(crew.drawer.heartbeat(task))


def test_an_unknown_field_is_refused_once_and_forgiven_in_a_repeated_answer(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    body = {"token": token_of(task), "result": {"unusable": "watermark"}, "sconds": 3}
    response = crew.drawer.post(f"/tasks/{task['id']}/submit", body)
    assert (response.status_code, list(response.json["errors"])) == (422, ["sconds"])
    good(crew.drawer.submit(task, {"unusable": "watermark"}))
    assert good(crew.drawer.post(f"/tasks/{task['id']}/submit", body))["state"] == "done"


def test_why_a_task_was_given_back_is_kept(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    body = {"token": token_of(task), "reason": "too dark to see", "skip": True}
    assert crew.drawer.post(f"/tasks/{task['id']}/release", body).status_code == 204
    (event,) = [event for event in crew.shown(image)["history"] if event["what"] == "released"]
    assert (event["who"], event["why"]) == ("drawer", {"reason": "too dark to see", "skip": True})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_point_that_is_no_number_is_named_and_the_lease_kept(crew: Crew, number: str) -> None:
    crew.image()
    task = crew.drawer.claim()
    rings = f"[[[1,1],[{number},1],[50,50]]]"
    result = f'{{"regions":[{{"id":"r1","part":"top","rings":{rings}}}]}}'
    response = crew.drawer.client.post(
        f"/api/v1/tasks/{task['id']}/submit",
        data=f'{{"token":{token_of(task)},"result":{result}}}',
        headers={"Authorization": f"Bearer {crew.drawer.token}"},
        content_type="application/json",
    )
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["result.regions.0.rings.0.1.0"]
    good(crew.drawer.heartbeat(task))
