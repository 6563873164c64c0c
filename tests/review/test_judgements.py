"""What the answers of an image say about each other, case by case."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crowd.policy import Stage, load_policy
from crowd.review.judgements import Told, of_acceptance, of_verdict, of_votes, same_labels
from crowd.tasks.flow import Cause
from crowd.tiers.score import Evidence, Kind

POLICY = load_policy()
IMAGE = 7
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DRAWER, TAGGER, STYLIST, CHECKER, LEFT, RIGHT, JUDGE = range(1, 8)
THIRD = 1 / 3

REGION = {"regions": [{"id": "r1", "part": "top", "rings": [[[0, 0], [100, 0], [100, 100], [0, 100]]]}]}


def colour(name: str) -> dict[str, Any]:
    return {"regions": {"r1": {"category": "blouses", "color": name}}}


def styles(*names: str, unsure: bool = False) -> dict[str, Any]:
    return {"styles": list(names), "unsure": unsure}


class Tale:
    """An image's answers, each a minute after the one before."""

    def __init__(self) -> None:
        self.story: list[Told] = []
        self.round = 1

    def tell(self, worker: int, stage: Stage, result: dict[str, Any], **more: Any) -> "Tale":
        place = len(self.story) + 1
        at = START + timedelta(minutes=place)
        self.story.append(Told(100 + place, worker, stage, self.round, result, at, **more))
        return self

    def labels(self, *, color: str = "black", style: str = "resort", drawn: Any = REGION) -> "Tale":
        self.tell(DRAWER, Stage.SEGMENTATION, drawn)
        self.tell(TAGGER, Stage.ATTRIBUTES, colour(color))
        return self.tell(STYLIST, Stage.STYLES, styles(style))

    def verdict(
        self,
        worker: int,
        score: int,
        blame: Stage | None = None,
        stage: Stage = Stage.FIRST_REVIEW,
        **more: Any,
    ) -> "Tale":
        result: dict[str, Any] = {
            "score": score,
            "blame": blame and blame.value,
            "reasons": [],
            "comment": "",
        }
        return self.tell(worker, stage, result, **more)

    def seat(self, worker: int, score: int, blame: Stage | None = None) -> "Tale":
        return self.verdict(worker, score, blame, Stage.SECOND_REVIEW)

    def bounced(self) -> "Tale":
        self.round += 1
        return self

    def accepted(self) -> "Tale":
        return self.verdict(CHECKER, 5).seat(LEFT, 5).seat(RIGHT, 5)

    def said(self) -> list[Evidence]:
        return of_verdict(self.story, IMAGE, POLICY)

    def came_of_it(self, since: datetime | None = None) -> list[Evidence]:
        return of_acceptance(self.story, since, self.story[-1].at, IMAGE, POLICY)


def about(found: Sequence[Evidence], worker: int) -> list[tuple[Any, ...]]:
    """What was found about a person: stage, kind, value, weight, judge, and whether it opens."""
    return [
        (each.stage, each.kind, each.value, pytest.approx(each.weight), each.judge_id, each.opens)
        for each in found
        if each.worker_id == worker
    ]


def test_a_passing_first_review_speaks_for_the_attributes_and_the_styles() -> None:
    found = Tale().labels().verdict(CHECKER, 4).said()
    assert (Stage.ATTRIBUTES, Kind.REVIEW, 0.8, THIRD, CHECKER, True) in about(found, TAGGER)
    assert about(found, STYLIST) == [(Stage.STYLES, Kind.REVIEW, 0.8, THIRD, CHECKER, True)]
    assert {each.score for each in found if each.kind is Kind.REVIEW} == {4}


def test_labels_that_reach_the_first_review_have_passed_their_pre_check() -> None:
    found = Tale().labels().verdict(CHECKER, 5).said()
    assert about(found, DRAWER) == [(Stage.SEGMENTATION, Kind.PRE_CHECK, 1.0, 0.25, TAGGER, True)]
    # The review has judged the answer already: the pre-check adds weight, and no answer.
    assert (Stage.ATTRIBUTES, Kind.PRE_CHECK, 1.0, 0.25, STYLIST, False) in about(found, TAGGER)


