"""What a bounce does: rounds, labels handed along, feedback, reservations, caps, and late answers."""

import pytest

from tests.scenarios.people import Crew, attributes, good, refused, regions, styles, unusable, verdict


def test_a_bounce_raises_the_round(crew: Crew) -> None:
    image = crew.image_at("first_review")
    assert crew.shown(image)["round"] == 1
    crew.checker.do("first_review", verdict(2, "attributes"))
    assert crew.shown(image)["round"] == 2
    assert crew.tagger.claim()["round"] == 2


def test_after_a_bounce_each_later_stage_opens_again_in_turn(crew: Crew) -> None:
    image = crew.image_at("second_review")
    for person in (crew.left, crew.right):
        person.do("second_review", verdict(1, "segmentation"))
    for stage in ("segmentation", "attributes", "styles", "first_review"):
        assert crew.open_stages(image) == [(stage, 2)]
        crew.step(stage)
    assert crew.open_stages(image) == [("second_review", 2)] * 2
    crew.step("second_review")
    assert crew.state(image) == "accepted"


def test_rework_starts_from_the_labels_of_the_last_round(crew: Crew) -> None:
    crew.image()
    crew.drawer.do("segmentation", regions("top", "bottom"))
    crew.tagger.do("attributes")
    crew.stylist.do("styles", styles("punk", "retro"))
    crew.checker.do("first_review", verdict(1, "segmentation"))
    task = crew.drawer.claim()
    assert [each["part"] for each in task["labels"]["segmentation"]["regions"]] == ["top", "bottom"]
    assert task["labels"]["attributes"]["regions"]["r2"]["category"] == "pants"
    assert task["labels"]["styles"]["styles"] == ["punk", "retro"]


def test_attributes_without_a_region_of_the_same_part_are_not_handed_along(crew: Crew) -> None:
    crew.image()
    crew.drawer.do("segmentation", regions("top", "bottom"))
    task = crew.tagger.claim()
    good(crew.tagger.submit(task, attributes(task, "wine")))
    crew.stylist.refuse("styles", "segmentation")
    crew.drawer.do("segmentation", regions("top", "dress"))
    labels = crew.tagger.claim()["labels"]["attributes"]["regions"]
    assert list(labels) == ["r1"]
    assert labels["r1"]["color"] == "wine"


def test_confirming_takes_the_labels_as_they_were_handed_along(crew: Crew) -> None:
    crew.image_at("styles")
    crew.stylist.refuse("styles", "segmentation")
    for person, stage in ((crew.drawer, "segmentation"), (crew.tagger, "attributes")):
        task = person.claim()
        good(person.submit(task, task["labels"][stage]))
    task = crew.stylist.claim()
    assert task["labels"]["styles"] is None


