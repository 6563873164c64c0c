"""Who may not: separation of parts, small crews, grades and suspension."""

import pytest

from tests.scenarios.people import (
    ON_ONE_DATABASE,
    Crew,
    Json,
    Person,
    good,
    refused,
    regions,
    styles,
    unusable,
    verdict,
)

GRADES = ("trainee", "general", "semi_expert", "reviewer", "expert", "inspector", "admin")
WHO: dict[str, set[str]] = {
    "segmentation": {"general", "semi_expert", "reviewer"},
    "attributes": {"general", "semi_expert", "reviewer"},
    "styles": {"expert"},
    "first_review": {"reviewer", "semi_expert"},
    "second_review": {"inspector"},
    "adjudication": {"inspector", "expert"},
}


def regrade(crew: Crew, person: Person, grade: str) -> None:
    good(crew.admin.post(f"/workers/{person.id}/grade", {"grade": grade, "reason": "the plan changed"}))


def suspend(crew: Crew, person: Person) -> None:
    good(crew.admin.post(f"/workers/{person.id}/suspend", {"reason": "a question is open"}))


@pytest.mark.parametrize("grade", GRADES)
@ON_ONE_DATABASE
def test_me_says_which_stages_a_grade_may_pull_and_the_others_are_refused(crew: Crew, grade: str) -> None:
    person = crew.hire(grade)
    allowed = {stage for stage, grades in WHO.items() if grade in grades}
    assert set(person.read("/me")["stages"]) == allowed
    for stage in WHO:
        if stage in allowed:
            assert person.ask(stage).status_code == 204
        else:
            refused(person.ask(stage), 403)


@pytest.mark.parametrize("grade", ["trainee", "admin"])
@ON_ONE_DATABASE
def test_trainees_and_admins_are_given_nothing(crew: Crew, grade: str) -> None:
    crew.image()
    assert crew.hire(grade).ask().status_code in (204, 403)


@pytest.mark.parametrize("part", ["segmentation", "attributes"])
@pytest.mark.parametrize("grade", ["semi_expert", "reviewer"])
def test_who_labelled_does_not_do_the_first_review(crew: Crew, part: str, grade: str) -> None:
    person = crew.hire(grade)
    crew.image_at(part)
    person.do(part)
    crew.bring("first_review", start="attributes" if part == "segmentation" else "styles")
    assert person.ask("first_review").status_code == 204
    assert crew.checker.claim("first_review")


def test_who_found_the_image_unusable_gave_an_answer_and_does_not_review_it(crew: Crew) -> None:
    crew.image()
    person = crew.hire("reviewer")
    person.do("segmentation", unusable())
    crew.bring("first_review")
    assert person.ask("first_review").status_code == 204


def test_labels_of_an_earlier_round_count_too(crew: Crew) -> None:
    crew.image()
    person = crew.hire("reviewer")
    person.do("segmentation")
    crew.bring("styles", start="attributes")
    crew.stylist.refuse("styles", "segmentation")
    person.release(person.claim("segmentation"))
    crew.bring("first_review")
    assert person.ask("first_review").status_code == 204
    assert crew.checker.claim()


@pytest.mark.parametrize(
    ("stage", "grade"),
    [("second_review", "inspector"), ("adjudication", "expert"), ("adjudication", "inspector")],
)
def test_who_labelled_and_rose_does_not_review_either(crew: Crew, stage: str, grade: str) -> None:
    crew.image()
    person = crew.hire("general")
    person.do("segmentation")
    crew.bring("second_review", start="attributes")
    if stage == "adjudication":
        crew.left.do("second_review", verdict(1))
        crew.right.do("second_review", verdict(5))
    regrade(crew, person, grade)
    assert person.ask(stage).status_code == 204
    assert crew.judge.claim(stage)


def test_an_expert_who_gave_the_styles_does_not_adjudicate(crew: Crew) -> None:
    crew.split_image()
    assert crew.stylist.ask().status_code == 204
    assert crew.hire("expert").claim()["stage"] == "adjudication"


def test_who_did_the_first_review_does_not_do_the_second(crew: Crew) -> None:
    crew.image_at("second_review")
    regrade(crew, crew.checker, "inspector")
    assert crew.checker.ask("second_review").status_code == 204
    assert crew.left.claim("second_review")