def test_a_rejection_speaks_against_nobody_yet_but_its_score_is_kept() -> None:
    found = Tale().labels().verdict(CHECKER, 2, Stage.ATTRIBUTES).said()
    assert all(each.value == 1.0 for each in found if each.weight)
    kept = [each for each in found if each.worker_id == TAGGER]
    assert [(each.kind, each.weight, each.score, each.opens) for each in kept] == [
        (Kind.REVIEW, 0.0, 2, False)
    ]


def test_a_three_that_blames_the_style_finds_the_attributes_good() -> None:
    found = Tale().labels().verdict(CHECKER, 3, Stage.STYLES).said()
    assert (Stage.ATTRIBUTES, Kind.REVIEW, 1.0, THIRD, CHECKER, True) in about(found, TAGGER)
    assert [each.weight for each in found if each.worker_id == STYLIST] == [0.0]


def test_a_blamed_segmentation_has_not_passed_its_pre_check() -> None:
    found = Tale().labels().verdict(CHECKER, 1, Stage.SEGMENTATION).said()
    assert about(found, DRAWER) == []


def test_the_seats_add_weight_to_an_answer_and_open_nothing() -> None:
    found = Tale().labels().verdict(CHECKER, 5).seat(LEFT, 5).said()
    assert about(found, TAGGER) == [(Stage.ATTRIBUTES, Kind.REVIEW, 1.0, THIRD, LEFT, False)]
    assert about(found, DRAWER) == []


def test_a_label_seen_again_in_a_later_round_opens_nothing_again() -> None:
    tale = Tale().labels().verdict(CHECKER, 3, Stage.STYLES).bounced()
    tale.tell(STYLIST, Stage.STYLES, styles("country"))
    found = tale.verdict(CHECKER, 5).said()
    assert about(found, TAGGER) == [(Stage.ATTRIBUTES, Kind.REVIEW, 1.0, THIRD, CHECKER, False)]
    assert about(found, DRAWER) == []
    assert about(found, STYLIST) == [(Stage.STYLES, Kind.REVIEW, 1.0, THIRD, CHECKER, True)]


def test_two_seats_that_agree_are_compared_with_each_other_and_the_first_review_with_both() -> None:
    found = [
        each
        for each in Tale().labels().verdict(CHECKER, 4).seat(LEFT, 5).seat(RIGHT, 4).said()
        if each.against
    ]
    assert {(each.worker_id, each.stage, each.score, each.against, each.value) for each in found} == {
        (LEFT, Stage.SECOND_REVIEW, 5, 4.0, 1.0),
        (RIGHT, Stage.SECOND_REVIEW, 4, 5.0, 1.0),
        (CHECKER, Stage.FIRST_REVIEW, 4, 4.5, 1.0),
    }


def test_the_first_seat_alone_compares_nobody() -> None:
    found = Tale().labels().verdict(CHECKER, 4).seat(LEFT, 1, Stage.STYLES).said()
    assert [each for each in found if each.against is not None] == []


def test_seats_that_differ_are_compared_with_whoever_settles_it() -> None:
    tale = Tale().labels().verdict(CHECKER, 5).seat(LEFT, 5).seat(RIGHT, 2, Stage.STYLES)
    assert [each for each in tale.said() if each.against is not None] == []
    found = tale.verdict(JUDGE, 2, Stage.STYLES, Stage.ADJUDICATION, cause=Cause.SPLIT).said()
    compared = {each.worker_id: (each.value, each.against) for each in found if each.against is not None}
    assert compared == {LEFT: (0.0, 2.0), RIGHT: (1.0, 2.0), CHECKER: (0.0, 2.0)}


def test_a_bounce_stands_when_what_it_blamed_was_changed() -> None:
    tale = Tale().labels(color="red").verdict(CHECKER, 2, Stage.ATTRIBUTES).bounced()
    tale.tell(TAGGER, Stage.ATTRIBUTES, colour("black")).tell(STYLIST, Stage.STYLES, styles("resort"))
    found = tale.accepted().came_of_it()
    against = [each for each in found if each.worker_id == TAGGER]
    assert {each.task_id for each in against} == {102}
    assert all(each.kind is Kind.BOUNCE and each.value == 0.0 for each in against)
    assert [each.opens for each in against] == [True, False, False]
    # It weighs as much as a good answer would have: who rejected it, and both who let the change through.
    assert [each.judge_id for each in against] == [CHECKER, LEFT, RIGHT]
    assert [each.weight for each in against] == pytest.approx([THIRD] * 3)
    assert about(found, CHECKER) == [(Stage.FIRST_REVIEW, Kind.BOUNCE, 1.0, 1.0, None, True)]


