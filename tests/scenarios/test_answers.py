"""What each answer does to the image: every row of the process table."""

import pytest

from tests.scenarios.people import (
    ON_ONE_DATABASE,
    Crew,
    attributes,
    good,
    refused,
    regions,
    styles,
    unusable,
    verdict,
)


def test_an_accepted_image_opens_segmentation(crew: Crew) -> None:
    image = crew.image()
    task = crew.drawer.claim()
    assert (task["stage"], task["round"], task["image"]["id"]) == ("segmentation", 1, image)


def test_regions_open_the_attributes(crew: Crew) -> None:
    image = crew.image()
    assert good(crew.drawer.submit(crew.drawer.claim(), regions()))["state"] == "done"
    assert crew.open_stages(image) == [("attributes", 1)]


def test_a_segmentation_has_at_least_one_region(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    refusal = refused(crew.drawer.submit(task, {"regions": []}), 422)
    assert any(path.startswith("result") for path in refusal["errors"])
    good(crew.drawer.submit(task, regions()))


def test_attributes_open_the_styles(crew: Crew) -> None:
    image = crew.image_at("attributes")
    crew.step("attributes")
    assert crew.open_stages(image) == [("styles", 1)]


@pytest.mark.parametrize("change", ["missing", "added"])
def test_attributes_are_for_exactly_the_current_regions(crew: Crew, change: str) -> None:
    crew.image()
    crew.drawer.do("segmentation", regions("top", "bottom"))
    task = crew.tagger.claim()
    result = attributes(task)
    if change == "missing":
        del result["regions"]["r2"]
    else:
        result["regions"]["r3"] = {"category": "pants", "color": "black"}
    refused(crew.tagger.submit(task, result), 422)
    good(crew.tagger.submit(task, attributes(task)))


def test_attributes_sent_back_open_segmentation_again(crew: Crew) -> None:
    image = crew.image_at("attributes")
    crew.tagger.refuse("attributes")
    assert crew.open_stages(image) == [("segmentation", 2)]


def test_styles_open_the_first_review(crew: Crew) -> None:
    image = crew.image_at("styles")
    crew.step("styles")
    assert crew.open_stages(image) == [("first_review", 1)]


def test_styles_sent_back_open_the_attributes_by_default(crew: Crew) -> None:
    image = crew.image_at("styles")
    crew.stylist.refuse("styles")
    assert crew.open_stages(image) == [("attributes", 2)]


@pytest.mark.parametrize("target", ["attributes", "segmentation"])
def test_styles_sent_back_open_the_stage_they_name(crew: Crew, target: str) -> None:
    image = crew.image_at("styles")
    crew.stylist.refuse("styles", target)
    assert crew.open_stages(image) == [(target, 2)]


@pytest.mark.parametrize(
    ("stage", "target"),
    [
        ("attributes", "attributes"),
        ("attributes", "styles"),
        ("styles", "styles"),
        ("styles", "first_review"),
    ],
)
@ON_ONE_DATABASE
def test_a_send_back_goes_to_an_earlier_labelling_stage(crew: Crew, stage: str, target: str) -> None:
    crew.image_at(stage)
    person = crew.tagger if stage == "attributes" else crew.stylist
    task = person.claim()
    assert "to" in refused(person.send_back(task, target), 422)["errors"]
    good(person.send_back(task))


def test_there_is_nothing_before_segmentation_to_send_back_to(crew: Crew) -> None:
    crew.image()
    refused(crew.drawer.send_back(crew.drawer.claim()), 422)


def test_a_review_is_answered_with_a_verdict_not_sent_back(crew: Crew) -> None:
    crew.image_at("first_review")
    refused(crew.checker.send_back(crew.checker.claim()), 422)


@pytest.mark.parametrize("reasons", [[], ["no such reason"], "missing", None])
@ON_ONE_DATABASE
def test_a_send_back_needs_reasons_from_the_taxonomy(crew: Crew, reasons: object) -> None:
    crew.image_at("attributes")
    task = crew.tagger.claim()
    errors = refused(crew.tagger.send_back(task, reasons=reasons), 422)["errors"]
    assert any(path.startswith("reasons") for path in errors)


@pytest.mark.parametrize("stage", ["segmentation", "attributes", "styles"])
def test_an_image_found_unusable_gets_a_second_different_look(crew: Crew, stage: str) -> None:
    image = crew.image_at(stage)
    crew.step(stage, unusable())
    assert crew.state(image) == "in_work"
    assert [each for each, _ in crew.open_stages(image)] == ["segmentation"]


def test_whoever_found_the_image_unusable_is_not_the_second_to_look(crew: Crew) -> None:
    crew.image()
    crew.drawer.do("segmentation", unusable())
    assert crew.drawer.ask().status_code == 204
    assert crew.tagger.claim("segmentation")


def test_an_image_found_unusable_twice_is_refused_and_the_reasons_are_kept(crew: Crew) -> None:
    image = crew.image_at("attributes")
    crew.tagger.do("attributes", unusable("collage"))
    crew.hire("general").do("segmentation", unusable("watermark"))
    shown = crew.shown(image)
    assert shown["state"] == "refused"
    assert shown["history"][-1]["what"] == "refused"
    assert "collage" in str(shown["history"][-1]["why"])
    assert "watermark" in str(shown["history"][-1]["why"])
    assert crew.open_stages(image) == []


def test_an_image_found_usable_at_the_second_look_goes_on_from_there(crew: Crew) -> None:
    image = crew.image_at("styles")
    crew.stylist.do("styles", unusable())
    other = crew.hire("general")
    other.do("segmentation", regions("dress"))
    assert [stage for stage, _ in crew.open_stages(image)] == ["attributes"]
    crew.bring("second_review", start="attributes")
    crew.step("second_review")
    assert crew.state(image) == "accepted"


def test_after_a_usable_second_look_a_later_unusable_needs_another_second_look(crew: Crew) -> None:
    image = crew.image()
    crew.drawer.do("segmentation", unusable())
    crew.tagger.do("segmentation")
    crew.hire("general").do("attributes", unusable())
    assert crew.state(image) == "in_work"
    assert [stage for stage, _ in crew.open_stages(image)] == ["segmentation"]


def test_an_unusable_code_must_be_known(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    assert "result.unusable" in refused(crew.drawer.submit(task, unusable("ugly")), 422)["errors"]


@pytest.mark.parametrize("score", [4, 5])
def test_a_passed_first_review_opens_both_seats(crew: Crew, score: int) -> None:
    image = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(score))
    assert crew.open_stages(image) == [("second_review", 1)] * 2


@pytest.mark.parametrize(
    ("score", "blame", "target"),
    [
        (1, "segmentation", "segmentation"),
        (2, "attributes", "attributes"),
        (3, "styles", "styles"),
        (3, None, "styles"),
    ],
)
def test_a_failed_first_review_bounces_to_blame_else_to_styles(
    crew: Crew, score: int, blame: str | None, target: str
) -> None:
    image = crew.image_at("first_review")
    crew.checker.do("first_review", verdict(score, blame))
    assert crew.open_stages(image) == [(target, 2)]


@pytest.mark.parametrize(("one", "two"), [(4, 5), (5, 5), (4, 4)])
def test_two_passing_seats_accept_the_image(crew: Crew, one: int, two: int) -> None:
    image = crew.image_at("second_review")
    crew.left.do("second_review", verdict(one))
    assert crew.state(image) == "in_work"
    crew.right.do("second_review", verdict(two))
    assert crew.state(image) == "accepted"
    assert crew.open_stages(image) == []


@pytest.mark.parametrize(
    ("scores", "blame"),
    [
        ((1, 1), "segmentation"),
        ((1, 3), "styles"),
        ((3, 2), "attributes"),
        ((2, 2), "first_review"),
        ((1, 3), None),
    ],
)
def test_two_failing_seats_of_one_mind_bounce_there(
    crew: Crew, scores: tuple[int, int], blame: str | None
) -> None:
    image = crew.image_at("second_review")
    crew.left.do("second_review", verdict(scores[0], blame))
    crew.right.do("second_review", verdict(scores[1], blame))
    assert crew.open_stages(image) == [(blame or "first_review", 2)]


def test_no_blame_and_the_first_review_blamed_are_the_same_target(crew: Crew) -> None:
    image = crew.image_at("second_review")
    crew.left.do("second_review", verdict(1))
    crew.right.do("second_review", verdict(3, "first_review"))
    assert crew.open_stages(image) == [("first_review", 2)]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (verdict(5), verdict(3)),
        (verdict(1, "styles"), verdict(4)),
        (verdict(2, "styles"), verdict(2, "attributes")),
        (verdict(3), verdict(3, "styles")),
    ],
)
def test_seats_that_differ_open_an_adjudication(crew: Crew, one: dict, two: dict) -> None:  # type: ignore[type-arg]
    image = crew.split_image(one, two)
    assert crew.open_stages(image) == [("adjudication", 1)]
    assert crew.judge.claim()["cause"] == "split"


