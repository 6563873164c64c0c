"""How well answers meet known ones."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowd.gold import match as matching
from crowd.gold.guide import GUIDE, explain
from crowd.gold.service import STAGES
from crowd.gold.spoil import spoil
from crowd.policy import Stage
from crowd.tasks.labels import check_attributes, check_styles
from crowd.taxonomy import load_taxonomy

HALF_RIGHT = 0.5
SQUARE = [[0, 0], [100, 0], [100, 100], [0, 100]]
HALF = [[0, 0], [50, 0], [50, 100], [0, 100]]
FAR = [[200, 200], [300, 200], [300, 300], [200, 300]]


def match(stage: Stage, given_: Any, known: Any) -> matching.Match:
    return matching.match(stage, given_, known, HALF_RIGHT)


def drawn(*regions: tuple[str, list[list[int]]]) -> dict[str, object]:
    return {
        "regions": [{"id": f"r{n}", "part": part, "rings": [ring]} for n, (part, ring) in enumerate(regions)]
    }


@pytest.mark.parametrize(
    ("given_", "known", "value"),
    [
        ([("top", SQUARE)], [("top", SQUARE)], 1.0),
        ([("top", HALF)], [("top", SQUARE)], 0.5),
        ([("dress", SQUARE)], [("top", SQUARE)], 0.0),
        ([("top", FAR)], [("top", SQUARE)], 0.0),
        ([("top", SQUARE), ("bottom", FAR)], [("top", SQUARE)], 0.5),
        ([("top", SQUARE)], [("top", SQUARE), ("bottom", FAR)], 0.5),
        # Of two that overlap, the better one is the pair.
        ([("top", HALF), ("top", SQUARE)], [("top", SQUARE)], 0.5),
    ],
)
def test_outlines_meet_by_the_mean_overlap_of_regions_of_a_part(
    given_: list[tuple[str, list[list[int]]]], known: list[tuple[str, list[list[int]]]], value: float
) -> None:
    found = match(Stage.SEGMENTATION, drawn(*given_), drawn(*known))
    assert found.value == pytest.approx(value)


def test_attributes_meet_by_the_share_of_equal_values() -> None:
    known = {
        "regions": {"r1": {"category": "blouses", "color": "black", "detail": ["frill", "slit"], "print": []}}
    }
    answer = {"regions": {"r1": {"category": "blouses", "color": "white", "detail": ["frill"], "print": []}}}
    assert match(Stage.ATTRIBUTES, answer, known).value == pytest.approx((1 + 0 + 0.5) / 3)


@pytest.mark.parametrize(
    ("answer", "value"),
    [(["resort", "country"], 1.0), (["resort"], 0.5), (["country", "resort"], 0.5), (["street"], 0.0)],
)
def test_styles_meet_by_what_they_share_and_the_one_named_first(answer: list[str], value: float) -> None:
    assert match(Stage.STYLES, {"styles": answer}, {"styles": ["resort", "country"]}).value == value


@pytest.mark.parametrize(
    ("score", "blame", "passes", "known_blame", "value"),
    [
        (5, None, True, None, 1.0),
        (4, None, True, None, 1.0),
        (3, "styles", True, None, 0.0),
        (4, None, False, "styles", 0.0),
        (2, "styles", False, "styles", 1.0),
        (1, "attributes", False, "styles", 0.5),
        (1, None, False, "styles", 0.5),
        (3, "attributes", False, None, 1.0),
    ],
)
def test_a_review_is_on_the_right_side_of_four_and_blames_the_right_stage(
    score: int, blame: str | None, passes: bool, known_blame: str | None, value: float
) -> None:
    known = {"passes": passes, "blame": known_blame}
    for stage in (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW):
        assert match(stage, {"score": score, "blame": blame}, known).value == value


def test_calling_good_work_unusable_or_sending_it_back_meets_nothing() -> None:
    known = drawn(("top", SQUARE))
    assert match(Stage.SEGMENTATION, {"unusable": "watermark"}, known).value == 0.0
    assert match(Stage.SEGMENTATION, known, {"unusable": "watermark"}).value == 0.0
    assert match(Stage.SEGMENTATION, {"unusable": "watermark"}, {"unusable": "watermark"}).value == 1.0
    assert match(Stage.SEGMENTATION, {"unusable": "collage"}, {"unusable": "watermark"}).value == 0.5
    sent = {"to": "segmentation", "reasons": ["missing"], "comment": ""}
    assert match(Stage.STYLES, sent, {"styles": ["resort"]}).value == 0.0


RINGS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(list), min_size=3, max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["top", "bottom"]), RINGS), min_size=1, max_size=4), st.data())
def test_any_outlines_meet_between_nothing_and_wholly_and_alike_from_both_sides(
    known: list[tuple[str, list[list[int]]]], data: st.DataObject
) -> None:
    answer = data.draw(st.lists(st.tuples(st.sampled_from(["top", "bottom"]), RINGS), min_size=1, max_size=4))
    here = match(Stage.SEGMENTATION, drawn(*answer), drawn(*known))
    assert 0.0 <= here.value <= 1.0
    assert len(here.notes) >= max(len(answer), len(known))


@pytest.mark.parametrize("seed", range(20))
def test_spoiled_labels_hold_by_themselves_and_are_wrong_at_one_stage_alone(seed: int) -> None:
    taxonomy = load_taxonomy(None)
    parts = {"r1": "top"}
    labels = {
        Stage.SEGMENTATION: {"regions": [{"id": "r1", "part": "top", "rings": [SQUARE]}]},
        Stage.ATTRIBUTES: check_attributes({"regions": {"r1": {"category": "blouses"}}}, taxonomy, parts),
        Stage.STYLES: {"styles": ["resort"], "unsure": False},
    }
    for stage in (Stage.ATTRIBUTES, Stage.STYLES):
        spoiled = spoil(labels, stage, taxonomy, random.Random(seed))
        assert spoiled[stage] != labels[stage]
        assert all(spoiled[other] == labels[other] for other in labels if other is not stage)
        check_attributes(spoiled[Stage.ATTRIBUTES], taxonomy, parts)
        check_styles(spoiled[Stage.STYLES], taxonomy)
        assert match(stage, spoiled[stage], labels[stage]).value < 1


def test_every_stage_with_gold_has_a_guide_and_every_note_a_sentence() -> None:
    assert set(GUIDE) == set(STAGES)
    known = drawn(("top", SQUARE), ("bottom", FAR))
    for answer in (drawn(("top", HALF), ("dress", FAR)), known):
        for note in match(Stage.SEGMENTATION, answer, known).notes:
            said = {"path": note.path, "given": note.given, "known": note.known, "value": note.value}
            assert explain(said).startswith(note.path)