def test_reasons_score_comment_and_stage_travel_without_names(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.clock.forward(minutes=3)
    crew.checker.do(
        "first_review",
        {"score": 2, "blame": "attributes", "reasons": ["wrong_color"], "comment": "It is navy."},
    )
    task = crew.tagger.claim()
    assert task["feedback"] == [
        {
            "stage": "first_review",
            "score": 2,
            "reasons": ["wrong_color"],
            "comment": "It is navy.",
            "at": "2026-03-02T09:03:00.000Z",
        }
    ]
    assert "checker" not in str(task)


def test_a_send_back_travels_as_feedback_too(crew: Crew) -> None:
    crew.image_at("attributes")
    good(crew.tagger.send_back(crew.tagger.claim(), reasons=["bad_outline"], comment="Cut at the hem."))
    (piece,) = crew.drawer.claim()["feedback"]
    assert (piece["stage"], piece["reasons"], piece["comment"]) == (
        "attributes",
        ["bad_outline"],
        "Cut at the hem.",
    )


def test_of_a_common_rejection_both_verdicts_travel(crew: Crew) -> None:
    crew.image_at("second_review")
    crew.left.do("second_review", verdict(1, "styles", comment="no"))
    crew.right.do("second_review", verdict(3, "styles", comment="hardly"))
    feedback = crew.stylist.claim()["feedback"]
    assert sorted(piece["comment"] for piece in feedback) == ["hardly", "no"]


def test_one_finds_what_was_said_about_ones_answers(crew: Crew) -> None:
    image = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes", comment="navy"))
    (piece,) = crew.tagger.read("/me/feedback")["items"]
    assert (piece["image_id"], piece["comment"]) == (image, "navy")
    assert crew.drawer.read("/me/feedback")["items"] == []
    assert "checker" not in str(piece)


def test_rework_is_reserved_for_whoever_gave_the_rejected_answer(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    other = crew.hire("general")
    assert other.queue_state() == "leased"
    crew.clock.forward(hours=3, minutes=59)
    assert other.queue_state() == "leased"
    assert crew.tagger.claim()["stage"] == "attributes"


def test_after_four_hours_rework_is_anybodys(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    crew.clock.forward(hours=4, seconds=1)
    assert crew.hire("general").claim()["stage"] == "attributes"


def test_released_rework_is_anybodys(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    assert crew.tagger.release(crew.tagger.claim()).status_code == 204
    assert crew.hire("general").claim()["stage"] == "attributes"


def test_rework_whose_lease_ran_out_stays_reserved_for_its_time(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    crew.tagger.claim()
    crew.clock.forward(hours=1)
    crew.tidy()
    assert crew.hire("general").queue_state() == "leased"
    assert crew.tagger.claim()["stage"] == "attributes"


def test_reserved_work_comes_first(crew: Crew) -> None:
    first = crew.image_at("attributes")
    crew.image()
    crew.drawer.do("segmentation")
    crew.tagger.refuse("attributes")
    assert crew.drawer.claim()["image"]["id"] == first


def test_a_first_review_that_was_blamed_is_reserved_for_its_reviewer(crew: Crew) -> None:
    crew.image_at("second_review")
    for person in (crew.left, crew.right):
        person.do("second_review", verdict(2, "first_review"))
    assert crew.hire("reviewer").queue_state("first_review") == "leased"
    assert crew.checker.claim()["stage"] == "first_review"


def test_nothing_is_reserved_for_somebody_suspended(crew: Crew) -> None:
    crew.image_at("first_review")
    assert crew.admin.post(f"/workers/{crew.tagger.id}/suspend", {"reason": "away"}).status_code == 200
    crew.checker.do("first_review", verdict(2, "attributes"))
    assert crew.hire("general").claim()["stage"] == "attributes"


def test_a_suspension_ends_the_reservation(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    crew.admin.post(f"/workers/{crew.tagger.id}/suspend", {"reason": "away"})
    assert crew.hire("general").claim()["stage"] == "attributes"


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_reserved_for_somebody_no_longer_of_the_grade(crew: Crew, when: str) -> None:
    crew.image_at("first_review")
    moved = {"grade": "trainee", "reason": "to learn more"}
    if when == "before":
        crew.admin.post(f"/workers/{crew.tagger.id}/grade", moved)
    crew.checker.do("first_review", verdict(2, "attributes"))
    if when == "after":
        crew.admin.post(f"/workers/{crew.tagger.id}/grade", moved)
    assert crew.hire("general").claim()["stage"] == "attributes"


def test_a_move_to_a_grade_that_may_still_do_it_keeps_the_reservation(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "attributes"))
    crew.admin.post(f"/workers/{crew.tagger.id}/grade", {"grade": "semi_expert", "reason": "good work"})
    assert crew.hire("general").queue_state() == "leased"
    assert crew.tagger.claim("attributes")


def test_the_later_stages_of_a_round_are_not_reserved(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "segmentation"))
    crew.drawer.do("segmentation")
    assert crew.hire("general").claim()["stage"] == "attributes"


def test_only_the_task_sent_back_counts_as_bounced_in_the_order_of_claims(crew: Crew) -> None:
    crew.image_at("first_review")
    crew.checker.do("first_review", verdict(2, "segmentation"))
    crew.drawer.do("segmentation")
    crew.drawer.release(crew.drawer.claim("attributes"))
    other = crew.image()
    crew.hire("reviewer").do("segmentation")
    bounced = crew.hire("general")
    crew.tagger.release(bounced_task := crew.tagger.claim("attributes"))
    assert bounced_task["image"]["id"] != other
    assert bounced.claim("attributes")["image"]["id"] == bounced_task["image"]["id"]
    # The image opened later is behind by age alone: with a better priority it comes first.
    urgent = crew.image(batch_priority=-1)
    crew.hire("reviewer").do("segmentation")
    assert crew.hire("general").claim("attributes")["image"]["id"] == urgent


def test_the_third_bounce_to_a_stage_opens_a_loop_instead(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for round_ in (2, 3):
        crew.checker.do("first_review", verdict(3, "styles"))
        assert crew.open_stages(image) == [("styles", round_)]
        crew.step("styles")
    crew.checker.do("first_review", verdict(3, "styles"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]
    task = crew.judge.claim()
    assert task["cause"] == "loop"
    assert len(task["feedback"]) == 3


def test_send_backs_count_towards_the_loop(crew: Crew) -> None:
    image = crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    crew.step("segmentation")
    crew.tagger.refuse("attributes")
    crew.bring("first_review", start="segmentation")
    crew.checker.do("first_review", verdict(1, "segmentation"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]


def test_bounces_to_other_stages_do_not_count(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for target in ("styles", "attributes", "segmentation", "styles", "attributes"):
        crew.checker.do("first_review", verdict(2, target))
        assert [stage for stage, _ in crew.open_stages(image)] == [target]
        crew.bring("first_review", start=target)


def test_a_common_rejection_beyond_the_cap_opens_a_loop(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for _ in range(2):
        crew.checker.do("first_review", verdict(2, "styles"))
        crew.step("styles")
    crew.step("first_review")
    crew.step("second_review", verdict(2, "styles"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]
    assert crew.judge.claim()["cause"] == "loop"


def test_a_split_verdict_beyond_the_cap_holds_the_image(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for _ in range(2):
        crew.checker.do("first_review", verdict(2, "styles"))
        crew.step("styles")
    crew.step("first_review")
    crew.left.do("second_review", verdict(3, "styles"))
    crew.right.do("second_review", verdict(5))
    crew.judge.do("adjudication", verdict(2))
    assert crew.state(image) == "held"
    assert crew.open_stages(image) == []


def test_an_admin_who_reopens_a_stage_resets_its_count(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for _ in range(2):
        crew.checker.do("first_review", verdict(2, "styles"))
        crew.step("styles")
    good(crew.admin.decide(image, "in_work", stage="styles"))
    crew.step("styles")
    for _ in range(2):
        crew.checker.do("first_review", verdict(2, "styles"))
        assert [stage for stage, _ in crew.open_stages(image)] == ["styles"]
        crew.step("styles")
    crew.checker.do("first_review", verdict(2, "styles"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]


def test_reopening_another_stage_resets_nothing_here(crew: Crew) -> None:
    image = crew.image_at("first_review")
    for _ in range(2):
        crew.checker.do("first_review", verdict(2, "styles"))
        crew.step("styles")
    good(crew.admin.decide(image, "in_work", stage="attributes"))
    crew.bring("first_review", start="attributes")
    crew.checker.do("first_review", verdict(2, "styles"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]


@pytest.mark.parametrize("move", ["send_back", "unusable", "reopened", "withdrawn", "refused"])
def test_an_answer_that_the_image_has_left_behind_is_superseded_and_kept(crew: Crew, move: str) -> None:
    image = crew.image_at("styles")
    slow, quick = crew.hire("expert"), crew.hire("expert")
    if move in ("send_back", "unusable"):
        # Several experts' seats are one at a time, so the other open task is the same one, lost.
        late = slow.claim()
        crew.clock.forward(hours=1)
        task = quick.claim()
        if move == "send_back":
            good(quick.send_back(task))
        else:
            good(quick.submit(task, unusable()))
        refused(slow.submit(late, styles()), 409, "lease_lost")
    else:
        late = slow.claim()
        good(crew.admin.decide(image, "in_work" if move == "reopened" else move))
        refused(slow.submit(late, styles("punk")), 409, "superseded")
        refused(slow.submit(late, styles("punk")), 409, "superseded")
        refused(slow.heartbeat(late), 409, "superseded")
    kept = crew.rows("SELECT worker_id, standing FROM submissions WHERE task_id = :task", task=late["id"])
    assert (slow.id, 1 if move not in ("send_back", "unusable") else 2) in kept


def test_a_seat_that_is_late_after_an_admins_decision_is_superseded(crew: Crew) -> None:
    image = crew.image_at("second_review")
    left, right = crew.left.claim(), crew.right.claim()
    good(crew.left.submit(left, verdict(5)))
    good(crew.admin.decide(image, "in_work", stage="second_review"))
    refused(crew.right.submit(right, verdict(5)), 409, "superseded")
    crew.step("second_review")
    assert crew.state(image) == "accepted"


def test_a_superseded_answer_is_not_checked(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    good(crew.admin.decide(image, "refused"))
    refused(crew.drawer.submit(task, None), 409, "superseded")


def test_a_superseded_answer_is_no_part_in_the_image(crew: Crew) -> None:
    image = crew.image_at("styles")
    task = crew.stylist.claim()
    good(crew.admin.decide(image, "in_work"))
    refused(crew.stylist.submit(task, styles("punk")), 409, "superseded")
    assert crew.shown(image)["labels"]["styles"] is None