@pytest.mark.parametrize("score", [4, 5])
def test_a_split_settled_for_the_image_accepts_it(crew: Crew, score: int) -> None:
    image = crew.split_image()
    crew.judge.do("adjudication", verdict(score))
    assert crew.state(image) == "accepted"


@pytest.mark.parametrize("blame", ["segmentation", "attributes", "styles", "first_review"])
def test_a_split_settled_against_the_image_bounces_to_blame(crew: Crew, blame: str) -> None:
    image = crew.split_image(verdict(3, "styles"), verdict(5))
    crew.judge.do("adjudication", verdict(2, blame))
    assert crew.open_stages(image) == [(blame, 2)]


@pytest.mark.parametrize(
    ("left", "right", "target"),
    [
        (verdict(3, "attributes"), verdict(5), "attributes"),
        (verdict(4), verdict(1, "segmentation"), "segmentation"),
        (verdict(4), verdict(1), "first_review"),
        (verdict(2, "styles"), verdict(2, "attributes"), "attributes"),
        (verdict(2, "segmentation"), verdict(2), "segmentation"),
    ],
)
def test_a_split_without_blame_goes_where_the_rejecting_seat_said_the_earlier_of_two(
    crew: Crew,
    left: dict,  # type: ignore[type-arg]
    right: dict,  # type: ignore[type-arg]
    target: str,
) -> None:
    image = crew.split_image(left, right)
    crew.judge.do("adjudication", verdict(3))
    assert crew.open_stages(image) == [(target, 2)]