def test_who_did_the_first_review_does_not_adjudicate(crew: Crew) -> None:
    crew.split_image()
    regrade(crew, crew.checker, "expert")
    assert crew.checker.ask("adjudication").status_code == 204
    assert crew.judge.claim("adjudication")


def test_the_two_seats_are_two_people(crew: Crew) -> None:
    image = crew.image_at("second_review")
    task = crew.left.claim()
    assert crew.left.ask().status_code == 204
    good(crew.left.submit(task, verdict(5)))
    assert crew.left.ask().status_code == 204
    assert crew.state(image) == "in_work"


def test_a_lost_seat_does_not_let_one_person_answer_both(crew: Crew) -> None:
    image = crew.image_at("second_review")
    lost = crew.left.claim()
    crew.clock.forward(hours=1)
    crew.tidy()
    crew.right.do("second_review", verdict(5))
    good(crew.left.submit(crew.left.claim(), verdict(5)))
    refused(crew.left.submit(lost, verdict(5)), 409, "lease_lost")
    assert crew.state(image) == "accepted"
    sat = crew.rows("SELECT worker_id FROM tasks WHERE stage = 4 AND state = 2")
    assert len(set(sat)) == 2


def test_a_late_answer_to_one_seat_does_not_join_ones_answer_to_the_other(crew: Crew) -> None:
    image = crew.image_at("second_review")
    lost = crew.left.claim()
    crew.clock.forward(hours=1)
    crew.tidy()
    # The seat that ran out is the older one; somebody takes it, so the other is left over.
    taken = crew.right.claim()
    assert taken["id"] == lost["id"]
    good(crew.left.submit(crew.left.claim(), verdict(5)))
    assert crew.right.release(taken).status_code == 204
    refused(crew.left.submit(lost, verdict(5)), 409, "lease_lost")
    assert crew.state(image) == "in_work"


@pytest.mark.parametrize("seat", ["left", "right"])
def test_the_adjudicator_is_a_third(crew: Crew, seat: str) -> None:
    crew.split_image()
    sitting = crew.people[seat]
    assert sitting.ask("adjudication").status_code == 204
    assert crew.judge.claim("adjudication")


def test_the_same_two_may_sit_again_in_a_later_round(crew: Crew) -> None:
    image = crew.image_at("second_review")
    crew.step("second_review", verdict(2, "styles"))
    crew.bring("second_review", start="styles")
    crew.step("second_review", verdict(5))
    assert crew.state(image) == "accepted"


def test_an_adjudicator_does_not_sit_in_the_next_second_review(crew: Crew) -> None:
    crew.split_image()
    crew.judge.do("adjudication", verdict(2, "styles"))
    crew.bring("second_review", start="styles")
    assert crew.judge.ask("second_review").status_code == 204
    assert crew.left.claim("second_review")


def test_a_seat_of_an_earlier_round_does_not_adjudicate_a_later_one(crew: Crew) -> None:
    crew.image_at("second_review")
    crew.step("second_review", verdict(2, "styles"))
    crew.bring("second_review", start="styles")
    other, another = crew.hire("inspector"), crew.hire("inspector")
    other.do("second_review", verdict(5))
    another.do("second_review", verdict(2))
    assert crew.left.ask("adjudication").status_code == 204
    assert crew.judge.claim("adjudication")


def test_who_only_sent_the_image_back_gave_no_label_and_may_review(crew: Crew) -> None:
    person = crew.hire("semi_expert")
    crew.image_at("attributes")
    person.refuse("attributes")
    crew.bring("first_review")
    assert person.claim("first_review")


def test_where_nobody_is_left_the_task_waits_and_is_counted_as_blocked(crew: Crew) -> None:
    image = crew.image_at("second_review")
    crew.left.do("second_review")
    assert crew.left.ask().status_code == 204
    figures = crew.progress("second_review")
    # The other inspector and the judge are hired only when first named.
    assert (figures["ready"], figures["blocked"], figures["blocked_for"]) == (1, 1, ["inspector"])
    attention = crew.admin.read("/stats/attention?kind=blocked")["items"]
    assert [(each["image_id"], each["stage"]) for each in attention] == [(image, "second_review")]


def test_work_is_blocked_no_longer_when_somebody_joins(crew: Crew) -> None:
    crew.image_at("second_review")
    crew.left.do("second_review")
    crew.hire("inspector")
    figures = crew.progress("second_review")
    assert (figures["blocked"], figures["blocked_for"]) == (0, [])


