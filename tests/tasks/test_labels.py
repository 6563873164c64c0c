"""What a labelling result may say of an image, and where it says something else."""

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowd.tasks.labels import (
    InvalidResult,
    carry_attributes,
    check_attributes,
    check_segmentation,
    check_styles,
    check_unusable,
    region_parts,
)
from crowd.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()
WIDTH, HEIGHT = 800, 1066
SQUARE = [[10, 10], [110, 10], [110, 210], [10, 210]]
REGIONS = {"r1": "top", "r2": "bottom"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=20,
)
NUMBER = st.integers(-20, 900) | st.floats(-5, 900) | st.floats() | st.integers()
RING = st.lists(st.lists(NUMBER, min_size=2, max_size=2) | JSON, max_size=8)
REGION = st.fixed_dictionaries(
    {"id": st.just("r1") | JSON, "part": st.just("top") | JSON, "rings": st.lists(RING, max_size=3) | JSON},
    optional={"box": st.lists(NUMBER, min_size=4, max_size=4) | JSON},
)
LABELS = st.dictionaries(
    st.sampled_from([attribute.key for attribute in TAXONOMY.attributes]) | st.text(max_size=5),
    st.sampled_from(["black", "leggings", "stud"]) | st.lists(st.just("stud") | JSON, max_size=3) | JSON,
    max_size=6,
)


def region(**changes: Any) -> dict[str, Any]:
    return {"id": "r1", "part": "top", "rings": [copy.deepcopy(SQUARE)], **changes}