def test_a_bounce_that_changed_nothing_is_a_mark_against_the_reviewer_alone() -> None:
    tale = Tale().labels().verdict(CHECKER, 2, Stage.ATTRIBUTES).bounced()
    tale.tell(TAGGER, Stage.ATTRIBUTES, colour("black")).tell(STYLIST, Stage.STYLES, styles("resort"))
    found = tale.accepted().came_of_it()
    assert about(found, TAGGER) == []
    assert about(found, CHECKER) == [(Stage.FIRST_REVIEW, Kind.BOUNCE, 0.0, 1.0, None, True)]
    # For the fit: the reviewer gave 2 where the seats gave 5.
    assert [(each.score, each.against) for each in found] == [(2, 5.0)]


def test_a_pre_check_that_said_no_stands_or_not_in_the_same_way() -> None:
    def sent_back(then: str) -> list[Evidence]:
        tale = Tale().tell(DRAWER, Stage.SEGMENTATION, REGION).tell(TAGGER, Stage.ATTRIBUTES, colour("red"))
        tale.tell(STYLIST, Stage.STYLES, {"to": "attributes", "reasons": ["missing"]}, sends_back=True)
        tale.bounced().tell(TAGGER, Stage.ATTRIBUTES, colour(then))
        return tale.tell(STYLIST, Stage.STYLES, styles("resort")).accepted().came_of_it()

    assert [each.judge_id for each in sent_back("black") if each.worker_id == TAGGER] == [
        STYLIST,
        LEFT,
        RIGHT,
    ]
    assert about(sent_back("black"), STYLIST) == []
    assert about(sent_back("red"), TAGGER) == []
    assert about(sent_back("red"), STYLIST) == [(Stage.STYLES, Kind.BOUNCE, 0.0, 0.25, None, False)]


def test_an_answer_that_the_seats_reject_weighs_no_more_than_a_good_one() -> None:
    tale = Tale().labels(color="red").verdict(CHECKER, 5)
    tale.seat(LEFT, 2, Stage.ATTRIBUTES).seat(RIGHT, 2, Stage.ATTRIBUTES).bounced()
    tale.tell(TAGGER, Stage.ATTRIBUTES, colour("black")).tell(STYLIST, Stage.STYLES, styles("resort"))
    against = [each for each in tale.accepted().came_of_it() if each.worker_id == TAGGER]
    assert [(each.judge_id, each.opens) for each in against] == [(LEFT, False), (RIGHT, False)]


def test_without_blame_the_score_tells_what_is_at_fault() -> None:
    tale = Tale().labels(style="country").verdict(CHECKER, 3).bounced()
    tale.tell(STYLIST, Stage.STYLES, styles("resort"))
    found = tale.accepted().came_of_it()
    assert {each.worker_id for each in found if each.value == 0.0} == {STYLIST}


def test_a_blamed_first_review_that_is_given_the_other_way_speaks_against_its_reviewer() -> None:
    tale = Tale().labels().verdict(CHECKER, 5)
    tale.seat(LEFT, 2, Stage.FIRST_REVIEW).seat(RIGHT, 2, Stage.FIRST_REVIEW).bounced()
    tale.verdict(CHECKER, 2, Stage.ATTRIBUTES).bounced()
    tale.tell(TAGGER, Stage.ATTRIBUTES, colour("blue")).tell(STYLIST, Stage.STYLES, styles("resort"))
    found = tale.accepted().came_of_it()
    of_first = [each for each in found if each.task_id == 104]
    assert [(each.worker_id, each.value, each.judge_id) for each in of_first] == [
        (CHECKER, 0.0, LEFT),
        (CHECKER, 0.0, RIGHT),
    ]


