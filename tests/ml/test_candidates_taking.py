"""What an answer has in common with its candidates: worked examples of each stage."""

from typing import Any

import pytest

from crowd.ml.taking import compare
from crowd.policy import Stage

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
RIGHT_HALF = [[20, 10], [30, 10], [30, 30], [20, 30]]
ELSEWHERE = [[60, 60], [80, 60], [80, 80], [60, 80]]


def region(name: str, ring: Any, part: str = "top", **more: Any) -> dict[str, Any]:
    return {"id": name, "part": part, "rings": [ring], **more}


def test_an_outline_taken_as_it_is_is_no_edit() -> None:
    found = compare(
        Stage.SEGMENTATION, {"regions": [region("r1", SQUARE, score=0.9)]}, {"regions": [region("x", SQUARE)]}
    )
    assert (found.is_same, found.kept, found.edit, found.detail) == (True, 1, 0.0, {"x": 0})


def test_half_an_outline_is_half_an_edit() -> None:
    found = compare(
        Stage.SEGMENTATION, {"regions": [region("r1", SQUARE)]}, {"regions": [region("r1", RIGHT_HALF)]}
    )
    assert (found.is_same, found.kept, found.detail) == (False, 0, {"r1": 0})
    assert found.edit == pytest.approx(0.5)


def test_an_outline_of_another_part_is_not_kept() -> None:
    found = compare(
        Stage.SEGMENTATION,
        {"regions": [region("r1", SQUARE, "top")]},
        {"regions": [region("r1", SQUARE, "dress")]},
    )
    assert (found.is_same, found.kept, found.edit) == (False, 0, 0.0)


def test_drawn_regions_find_their_candidates_whatever_they_are_called() -> None:
    found = compare(
        Stage.SEGMENTATION,
        {"regions": [region("r1", SQUARE), region("r2", ELSEWHERE)]},
        {"regions": [region("r1", ELSEWHERE), region("r2", [[90, 90], [99, 90], [99, 99]])]},
    )
    assert found.detail == {"r1": 1, "r2": None}
    assert (found.proposed, found.kept, found.edit) == (2, 1, 0.5)


def test_an_image_without_proposed_regions_is_all_edit() -> None:
    found = compare(Stage.SEGMENTATION, {"regions": []}, {"regions": [region("r1", SQUARE)]})
    assert (found.proposed, found.kept, found.edit, found.is_same) == (0, 0, 1.0, False)


def ranked(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"value": value, "score": score} for value, score in pairs]


ATTRIBUTES = {
    "regions": {
        "r1": {
            "color": ranked(("white", 0.6), ("red", 0.3)),
            "detail": ranked(("frill", 0.8), ("pocket", 0.6), ("zip-up", 0.1)),
        }
    }
}


@pytest.mark.parametrize(
    ("answer", "kept", "ranks"),
    [
        ({"color": "white", "detail": ["pocket", "frill"]}, 2, {"color": 0, "detail": [1, 0]}),
        ({"color": "red", "detail": ["frill", "pocket"]}, 1, {"color": 1, "detail": [0, 1]}),
        ({"color": None, "detail": []}, 0, {"color": None, "detail": []}),
        ({"color": "black", "detail": ["frill", "zip-up"]}, 0, {"color": None, "detail": [0, 2]}),
    ],
)
def test_attributes_are_compared_one_by_one(answer: Any, kept: int, ranks: Any) -> None:
    found = compare(Stage.ATTRIBUTES, ATTRIBUTES, {"regions": {"r1": answer}})
    assert (found.proposed, found.kept, found.edit, found.is_same) == (2, kept, 2.0 - kept, kept == 2)
    assert found.detail == {"r1": ranks}


@pytest.mark.parametrize(
    ("styles", "kept", "edit", "is_same"),
    [
        (["resort", "country"], 2, 0, True),
        (["country", "resort"], 2, 0, False),
        (["resort"], 1, 1, False),
        (["retro"], 0, 3, False),
        (["resort", "country", "street"], 2, 1, False),
    ],
)
def test_styles_are_sets_but_for_the_main_one(
    styles: list[str], kept: int, edit: float, is_same: bool
) -> None:
    proposed = ranked(("resort", 0.9), ("country", 0.7), ("street", 0.2))
    found = compare(Stage.STYLES, {"styles": proposed}, {"styles": styles, "unsure": False})
    assert (found.proposed, found.kept, found.edit, found.is_same) == (2, kept, edit, is_same)


def test_of_unlikely_styles_the_first_is_proposed() -> None:
    found = compare(Stage.STYLES, {"styles": ranked(("resort", 0.2), ("retro", 0.1))}, {"styles": ["resort"]})
    assert (found.proposed, found.is_same, found.detail) == (1, True, {"resort": 0})