def segment(*regions: Any, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    return check_segmentation({"regions": list(regions)}, TAXONOMY, width, height)


def faults(check: Callable[..., Any], *arguments: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidResult) as caught:
        check(*arguments)
    return caught.value.errors


def segmentation_faults(*regions: Any) -> dict[str, list[str]]:
    return faults(check_segmentation, {"regions": list(regions)}, TAXONOMY, WIDTH, HEIGHT)


def attribute_faults(result: Any) -> dict[str, list[str]]:
    return faults(check_attributes, result, TAXONOMY, REGIONS)


def test_a_region_without_a_box_gets_the_bounds_of_all_its_rings() -> None:
    triangle = [[300, 5], [310.5, 40], [290, 40]]
    checked = segment(region(rings=[SQUARE, triangle]))
    assert checked == {
        "regions": [{"id": "r1", "part": "top", "rings": [SQUARE, triangle], "box": [10, 5, 300.5, 205]}]
    }


def test_a_box_of_ones_own_is_kept() -> None:
    assert segment(region(box=[5, 5, 120, 220]))["regions"][0]["box"] == [5, 5, 120, 220]


def test_a_repeated_closing_point_is_dropped() -> None:
    assert segment(region(rings=[[*SQUARE, SQUARE[0], SQUARE[0]]]))["regions"][0]["rings"] == [SQUARE]


def test_normal_form_passes_again_unchanged() -> None:
    once = segment(region(), region(id="r2", part="bottom", box=[0, 0, WIDTH, HEIGHT]))
    assert check_segmentation(once, TAXONOMY, WIDTH, HEIGHT) == once
    assert region_parts(once) == {"r1": "top", "r2": "bottom"}


def test_the_whole_image_is_inside_the_image() -> None:
    corners = [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]
    assert segment(region(rings=[corners], box=[0, 0, WIDTH, HEIGHT]))


def test_a_box_may_cut_into_a_ring_by_one_pixel_and_no_more() -> None:
    assert segment(region(box=[11, 10, 99, 200]))
    errors = segmentation_faults(region(box=[11.5, 10, 99, 200]))
    assert errors == {"regions.0.box": ["does not contain the rings: they reach 1.5 px beyond it"]}


@pytest.mark.parametrize(
    "box", [[10, 10, 98, 200], [10, 12, 100, 198], [10, 10, 100, 198.5], [300, 300, 10, 10]]
)
def test_a_box_that_misses_the_rings_on_any_side_is_refused(box: list[float]) -> None:
    assert list(segmentation_faults(region(box=box))) == ["regions.0.box"]


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"id": ""}, "id", "must be 1 to 32 letters"),
        ({"id": "r" * 33}, "id", "must be 1 to 32 letters"),
        ({"id": "r.1"}, "id", "must be 1 to 32 letters"),
        ({"id": "r1\n"}, "id", "must be 1 to 32 letters"),
        ({"id": "치마"}, "id", "must be 1 to 32 letters"),
        ({"id": 1}, "id", "must be 1 to 32 letters"),
        ({"part": "hat"}, "part", "unknown part hat"),
        ({"part": None}, "part", "unknown part null"),
        ({"rings": []}, "rings", "must be a list with at least one entry"),
        ({"rings": [SQUARE] * 65}, "rings", "must not have more than 64 entries"),
        ({"rings": [SQUARE, {}]}, "rings.1", "must be a list of points"),
        ({"rings": [[[1, 1]] * 2001]}, "rings.0", "must not have more than 2000 points"),
        ({"rings": [SQUARE[:2]]}, "rings.0", "must have at least 3 different points"),
        ({"rings": [[[1, 1], [2, 2], [1, 1], [2, 2]]]}, "rings.0", "must have at least 3 different points"),
        ({"rings": [[[1, 1], [2, 2], [9, 9]]]}, "rings.0", "encloses no area"),
        (
            {"rings": [[[0, 0], [9, 9], [9, 0], [0, 9]]]},
            "rings.0",
            "crosses or touches itself near x 4.5, y 4.5",
        ),
        (
            {"rings": [[[0, 0], [8, 0], [8, 8], [4, 0]]]},
            "rings.0",
            "crosses or touches itself near x 4.0, y 0.0",
        ),
        ({"rings": [SQUARE, [*SQUARE, [-0.5, 5]]]}, "rings.1.4", "lies outside the image of 800 x 1066 px"),
        ({"rings": [[*SQUARE, [5, 1066.01]]]}, "rings.0.4", "lies outside"),
        ({"rings": [[*SQUARE, [801, 5]]]}, "rings.0.4", "lies outside"),
        ({"rings": [[*SQUARE, [10**400, 5]]]}, "rings.0.4", "lies outside"),
        ({"rings": [[*SQUARE, [math.nan, 5]]]}, "rings.0.4", "must be two finite numbers"),
        ({"rings": [[*SQUARE, [math.inf, 5]]]}, "rings.0.4", "must be two finite numbers"),
        ({"rings": [[*SQUARE, [True, 5]]]}, "rings.0.4", "must be two finite numbers"),
        ({"rings": [[*SQUARE, ["1", 5]]]}, "rings.0.4", "must be two finite numbers"),
        ({"rings": [[*SQUARE, [1, 2, 3]]]}, "rings.0.4", "must be two finite numbers"),
        ({"box": [10, 10, 100]}, "box", "must be four finite numbers"),
        ({"box": [10, 10, math.nan, 200]}, "box", "must be four finite numbers"),
        ({"box": [10, 10, False, 200]}, "box", "must be four finite numbers"),
        ({"box": [10, 10, 0, 200]}, "box", "must be wider and higher than 0"),
        ({"box": [10, 10, 100, -1]}, "box", "must be wider and higher than 0"),
        ({"box": [-1, 10, 120, 200]}, "box", "reaches outside the image"),
        ({"box": [10, 10, 791, 200]}, "box", "reaches outside the image"),
        ({"box": [10, 10, 100, 1057]}, "box", "reaches outside the image"),
        ({"box": [10.5, 10, 10**400, 200]}, "box", "reaches outside the image"),
        ({"colour": "red"}, "colour", "unknown field"),
    ],
)
def test_one_fault_of_a_region_is_told_under_its_path(changes: dict[str, Any], path: str, text: str) -> None:
    errors = segmentation_faults(region(id="r0"), region(**changes))
    assert list(errors) == [f"regions.1.{path}"]
    assert text in errors[f"regions.1.{path}"][0]