def test_a_third_person_who_rejects_in_a_loop_has_every_rejection_stand_at_once() -> None:
    tale = Tale().labels(color="red")
    for _ in range(3):
        tale.verdict(CHECKER, 2, Stage.ATTRIBUTES).bounced()
        tale.tell(TAGGER, Stage.ATTRIBUTES, colour("red")).tell(STYLIST, Stage.STYLES, styles("resort"))
    tale.story = tale.story[:-2]
    verdict: dict[str, Any] = {"stage": Stage.ADJUDICATION, "cause": Cause.LOOP, "disputed": Stage.ATTRIBUTES}
    found = tale.verdict(JUDGE, 1, Stage.ATTRIBUTES, **verdict).said()
    against = [each for each in found if each.worker_id == TAGGER]
    assert len({each.task_id for each in against}) == 3
    assert all(each.value == 0.0 for each in against)
    assert [each.value for each in found if each.worker_id == CHECKER] == [1.0] * 3
    # An admin lets it through in the end: what was decided is not decided again.
    tale.bounced().tell(TAGGER, Stage.ATTRIBUTES, colour("black"))
    tale.tell(STYLIST, Stage.STYLES, styles("resort"))
    assert tale.accepted().came_of_it() == []


def test_a_second_acceptance_leaves_alone_what_the_first_has_decided() -> None:
    tale = Tale().labels(color="red").verdict(CHECKER, 2, Stage.ATTRIBUTES).bounced()
    tale.tell(TAGGER, Stage.ATTRIBUTES, colour("black")).tell(STYLIST, Stage.STYLES, styles("resort"))
    tale.accepted()
    assert tale.came_of_it(since=tale.story[-1].at - timedelta(seconds=1)) == []


def test_whoever_voted_agrees_as_far_as_their_styles_are_the_settled_ones() -> None:
    tale = Tale().tell(1, Stage.STYLES, styles("resort", unsure=True))
    tale.tell(2, Stage.STYLES, styles("country")).tell(3, Stage.STYLES, styles("resort", "retro"))
    found = of_votes(tale.story, ["resort"], IMAGE)
    assert [(each.worker_id, each.kind, each.value, each.weight) for each in found] == [
        (1, Kind.AGREEMENT, 1.0, 1.0),
        (2, Kind.AGREEMENT, 0.0, 1.0),
        (3, Kind.AGREEMENT, 0.5, 1.0),
    ]


def test_styles_that_several_settled_are_nobodys_in_a_review() -> None:
    tale = Tale().labels()
    for worker in (21, 22):
        tale.tell(worker, Stage.STYLES, styles("resort"))
    found = tale.verdict(CHECKER, 5).said()
    assert [each for each in found if each.stage is Stage.STYLES] == []


def test_who_called_the_image_unusable_is_not_its_author() -> None:
    tale = Tale().tell(31, Stage.SEGMENTATION, {"unusable": "watermark"}).labels()
    assert {each.worker_id for each in tale.verdict(CHECKER, 5).said()} == {DRAWER, TAGGER, STYLIST}


def test_a_region_drawn_a_little_differently_is_the_same() -> None:
    def square(side: float, part: str = "top") -> dict[str, Any]:
        ring = [[0, 0], [side, 0], [side, side], [0, side]]
        return {"regions": [{"id": "r9", "part": part, "rings": [ring]}]}

    assert same_labels(Stage.SEGMENTATION, REGION, square(101))
    assert not same_labels(Stage.SEGMENTATION, REGION, square(80))
    assert not same_labels(Stage.SEGMENTATION, REGION, square(100, "dress"))
    assert not same_labels(Stage.SEGMENTATION, REGION, {"regions": REGION["regions"] * 2})


def test_what_is_left_out_says_the_same_as_null() -> None:
    plain = {"regions": {"r1": {"category": "blouses"}}}
    assert same_labels(Stage.ATTRIBUTES, plain, {"regions": {"r1": {"category": "blouses", "detail": []}}})
    assert not same_labels(Stage.ATTRIBUTES, plain, colour("black"))


def test_the_main_style_comes_first_and_the_others_in_any_order() -> None:
    one = styles("resort", "country", "retro")
    assert same_labels(Stage.STYLES, one, styles("resort", "retro", "country"))
    assert not same_labels(Stage.STYLES, one, styles("country", "resort", "retro"))