@pytest.mark.parametrize(
    ("disputed", "following"),
    [("segmentation", "attributes"), ("attributes", "styles"), ("styles", "first_review")],
)
def test_a_loop_settled_for_the_labels_opens_the_next_stage(
    crew: Crew, disputed: str, following: str
) -> None:
    image = crew.loop_image(disputed)
    task = crew.judge.claim()
    assert task["cause"] == "loop"
    before = crew.shown(image)["labels"]
    good(crew.judge.submit(task, verdict(4)))
    assert [stage for stage, _ in crew.open_stages(image)] == [following]
    assert crew.state(image) == "in_work"
    assert crew.shown(image)["labels"][disputed] == before[disputed]


def test_a_loop_over_the_first_review_opens_the_second_and_accepts_nothing(crew: Crew) -> None:
    image = crew.image_at("second_review")
    for round_ in range(3):
        if round_:
            crew.checker.do("first_review")
        crew.left.do("second_review", verdict(2))
        crew.right.do("second_review", verdict(2))
    assert [stage for stage, _ in crew.open_stages(image)] == ["adjudication"]
    crew.hire("expert").do("adjudication", verdict(5))
    assert crew.state(image) == "in_work"
    assert [stage for stage, _ in crew.open_stages(image)] == ["second_review"] * 2
    crew.step("second_review")
    assert crew.state(image) == "accepted"


@pytest.mark.parametrize("score", [1, 3])
def test_a_loop_settled_against_the_labels_holds_the_image(crew: Crew, score: int) -> None:
    image = crew.loop_image()
    crew.judge.do("adjudication", verdict(score, "styles"))
    assert crew.state(image) == "held"
    assert crew.open_stages(image) == []
    held = crew.admin.read("/stats/attention?kind=held")["items"]
    assert [each["image_id"] for each in held] == [image]


@pytest.mark.parametrize(("stage", "score"), [("first_review", 4), ("second_review", 5), ("adjudication", 5)])
@ON_ONE_DATABASE
def test_nobody_is_blamed_with_a_passing_score(crew: Crew, stage: str, score: int) -> None:
    person = {"first_review": crew.checker, "second_review": crew.left, "adjudication": crew.judge}[stage]
    if stage == "adjudication":
        crew.split_image()
    else:
        crew.image_at(stage)
    task = person.claim()
    errors = refused(person.submit(task, verdict(score, "styles")), 422)["errors"]
    assert "result.blame" in errors
    good(person.submit(task, verdict(score)))


@pytest.mark.parametrize(
    ("stage", "blame"),
    [
        ("first_review", "first_review"),
        ("first_review", "second_review"),
        ("first_review", "nobody"),
        ("second_review", "second_review"),
        ("second_review", "adjudication"),
    ],
)
@ON_ONE_DATABASE
def test_blame_is_an_earlier_stage(crew: Crew, stage: str, blame: str) -> None:
    crew.image_at(stage)
    person = crew.checker if stage == "first_review" else crew.left
    task = person.claim()
    assert "result.blame" in refused(person.submit(task, verdict(2, blame)), 422)["errors"]


@pytest.mark.parametrize("score", [0, 6, 2.5, "3", None, True])
@ON_ONE_DATABASE
def test_a_score_is_a_whole_number_from_one_to_five(crew: Crew, score: object) -> None:
    crew.image_at("first_review")
    task = crew.checker.claim()
    result = {"score": score, "reasons": ["missing"]}
    assert "result.score" in refused(crew.checker.submit(task, result), 422)["errors"]
    good(crew.checker.submit(task, verdict(5)))


@pytest.mark.parametrize(("score", "reasons"), [(1, []), (3, []), (2, ["bad taste"]), (5, ["bad taste"])])
@ON_ONE_DATABASE
def test_low_scores_need_reasons_and_reasons_must_be_known(
    crew: Crew, score: int, reasons: list[str]
) -> None:
    crew.image_at("first_review")
    task = crew.checker.claim()
    errors = refused(crew.checker.submit(task, {"score": score, "reasons": reasons}), 422)["errors"]
    assert any(path.startswith("result.reasons") for path in errors)


def test_the_answer_of_one_stage_is_no_answer_of_another(crew: Crew) -> None:
    crew.image()
    task = crew.drawer.claim()
    refused(crew.drawer.submit(task, styles()), 422)
    refused(crew.drawer.submit(task, verdict(5)), 422)
    nothings: list[object] = [None, [], "regions", 7, {}]
    for nothing in nothings:
        refused(crew.drawer.submit(task, nothing), 422)
    good(crew.drawer.submit(task, regions()))


def test_a_review_cannot_call_the_image_unusable(crew: Crew) -> None:
    crew.image_at("first_review")
    refused(crew.checker.submit(crew.checker.claim(), unusable()), 422)