def test_two_regions_of_one_id_are_refused() -> None:
    assert segmentation_faults(region(), region(id="r2"), region()) == {"regions.2.id": ["r1 is used twice"]}


def test_all_faults_of_all_regions_are_told_at_once() -> None:
    errors = segmentation_faults(region(part="hat", box=[1]), region(id="", rings=[SQUARE, [[1, 1]]]))
    assert set(errors) == {"regions.0.part", "regions.0.box", "regions.1.id", "regions.1.rings.1"}


@pytest.mark.parametrize("result", [None, [], "x", {}, {"regions": []}, {"regions": {}}, {"regions": None}])
def test_at_least_one_region_is_needed(result: Any) -> None:
    assert {"regions", "result"} & set(faults(check_segmentation, result, TAXONOMY, WIDTH, HEIGHT))


def test_32_regions_pass_and_33_do_not() -> None:
    regions = [region(id=f"r{number}") for number in range(33)]
    assert len(segment(*regions[:32])["regions"]) == 32
    assert segmentation_faults(*regions) == {"regions": ["must not have more than 32 entries"]}


def circle(points: int) -> list[list[float]]:
    angles = [2 * math.pi * step / points for step in range(points)]
    return [[400 + 300 * math.cos(angle), 400 + 300 * math.sin(angle)] for angle in angles]


def test_2000_points_in_a_ring_and_10000_in_all_pass_and_one_more_does_not() -> None:
    full = region(rings=[circle(2000)] * 5)
    assert segment(full)
    errors = segmentation_faults(full, region(id="r2", rings=[SQUARE]))
    assert errors == {"regions": ["must not have more than 10000 points in all"]}


def test_a_flood_of_faults_is_cut_off() -> None:
    assert len(segmentation_faults(region(rings=[[[-1, -1]] * 1500]))) == 100


def test_labels_come_back_with_every_attribute_of_the_part() -> None:
    given_labels = {
        "regions": {
            "r2": {"category": "jeans", "collar": None, "neckline": []},
            "r1": {"category": "shirts", "color": "white", "detail": ["stud", "lace", "stud"], "print": None},
        }
    }
    checked = check_attributes(given_labels, TAXONOMY, REGIONS)["regions"]
    assert list(checked) == ["r1", "r2"]
    assert checked["r1"] == {
        "category": "shirts",
        "color": "white",
        "sub_color": None,
        "detail": ["stud", "lace"],
        "print": [],
        "material": [],
        "length": None,
        "sleeve": None,
        "neckline": None,
        "collar": None,
        "fit": None,
        "silhouette": None,
        "item": None,
    }
    assert "collar" not in checked["r2"]
    assert checked["r2"]["shape"] is None


def test_normal_labels_pass_again_unchanged() -> None:
    once = check_attributes({"regions": {"r1": {"detail": ["stud"]}, "r2": {}}}, TAXONOMY, REGIONS)
    assert check_attributes(once, TAXONOMY, REGIONS) == once


@pytest.mark.parametrize(
    ("labels", "path", "text"),
    [
        ({"category": "leggings"}, "category", "leggings does not apply to top"),
        ({"category": "cape"}, "category", "unknown category cape"),
        ({"category": ["shirts"]}, "category", "takes one value, not a list"),
        ({"category": {}}, "category", "unknown category an object"),
        ({"category": 3}, "category", "unknown category a number"),
        ({"length": "maxi"}, "length", "maxi does not apply to top"),
        ({"detail": "stud"}, "detail", "takes a list of values"),
        ({"detail": ["stud", "lace", "glue"]}, "detail.2", "unknown detail glue"),
        ({"detail": ["stud", None]}, "detail.1", "unknown detail null"),
        ({"shape": "a-line"}, "shape", "shape does not apply to top: leave it out or null"),
        ({"shape": ["a-line"]}, "shape", "shape does not apply to top: leave it out or null"),
        ({"colour": "red"}, "colour", "unknown attribute"),
        ([], None, "must be an object of attributes"),
    ],
)
def test_one_fault_in_a_label_is_told_under_its_path(labels: Any, path: str | None, text: str) -> None:
    errors = attribute_faults({"regions": {"r1": labels, "r2": {}}})
    assert errors == {"regions.r1" if path is None else f"regions.r1.{path}": [text]}


