"""Drawn images must tell the truth about themselves."""

import io
import random
from typing import Any

import pytest
import shapely
from PIL import Image
from shapely.geometry import Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from crowd.simulation.drawing import Drawn, draw
from crowd.simulation.samples import sample_photographs
from crowd.simulation.wardrobe import COLORS, RECIPES, dress_up
from crowd.taxonomy import load_taxonomy

SEEDS = range(16)
UNLIKE_THE_STUDIO = ("red", "blue", "green", "navy", "wine", "purple", "khaki", "black", "orange")


@pytest.fixture(scope="module")
def drawings() -> list[Drawn]:
    return [draw(seed) for seed in SEEDS]


def regions(drawn: Drawn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = drawn.truth["segmentation"]["regions"]
    return found


def test_the_same_seed_draws_the_same_and_another_does_not(drawings: list[Drawn]) -> None:
    again = draw(3)
    assert again.truth == drawings[3].truth
    assert again.image.tobytes() == drawings[3].image.tobytes()
    assert drawings[4].image.tobytes() != drawings[3].image.tobytes()


def test_images_are_upright_and_480_to_800_wide(drawings: list[Drawn]) -> None:
    for drawn in drawings:
        assert drawn.image.mode == "RGB"
        assert 480 <= drawn.image.width <= 800
        assert drawn.image.width < drawn.image.height <= 2 * drawn.image.width
    assert len({drawn.image.width for drawn in drawings}) > 3


def test_rings_are_simple_inside_the_image_and_on_half_pixels(drawings: list[Drawn]) -> None:
    for drawn in drawings:
        for region in regions(drawn):
            for ring in region["rings"]:
                polygon = Polygon(ring)
                assert polygon.is_valid
                assert polygon.area > 100
                assert ring[0] != ring[-1]
                for x, y in ring:
                    assert 0 <= x <= drawn.image.width
                    assert 0 <= y <= drawn.image.height
                    assert (2 * x).is_integer()
                    assert (2 * y).is_integer()


def test_garments_of_one_image_do_not_overlap(drawings: list[Drawn]) -> None:
    for drawn in drawings:
        shapes = [[Polygon(ring) for ring in region["rings"]] for region in regions(drawn)]
        for number, mine in enumerate(shapes):
            for other in (shape for theirs in shapes[number + 1 :] for shape in theirs):
                assert sum(shape.intersection(other).area for shape in mine) < 0.02 * other.area + 40


def test_plain_garments_show_their_colour_inside_their_outline_and_not_beside_it(
    drawings: list[Drawn],
) -> None:
    checked = 0
    for drawn in drawings:
        everything = unary_union([Polygon(ring) for region in regions(drawn) for ring in region["rings"]])
        for region in regions(drawn):
            labels = drawn.truth["attributes"]["regions"][region["id"]]
            if labels["print"] != ["solid"] or labels["color"] not in UNLIKE_THE_STUDIO:
                continue
            shape = unary_union([Polygon(ring) for ring in region["rings"]])
            beside = shape.buffer(10).difference(everything.buffer(4))
            color = COLORS[labels["color"]]
            assert _share_alike(drawn, shape.buffer(-6), color) > 0.75, (region["part"], labels["color"])
            assert _share_alike(drawn, beside, color) < 0.2, (region["part"], labels["color"])
            checked += 1
    assert checked > 6


def _share_alike(drawn: Drawn, area: BaseGeometry, color: tuple[int, int, int]) -> float:
    shapely.prepare(area)
    spots = [
        Point(x, y)
        for x in range(3, drawn.image.width, 7)
        for y in range(3, drawn.image.height, 7)
        if shapely.contains_xy(area, x, y)
    ]
    return sum(_hue_distance(drawn, spot, color) < 45 for spot in spots) / len(spots)


def _hue_distance(drawn: Drawn, spot: Point, expected: tuple[int, int, int]) -> float:
    value = drawn.image.getpixel((int(spot.x), int(spot.y)))
    assert isinstance(value, tuple)
    light = min(1.35, max(0.35, sum(value) / max(1, sum(expected))))
    return max(abs(a - b * light) for a, b in zip(value, expected, strict=True))


def test_an_open_outer_is_two_rings(drawings: list[Drawn]) -> None:
    counts = [
        len(region["rings"]) for drawn in drawings for region in regions(drawn) if region["part"] == "outer"
    ]
    assert 2 in counts
    assert 1 in counts


def test_labels_are_keys_of_the_taxonomy_on_parts_they_apply_to(drawings: list[Drawn]) -> None:
    taxonomy = load_taxonomy()
    for drawn in drawings:
        labels = drawn.truth["attributes"]["regions"]
        assert set(labels) == {region["id"] for region in regions(drawn)}
        for region in regions(drawn):
            assert taxonomy.has_part(region["part"])
            for key, value in labels[region["id"]].items():
                attribute = taxonomy.attribute(key)
                assert attribute is not None
                assert attribute.applies_to(region["part"])
                known = {entry.key for entry in attribute.values_for(region["part"])}
                assert isinstance(value, list) == attribute.multiple
                assert set(value if isinstance(value, list) else [value] if value else []) <= known, key
    assert all(taxonomy.has_style(style) for style in RECIPES)
    assert len(RECIPES) == len(taxonomy.styles)


def test_styles_have_the_long_tail_of_the_real_data() -> None:
    styles = [dress_up(random.Random(seed)).styles for seed in range(4000)]
    mains = [names[0] for names in styles]
    assert 0.43 < mains.count("street") / len(mains) < 0.51
    assert mains.count("punk") < 0.01 * len(mains)
    assert len(set(mains)) > 18
    assert all(len(set(names)) == len(names) <= 2 for names in styles)


def test_sample_photographs_are_read_from_the_packages_that_are_installed() -> None:
    for name, data in sample_photographs():
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert min(image.size) > 300, name
