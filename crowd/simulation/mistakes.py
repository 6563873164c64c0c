"""The mistakes of each stage: a true answer spoilt in a way that people spoil it. PURE.

Every spoilt answer is still well-formed, and differs from the truth by more than any tolerance.
"""

import copy
import random
from collections.abc import Callable
from typing import Any

import shapely
from shapely import affinity

from crowd.simulation.faults import answered
from crowd.simulation.truth import Labels
from crowd.simulation.vocabulary import Vocabulary

SHIFT = (0.15, 0.25)
SHRUNK = 0.75


def spoil_segmentation(
    true: Labels, vocabulary: Vocabulary, size: tuple[int, int], rng: random.Random
) -> Labels:
    """An outline beside its garment, a garment forgotten, or a wrong part; `size` is the image's (pixels)."""
    spoilt = copy.deepcopy(true)
    ways: list[Callable[[], None]] = [lambda: _displace(rng.choice(spoilt["regions"]), size, rng)]
    if len(spoilt["regions"]) > 1:
        ways.append(lambda: _forget(spoilt["regions"], rng))
    if len(vocabulary.parts) > 1:
        ways.append(lambda: _rename(rng.choice(spoilt["regions"]), vocabulary, rng))
    rng.choice(ways)()
    return spoilt


def spoil_attributes(
    true: Labels, parts: dict[str, str], vocabulary: Vocabulary, rng: random.Random
) -> Labels:
    """One to three wrong or forgotten values; `parts` are the regions' (id → part)."""
    spoilt = copy.deepcopy(true)
    places = [
        (name, question.key)
        for name, part in parts.items()
        for question in vocabulary.questions_for(part)
        if len(question.values[part]) > 1 or spoilt["regions"][name].get(question.key)
    ]
    for name, key in rng.sample(places, min(len(places), rng.randint(1, 3))):
        _misjudge(spoilt["regions"][name], key, parts[name], vocabulary, rng)
    return spoilt


def spoil_styles(true: Labels, vocabulary: Vocabulary, rng: random.Random) -> Labels:
    """Another main style."""
    others = [style for style in vocabulary.styles if style not in true["styles"]] or list(true["styles"][1:])
    if not others:
        return copy.deepcopy(true)
    wrong = rng.choice(others)
    return {**true, "styles": [wrong, *(style for style in true["styles"][1:] if style != wrong)]}


def _displace(region: dict[str, Any], size: tuple[int, int], rng: random.Random) -> None:
    """Move all rings by 15 to 25 % of the garment's extent, or shrink them where there is no room to move."""
    shape = shapely.MultiPolygon([shapely.Polygon(ring) for ring in region["rings"]])
    left, top, right, bottom = shape.bounds
    share = rng.uniform(*SHIFT)
    across, down = (right - left) * share, (bottom - top) * share
    steps = [
        (dx, dy)
        for dx, dy in ((across, 0), (-across, 0), (0, down), (0, -down))
        if left + dx >= 0 and right + dx <= size[0] and top + dy >= 0 and bottom + dy <= size[1]
    ]
    if steps:
        dx, dy = rng.choice(steps)
        moved = affinity.translate(shape, dx, dy)
    else:
        moved = affinity.scale(shape, SHRUNK, SHRUNK)
    region.pop("box", None)
    region["rings"] = [
        [[round(x, 3), round(y, 3)] for x, y in ring.exterior.coords[:-1]] for ring in moved.geoms
    ]


def _forget(regions: list[dict[str, Any]], rng: random.Random) -> None:
    regions.remove(rng.choice(regions))


def _rename(region: dict[str, Any], vocabulary: Vocabulary, rng: random.Random) -> None:
    region["part"] = rng.choice([part for part in vocabulary.parts if part != region["part"]])


def _misjudge(
    answers: dict[str, Any], key: str, part: str, vocabulary: Vocabulary, rng: random.Random
) -> None:
    question = next(question for question in vocabulary.questions_for(part) if question.key == key)
    before = answered(answers).get(key)
    if question.multiple and before and rng.random() < 0.5:
        answers[key] = []
        return
    others = [value for value in question.values[part] if value != before and {value} != before]
    value = rng.choice(others) if others else None
    answers[key] = ([value] if value else []) if question.multiple else value