def test_the_suspended_do_not_keep_work_from_being_blocked(crew: Crew) -> None:
    crew.image_at("second_review")
    crew.left.do("second_review")
    suspend(crew, crew.right)
    assert crew.progress("second_review")["blocked"] == 1


def test_a_second_look_with_nobody_else_is_blocked(crew: Crew) -> None:
    crew.image()
    crew.drawer.do("segmentation", unusable())
    figures = crew.progress("segmentation")
    assert figures["blocked"] == 1
    assert set(figures["blocked_for"]) == WHO["segmentation"]


@pytest.mark.parametrize("state", ["accepted", "refused", "withdrawn", "in_work"])
def test_an_admin_without_a_part_settles_a_blocked_image(crew: Crew, state: str) -> None:
    image = crew.image_at("second_review")
    crew.left.do("second_review")
    assert good(crew.admin.decide(image, state))["state"] == state
    assert crew.progress("second_review")["blocked"] == 0


@pytest.mark.parametrize("state", ["accepted", "refused", "withdrawn", "in_work"])
def test_an_admin_with_a_part_in_the_image_does_not_settle_it(crew: Crew, state: str) -> None:
    image = crew.image()
    person = crew.hire("general")
    person.do("segmentation")
    crew.bring("second_review", start="attributes")
    crew.left.do("second_review")
    regrade(crew, person, "admin")
    refused(person.decide(image, state), 403)
    assert crew.state(image) == "in_work"


@ON_ONE_DATABASE
def test_only_admins_decide(crew: Crew) -> None:
    image = crew.image()
    for grade in GRADES[:-1]:
        refused(crew.hire(grade).decide(image, "refused"), 403)


def test_grade_is_checked_when_claiming_not_when_submitting(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    regrade(crew, crew.drawer, "trainee")
    good(crew.drawer.heartbeat(task))
    good(crew.drawer.submit(task, regions()))
    assert crew.open_stages(image) == [("attributes", 1)]
    refused(crew.drawer.ask("segmentation"), 403)


def test_the_suspended_claim_nothing(crew: Crew) -> None:
    crew.image()
    suspend(crew, crew.drawer)
    refused(crew.drawer.ask(), 403)
    refused(crew.drawer.ask("segmentation"), 403)


def test_the_suspended_submit_nothing_and_their_leases_end(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    suspend(crew, crew.drawer)
    refused(crew.drawer.submit(task, regions()), 403)
    refused(crew.drawer.heartbeat(task), 403)
    refused(crew.drawer.send_back(task), 403)
    assert crew.drawer.read("/me")["leases"] == []
    assert crew.tagger.claim()["id"] == task["id"]


def test_the_suspended_do_not_submit_what_ran_out_either(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    crew.clock.forward(hours=1)
    crew.tidy()
    suspend(crew, crew.drawer)
    refused(crew.drawer.submit(task, regions()), 403)


def test_the_suspended_inspector_gets_no_grid(crew: Crew) -> None:
    crew.image_at("second_review")
    task = crew.left.claim()
    suspend(crew, crew.left)
    refused(crew.left.post("/tasks/claim-batch", {"stage": "second_review", "limit": 5}), 403)
    answer: Json = {"task_id": task["id"], "token": task["lease"]["token"], "result": verdict(5)}
    response = crew.left.post("/tasks/submit-batch", {"answers": [answer]})
    if response.status_code == 200:
        assert response.json["outcomes"][0]["status"] == 403
    else:
        refused(response, 403)


def test_the_reinstated_work_again_but_with_new_leases(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    suspend(crew, crew.drawer)
    good(crew.admin.post(f"/workers/{crew.drawer.id}/reinstate", {"reason": "settled"}))
    refused(crew.drawer.submit(task, regions()), 409, "lease_lost")
    again = crew.drawer.claim()
    good(crew.drawer.submit(again, regions()))


@ON_ONE_DATABASE
def test_styles_are_for_experts_whatever_else_they_may_do(crew: Crew) -> None:
    crew.image_at("styles")
    for grade in sorted(set(GRADES) - {"expert"}):
        assert crew.hire(grade).ask("styles").status_code == 403
    crew.hire("expert").do("styles", styles())