def test_labels_are_needed_for_exactly_the_current_regions() -> None:
    assert attribute_faults({"regions": {"r1": {}, "r9": {}}}) == {
        "regions.r9": ["there is no such region in the current segmentation"],
        "regions.r2": ["is missing: every region needs its attributes"],
    }


@pytest.mark.parametrize("result", [None, [], {}, {"regions": None}, {"regions": []}])
def test_labels_without_regions_are_refused(result: Any) -> None:
    assert {"regions", "result"} & set(attribute_faults(result))


def test_styles_keep_their_order_and_are_sure_unless_said() -> None:
    assert check_styles({"styles": ["resort", "country"]}, TAXONOMY) == {
        "styles": ["resort", "country"],
        "unsure": False,
    }
    assert check_styles({"styles": ["punk"], "unsure": True}, TAXONOMY)["unsure"] is True


@pytest.mark.parametrize(
    ("result", "errors"),
    [
        ({}, {"styles": ["is missing"]}),
        ({"styles": []}, {"styles": ["must be a list with at least one entry"]}),
        ({"styles": "punk"}, {"styles": ["must be a list with at least one entry"]}),
        ({"styles": ["punk", "modern", "punk"]}, {"styles.2": ["punk is named twice"]}),
        ({"styles": ["punk", "goth"]}, {"styles.1": ["unknown style goth"]}),
        ({"styles": [["punk"]]}, {"styles.0": ["unknown style a list"]}),
        ({"styles": ["punk"], "unsure": 1}, {"unsure": ["must be true or false"]}),
        ({"styles": ["punk"], "unsure": None}, {"unsure": ["must be true or false"]}),
        ({"styles": ["punk"], "unsur": True}, {"unsur": ["unknown field"]}),
    ],
)
def test_mistaken_styles_are_told(result: Any, errors: dict[str, list[str]]) -> None:
    assert faults(check_styles, result, TAXONOMY) == errors


def test_an_unusable_image_is_said_by_a_known_code() -> None:
    assert check_unusable({"unusable": "collage"}, TAXONOMY) == {"unusable": "collage"}


@pytest.mark.parametrize(
    ("result", "path"),
    [
        ({"unusable": "ugly"}, "unusable"),
        ({"unusable": "wrong_entry"}, "unusable"),
        ({"unusable": None}, "unusable"),
        ({"unusable": ["collage"]}, "unusable"),
        ({}, "unusable"),
        ({"unusable": "collage", "regions": []}, "regions"),
        ("collage", "result"),
    ],
)
def test_an_unusable_image_is_said_by_nothing_else(result: Any, path: str) -> None:
    assert path in faults(check_unusable, result, TAXONOMY)


@given(JSON | st.fixed_dictionaries({"regions": st.lists(REGION, max_size=3) | JSON}))
def test_no_json_breaks_the_check_of_a_segmentation(result: object) -> None:
    try:
        checked = check_segmentation(result, TAXONOMY, WIDTH, HEIGHT)
    except InvalidResult as error:
        assert error.errors
    else:
        assert check_segmentation(checked, TAXONOMY, WIDTH, HEIGHT) == checked


@given(JSON | st.fixed_dictionaries({"regions": st.fixed_dictionaries({"r1": LABELS, "r2": LABELS | JSON})}))
def test_no_json_breaks_the_check_of_attributes(result: object) -> None:
    try:
        checked = check_attributes(result, TAXONOMY, REGIONS)
    except InvalidResult as error:
        assert error.errors
    else:
        assert check_attributes(checked, TAXONOMY, REGIONS) == checked


