"""How well an answer meets the known one: 0 to 1, with a note on each thing that differs. PURE.

Labels are those of `crowd.tasks.labels` in their normal form; coordinates are pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import shapely

from crowd.policy import Stage
from crowd.review.policy import PASSING


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was compared: its path, what was given, what is known, and how well they meet (0–1)."""

    path: str
    given: Any
    known: Any
    value: float


@dataclass(frozen=True, slots=True)
class Match:
    """How well an answer meets the known one, in all and in each thing that could be compared."""

    value: float
    notes: Sequence[Note] = field(default=())


def match(stage: Stage, given: Mapping[str, Any], known: Mapping[str, Any], half: float) -> Match:
    """`given`: a checked result, or a send-back with `to`; `known`: the same, or `passes` with `blame`.

    `half`: what an answer is worth (0 to 1) that lies on the right side for the wrong reason.
    """
    if stage in (Stage.FIRST_REVIEW, Stage.SECOND_REVIEW):
        return _of_verdict(given, known, half)
    for word in ("unusable", "to"):
        if word in given or word in known:
            return _of_refusal(word, given, known, half)
    match stage:
        case Stage.SEGMENTATION:
            return _of_regions(given["regions"], known["regions"])
        case Stage.ATTRIBUTES:
            return _of_attributes(given["regions"], known["regions"])
        case _:
            return _of_styles(given["styles"], known["styles"], half)


def _of_verdict(given: Mapping[str, Any], known: Mapping[str, Any], half: float) -> Match:
    """The right side of 4; and where the work is bad, the stage that made it so."""
    passes = given["score"] >= PASSING
    side = Note(
        "score", given["score"], "4 or 5" if known["passes"] else "1 to 3", float(passes == known["passes"])
    )
    if not side.value or passes:
        return Match(side.value, (side,))
    right = known.get("blame") in (None, given.get("blame"))
    blame = Note("blame", given.get("blame"), known.get("blame"), float(right))
    return Match(1.0 if right else half, (side, blame))


def _of_refusal(word: str, given: Mapping[str, Any], known: Mapping[str, Any], half: float) -> Match:
    """An image called unusable, or sent back, by one side at least."""
    mine, theirs = given.get(word), known.get(word)
    value = 0.0 if mine is None or theirs is None else 1.0 if mine == theirs else half
    return Match(value, (Note(word, mine, theirs, value),))


def _of_regions(given: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> Match:
    """Mean IoU over all regions of either; a region pairs with one of its own part alone."""
    pairs = dict(_pairs(given, known))
    notes = []
    for place, region in enumerate(known):
        other = pairs.get(place)
        path = f"regions.{region['id']}"
        if other is None:
            notes.append(Note(f"{path}.part", None, region["part"], 0.0))
        else:
            notes.append(Note(f"{path}.rings", None, None, _iou(_shape(given[other]), _shape(region))))
    besides = sorted(set(range(len(given))) - set(pairs.values()))
    notes += [Note(f"regions.{given[one]['id']}.part", given[one]["part"], None, 0.0) for one in besides]
    return Match(_mean([note.value for note in notes]), tuple(notes))


def _pairs(
    given: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, int]]:
    """Known and given regions that belong together, the best ones first."""
    drawn, shapes = [_shape(each) for each in given], [_shape(each) for each in known]
    overlaps = sorted(
        (
            (-_iou(drawn[mine], shapes[theirs]), theirs, mine)
            for theirs, region in enumerate(known)
            for mine, other in enumerate(given)
            if other["part"] == region["part"]
        ),
    )
    used: set[tuple[str, int]] = set()
    for overlap, theirs, mine in overlaps:
        if overlap < 0 and not used & {("theirs", theirs), ("mine", mine)}:
            used |= {("theirs", theirs), ("mine", mine)}
            yield theirs, mine


def _shape(region: Mapping[str, Any]) -> shapely.Geometry:
    return shapely.union_all([shapely.make_valid(shapely.Polygon(ring)) for ring in region["rings"]])


def _iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    union = float(one.union(other).area)
    return round(float(one.intersection(other).area) / union, 6) if union else 0.0


def _of_attributes(given: Mapping[str, Any], known: Mapping[str, Any]) -> Match:
    """The share of equal values over all attributes that either names; lists by Jaccard."""
    notes = [
        Note(f"regions.{region}.{name}", mine, theirs, _same(mine, theirs))
        for region in sorted({*given, *known})
        for name in sorted({*given.get(region, {}), *known.get(region, {})})
        for mine, theirs in [(given.get(region, {}).get(name), known.get(region, {}).get(name))]
        if mine or theirs
    ]
    return Match(_mean([note.value for note in notes]), tuple(notes))


def _same(given: Any, known: Any) -> float:
    if isinstance(given, list) or isinstance(known, list):
        return _jaccard(given or [], known or [])
    return float(given == known)


def _of_styles(given: Sequence[str], known: Sequence[str], half: float) -> Match:
    """Jaccard of the styles, that by `half` where another one is named first."""
    value = _jaccard(given, known) * (1.0 if given[0] == known[0] else half)
    return Match(value, (Note("styles", list(given), list(known), value),))


def _jaccard(one: Sequence[str], other: Sequence[str]) -> float:
    union = {*one, *other}
    return round(len({*one} & {*other}) / len(union), 6) if union else 1.0


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6) if values else 1.0
