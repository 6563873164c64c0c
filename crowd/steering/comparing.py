"""How like two answers to one question are. PURE: JSON and geometry alone."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from crowd.ml.taking import compare
from crowd.policy import Stage
from crowd.review.agreement import masi
from crowd.review.policy import PASSING
from crowd.tasks.flow import LABELLING

# Shares are kept as whole numbers of so many parts, so that sums are exact.
PARTS = 1_000_000
# Longer values are told apart by their hash.
LONGEST_VALUE = 200
SCORE, STYLES = "score", "styles"


def likeness(stage: Stage, one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """From 0 (nothing in common) to PARTS (the same): by what the stage's answers are made of.

    Segmentation: the mean IoU of the regions of either; attributes: how many of all are equal; styles:
    1 - MASI's distance; verdicts: how near the scores lie.
    """
    if stage not in LABELLING:
        return round(PARTS * (1 - abs(int(one["score"]) - int(other["score"])) / 4))
    if stage is Stage.SEGMENTATION:
        return round(PARTS * (1 - compare(stage, one, other).edit))
    if stage is Stage.ATTRIBUTES:
        pairs = list(attribute_pairs(one, other))
        return round(PARTS * sum(a == b for _, a, b in pairs) / len(pairs)) if pairs else PARTS
    return round(PARTS * (1 - masi(frozenset(one["styles"]), frozenset(other["styles"]))))


def attribute_pairs(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(attribute, value in one, value in the other) for each region both have, where either has a value."""
    for region in sorted(set(one["regions"]) & set(other["regions"])):
        mine, theirs = one["regions"][region], other["regions"][region]
        for name in sorted(set(mine) | set(theirs)):
            a, b = _text(mine.get(name)), _text(theirs.get(name))
            if a or b:
                yield name, a, b


def styles_text(result: Mapping[str, Any]) -> str:
    """The set of styles as one text, whatever their order."""
    return short("|".join(sorted(result["styles"])))


def passes(result: Mapping[str, Any]) -> bool:
    """Whether a verdict lets the image through."""
    return bool(result["score"] >= PASSING)


def short(text: str) -> str:
    """The text, or if it is too long for a key its beginning and its hash."""
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE - 65]}#{hashlib.sha256(text.encode()).hexdigest()}"


def _text(value: object) -> str:
    if isinstance(value, list):
        return short("|".join(sorted(map(str, value))))
    return "" if value is None else short(str(value))
