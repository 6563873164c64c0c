"""What an answer has in common with the candidates of its task. PURE; knows JSON and geometry alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from crowd.policy import Stage

# Of values that can hold together, a model proposes those that it finds more likely than not.
LIKELY = 0.5
# Nobody draws over an outline that lies so well (IoU); below the other nobody used it at all.
SAME_OUTLINE = 0.95
TOUCHED_OUTLINE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer relates to what was proposed.

    `proposed`, `kept`: how many regions, values or styles. `edit`: 1 - mean IoU over all regions of either
    (segmentation), how many attributes differ, or how many styles are in one of both alone. `is_same`:
    nothing was changed. `detail`: the rank (from 0) of everything chosen, null if not among the candidates.
    """

    proposed: int
    kept: int
    edit: float
    is_same: bool
    detail: Any


def choice(ranked: Sequence[Mapping[str, Any]], *, multiple: bool) -> list[str]:
    """What a ranked list comes to if nobody objects: the first value, or every likely one of several."""
    if not multiple:
        return [entry["value"] for entry in ranked[:1]]
    return [entry["value"] for entry in ranked if entry["score"] >= LIKELY]


def compare(stage: Stage, candidates: Mapping[str, Any], result: Mapping[str, Any]) -> Comparison:
    """The answer `result` (checked labels of `stage`) beside the `candidates` of its task."""
    match stage:
        case Stage.SEGMENTATION:
            return _compare_regions(candidates["regions"], result["regions"])
        case Stage.ATTRIBUTES:
            return _compare_attributes(candidates["regions"], result["regions"])
        case _:
            return _compare_styles(candidates["styles"], result["styles"])


def _compare_regions(proposed: Sequence[Mapping[str, Any]], drawn: Sequence[Mapping[str, Any]]) -> Comparison:
    pairs = matches([shape_of(region) for region in proposed], [shape_of(region) for region in drawn])
    overlaps = {place: overlap for place, _, overlap in pairs}
    kept = sum(
        overlap >= SAME_OUTLINE and proposed[place]["part"] == drawn[other]["part"]
        for place, other, overlap in pairs
    )
    ranks = {other: place for place, other, _ in pairs}
    most = max(len(proposed), len(drawn))
    return Comparison(
        proposed=len(proposed),
        kept=kept,
        edit=round(1 - sum(overlaps.values()) / most, 6) if most else 0.0,
        is_same=kept == len(proposed) == len(drawn),
        detail={region["id"]: ranks.get(place) for place, region in enumerate(drawn)},
    )


def matches(
    proposed: Sequence[shapely.Geometry], drawn: Sequence[shapely.Geometry]
) -> list[tuple[int, int, float]]:
    """Pairs of one of each with their IoU, the best ones first."""
    overlaps = [
        (_iou(mine, theirs), place, other)
        for place, mine in enumerate(proposed)
        for other, theirs in enumerate(drawn)
    ]
    pairs: list[tuple[int, int, float]] = []
    used: set[int] = set()
    found: set[int] = set()
    for overlap, place, other in sorted(overlaps, key=lambda each: (-each[0], each[1], each[2])):
        if overlap >= TOUCHED_OUTLINE and place not in used and other not in found:
            used.add(place)
            found.add(other)
            pairs.append((place, other, overlap))
    return pairs


def shape_of(region: Mapping[str, Any]) -> shapely.Geometry:
    """What a region's rings cover."""
    rings = [shapely.make_valid(shapely.Polygon(ring)) for ring in region["rings"] if len(ring) > 2]
    return shapely.union_all(rings)


def _iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    if not shapely.intersects(one, other):
        return 0.0
    common = float(shapely.intersection(one, other).area)
    union = float(one.area + other.area) - common
    return common / union if union else 0.0


def _compare_attributes(
    proposed: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    given: Mapping[str, Mapping[str, Any]],
) -> Comparison:
    asked = kept = 0
    detail: dict[str, dict[str, Any]] = {}
    for name, attributes in proposed.items():
        answers = given.get(name, {})
        for attribute, ranked in attributes.items():
            answer = answers.get(attribute)
            chosen = answer if isinstance(answer, list) else [answer] if answer is not None else []
            asked += 1
            kept += set(chosen) == set(choice(ranked, multiple=isinstance(answer, list)))
            ranks = _ranks(ranked)
            found = [ranks.get(value) for value in chosen]
            detail.setdefault(name, {})[attribute] = (
                found if isinstance(answer, list) else (found or [None])[0]
            )
    return Comparison(asked, kept, float(asked - kept), kept == asked, detail)


def _compare_styles(proposed: Sequence[Mapping[str, Any]], given: Sequence[str]) -> Comparison:
    first = choice(proposed, multiple=False)
    likely = choice(proposed, multiple=True) or first
    ranks = _ranks(proposed)
    return Comparison(
        proposed=len(likely),
        kept=len(set(likely) & set(given)),
        edit=float(len(set(likely) ^ set(given))),
        is_same=set(likely) == set(given) and list(given[:1]) == first,
        detail={style: ranks.get(style) for style in given},
    )


def _ranks(ranked: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {entry["value"]: place for place, entry in enumerate(ranked)}
