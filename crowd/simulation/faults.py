"""Where labels differ from the truth, and which reason code says so. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from crowd.policy import Stage
from crowd.simulation.truth import Truth

# Overlap (area of the intersection over that of the union) of outlines that count as the same.
SAME_OUTLINE = 0.9
# Below this two outlines do not mean the same garment.
SAME_GARMENT = 0.1

ATTRIBUTE_REASONS = {"category": "wrong_category", "color": "wrong_color", "sub_color": "wrong_color"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One difference: the stage whose work is wrong, and the code of the reason."""

    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """A true region that a labelled one stands for, and how far the outlines overlap (0 to 1)."""

    region: Mapping[str, Any]
    overlap: float


def find_faults(labels: Mapping[str, Any], truth: Truth) -> list[Fault]:
    """What is wrong with `labels` (results by stage), earliest stage first; one without is not judged."""
    found: list[Fault] = []
    regions = (labels.get(Stage.SEGMENTATION) or {}).get("regions", [])
    matches = match_regions(regions, truth.segmentation["regions"])
    if labels.get(Stage.SEGMENTATION):
        found += _region_faults(regions, matches, truth)
    if labels.get(Stage.ATTRIBUTES):
        found += _attribute_faults(labels[Stage.ATTRIBUTES]["regions"], regions, matches, truth)
    if labels.get(Stage.STYLES):
        found += _style_faults(labels[Stage.STYLES]["styles"], truth.styles["styles"])
    return list(dict.fromkeys(found))


def match_regions(
    regions: Sequence[Mapping[str, Any]], true_regions: Sequence[Mapping[str, Any]]
) -> dict[str, Match]:
    """Region id → the true region it overlaps most, one to one; what overlaps nothing is left out."""
    if _same_regions(regions, true_regions):
        # Bots answer with the truth itself most of the time, and shapes take their time.
        return {region["id"]: Match(true, 1.0) for region, true in zip(regions, true_regions, strict=True)}
    shapes = {region["id"]: _shape(region) for region in regions}
    true_shapes = [_shape(region) for region in true_regions]
    pairs = sorted(
        (
            (_overlap(shape, true_shape), name, place)
            for name, shape in shapes.items()
            for place, true_shape in enumerate(true_shapes)
        ),
        reverse=True,
    )
    matches: dict[str, Match] = {}
    taken: set[int] = set()
    for overlap, name, place in pairs:
        if overlap >= SAME_GARMENT and name not in matches and place not in taken:
            matches[name] = Match(true_regions[place], overlap)
            taken.add(place)
    return matches


def answered(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The questions that are answered at all, lists in no order: null, empty and left out are the same."""
    return {
        key: frozenset(value) if isinstance(value, list) else value
        for key, value in attributes.items()
        if value is not None and value != []
    }


def _same_regions(regions: Sequence[Mapping[str, Any]], true_regions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the outlines are the true ones point by point, in the same order."""
    return [region["rings"] for region in regions] == [region["rings"] for region in true_regions]


def _shape(region: Mapping[str, Any]) -> BaseGeometry:
    # buffer(0) mends rings that cross each other in a garment cut in parts.
    return unary_union([shapely.Polygon(ring).buffer(0) for ring in region["rings"]])


def _overlap(one: BaseGeometry, other: BaseGeometry) -> float:
    common = one.intersection(other).area
    whole = one.area + other.area - common
    return float(common / whole) if whole else 0.0


def _region_faults(
    regions: Sequence[Mapping[str, Any]], matches: Mapping[str, Match], truth: Truth
) -> Iterator[Fault]:
    if len(matches) < len(truth.segmentation["regions"]):
        yield Fault(Stage.SEGMENTATION, "missed_garment")
    for region in regions:
        match = matches.get(region["id"])
        if match is None:
            yield Fault(Stage.SEGMENTATION, "wrong_region")
            continue
        if match.region["part"] != region["part"]:
            yield Fault(Stage.SEGMENTATION, "wrong_part")
        if match.overlap <= SAME_OUTLINE:
            yield Fault(Stage.SEGMENTATION, "bad_outline")


def _attribute_faults(
    labelled: Mapping[str, Any],
    regions: Sequence[Mapping[str, Any]],
    matches: Mapping[str, Match],
    truth: Truth,
) -> Iterator[Fault]:
    for region in regions:
        match = matches.get(region["id"])
        # Where the region itself is wrong, nothing can be said about its attributes.
        if match is None or match.region["part"] != region["part"]:
            continue
        given = answered(labelled.get(region["id"]) or {})
        true = answered(truth.attributes["regions"][match.region["id"]])
        for key in sorted(given.keys() | true.keys()):
            if given.get(key) != true.get(key):
                yield Fault(Stage.ATTRIBUTES, _attribute_reason(key, given.get(key)))


def _attribute_reason(key: str, given: object) -> str:
    return "missing" if given is None else ATTRIBUTE_REASONS.get(key, "wrong_attribute")


def _style_faults(labelled: Sequence[str], true: Sequence[str]) -> Iterator[Fault]:
    if labelled[0] != true[0]:
        yield Fault(Stage.STYLES, "wrong_style")