@given(JSON | st.fixed_dictionaries({"styles": JSON | st.lists(JSON)}, optional={"unsure": JSON}))
def test_no_json_breaks_the_check_of_styles(result: object) -> None:
    with pytest.raises(InvalidResult):
        check_styles(result, TAXONOMY)


@given(JSON | st.fixed_dictionaries({"unusable": JSON}))
def test_no_json_breaks_the_check_of_unusable(result: object) -> None:
    with pytest.raises(InvalidResult):
        check_unusable(result, TAXONOMY)


@given(st.lists(st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)), min_size=3, max_size=12))
def test_a_ring_that_passes_encloses_area_within_its_box(points: list[tuple[float, float]]) -> None:
    try:
        checked = segment(region(rings=[[list(point) for point in points]]))
    except InvalidResult:
        return
    x, y, w, h = checked["regions"][0]["box"]
    assert w > 0
    assert h > 0
    assert all(x <= px <= x + w + 1e-9 and y <= py <= y + h + 1e-9 for px, py in points)


LABELLED = {
    "regions": {"r1": {"category": "shirts"}, "r2": {"category": "jeans"}, "r3": {"category": "coats"}}
}
OLD = {"r1": "top", "r2": "bottom", "r3": "outer"}


def test_a_region_of_the_same_id_and_part_keeps_its_labels() -> None:
    assert carry_attributes(LABELLED, OLD, OLD) == LABELLED


def test_what_is_left_over_is_paired_by_part_and_the_rest_dropped() -> None:
    new = {"a": "bottom", "r1": "dress", "b": "top", "c": "top"}
    assert carry_attributes(LABELLED, OLD, new) == {
        "regions": {"a": {"category": "jeans"}, "b": {"category": "shirts"}}
    }


def test_pairs_of_one_part_are_made_in_order() -> None:
    labelled = {"regions": {"x": {"color": "red"}, "y": {"color": "blue"}, "z": {"color": "pink"}}}
    old = {"x": "top", "y": "top", "z": "top"}
    assert carry_attributes(labelled, old, {"p": "top", "y": "top", "q": "top"}) == {
        "regions": {"p": {"color": "red"}, "y": {"color": "blue"}, "q": {"color": "pink"}}
    }


def test_swapped_parts_take_the_labels_of_the_part() -> None:
    assert carry_attributes(LABELLED, OLD, {"r1": "bottom", "r2": "top"}) == {
        "regions": {"r1": {"category": "jeans"}, "r2": {"category": "shirts"}}
    }


@pytest.mark.parametrize("attributes", [None, {}, {"regions": {}}, LABELLED])
def test_nothing_left_to_carry_is_none(attributes: dict[str, Any] | None) -> None:
    assert carry_attributes(attributes, OLD, {"r1": "dress"}) is None


def test_an_old_region_without_labels_hands_on_none() -> None:
    labelled = {"regions": {"y": {"color": "blue"}}}
    assert carry_attributes(labelled, {"x": "top", "y": "top"}, {"p": "top", "q": "top"}) == {
        "regions": {"p": {"color": "blue"}}
    }


def test_carried_labels_are_a_copy() -> None:
    labelled = {"regions": {"r1": {"detail": ["stud"]}}}
    carried = carry_attributes(labelled, {"r1": "top"}, {"r1": "top"})
    assert carried is not None
    carried["regions"]["r1"]["detail"].append("lace")
    assert labelled == {"regions": {"r1": {"detail": ["stud"]}}}


def test_the_checks_are_pure() -> None:
    probe = (
        "import sys, crowd.tasks.labels; "
        "print(*{'flask', 'sqlalchemy', 'redis', 'rq', 'torch', 'marshmallow'} & set(sys.modules))"
    )
    seen = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == []
