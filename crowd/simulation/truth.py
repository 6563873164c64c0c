"""The truth about an image: what a worker without fault would answer at each stage. PURE.

A drawn image brings its own; for any other image a plausible one is thrown from a seed.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from crowd.simulation.vocabulary import Question, Vocabulary

Labels = dict[str, Any]
Ring = list[list[float]]

# Outlines in shares of the image, of a figure that stands in its middle; none covers another.
OUTLINES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "top": (
        (
            (0.42, 0.22), (0.58, 0.22), (0.61, 0.30), (0.58, 0.34),
            (0.58, 0.49), (0.42, 0.49), (0.42, 0.34), (0.39, 0.30),
        ),
    ),
    "bottom": (
        ((0.41, 0.50), (0.59, 0.50), (0.62, 0.88), (0.53, 0.90), (0.50, 0.62), (0.47, 0.90), (0.38, 0.88)),
    ),
    "dress": (
        (
            (0.43, 0.21), (0.57, 0.21), (0.60, 0.32), (0.57, 0.45),
            (0.67, 0.78), (0.33, 0.78), (0.43, 0.45), (0.40, 0.32),
        ),
    ),
    "outer": (
        ((0.30, 0.24), (0.38, 0.22), (0.37, 0.60), (0.29, 0.60)),
        ((0.62, 0.22), (0.70, 0.24), (0.71, 0.60), (0.63, 0.60)),
    ),
}  # fmt: skip
OUTFITS = (("top", "bottom"), ("top", "bottom"), ("dress",), ("top", "bottom", "outer"))
ALWAYS_ASKED = frozenset(("category", "color"))
ANSWERED_SHARE = 0.7
SECOND_STYLE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Truth:
    """Results for the labelling stages in the API's form, and the code of an image that is `unusable`."""

    segmentation: Labels
    attributes: Labels
    styles: Labels
    unusable: str | None = None

    @classmethod
    def read(cls, results: Mapping[str, Any]) -> Self:
        """The truth from results by stage, as a drawing gives them."""
        return cls(results["segmentation"], results["attributes"], results["styles"])

    def fits(self, vocabulary: Vocabulary) -> bool:
        """Whether every word of it belongs to the vocabulary."""
        parts = {region["id"]: region["part"] for region in self.segmentation["regions"]}
        return (
            set(parts.values()) <= set(vocabulary.parts)
            and set(self.styles["styles"]) <= set(vocabulary.styles)
            and all(
                _answers_fit(answers, parts[name], vocabulary)
                for name, answers in self.attributes["regions"].items()
            )
        )


def seeded_truth(
    vocabulary: Vocabulary, seed: int, image_id: int, width: int, height: int, unusable: str | None = None
) -> Truth:
    """A plausible truth for an image of `width` x `height` pixels; the same arguments give the same truth."""
    rng = random.Random(f"{seed}/{image_id}/{width}x{height}")
    parts = _outfit(rng, vocabulary)
    regions = [
        {"id": f"r{number}", "part": part, "rings": _rings(rng, part, place, len(parts), (width, height))}
        for number, (place, part) in enumerate(enumerate(parts), 1)
    ]
    attributes = {region["id"]: seeded_attributes(rng, str(region["part"]), vocabulary) for region in regions}
    return Truth(
        {"regions": regions},
        {"regions": attributes},
        {"styles": _styles(rng, vocabulary), "unsure": False},
        unusable,
    )


def seeded_attributes(rng: random.Random, part: str, vocabulary: Vocabulary) -> Labels:
    """Values for a region of this part; a question left open is left out."""
    return {
        question.key: _answer(rng, question, part)
        for question in vocabulary.questions_for(part)
        if question.key in ALWAYS_ASKED or rng.random() < ANSWERED_SHARE
    }


def _answers_fit(answers: Mapping[str, Any], part: str, vocabulary: Vocabulary) -> bool:
    asked = {question.key: question.values[part] for question in vocabulary.questions_for(part)}
    return all(
        word in asked.get(key, ())
        for key, value in answers.items()
        for word in (value if isinstance(value, list) else [value])
        if word is not None
    )


def _outfit(rng: random.Random, vocabulary: Vocabulary) -> tuple[str, ...]:
    wearable = [outfit for outfit in OUTFITS if set(outfit) <= set(vocabulary.parts)]
    return rng.choice(wearable) if wearable else vocabulary.parts[:2]


def _rings(rng: random.Random, part: str, place: int, count: int, size: tuple[int, int]) -> list[Ring]:
    outlines = OUTLINES.get(part) or (_band(place, count),)
    return [_pixels(rng, outline, size) for outline in outlines]


def _band(place: int, count: int) -> tuple[tuple[float, float], ...]:
    """The outline of a part that no figure is known for: one of `count` bands from the top down."""
    top, bottom = 0.1 + 0.8 * place / count, 0.1 + 0.8 * (place + 0.9) / count
    return ((0.25, top), (0.75, top), (0.75, bottom), (0.25, bottom))


def _pixels(rng: random.Random, outline: Sequence[tuple[float, float]], size: tuple[int, int]) -> Ring:
    # Less than half the distance to a neighbouring outline, so that none crosses another.
    slack = 0.002
    return [
        [
            round((x + rng.uniform(-slack, slack)) * size[0], 3),
            round((y + rng.uniform(-slack, slack)) * size[1], 3),
        ]
        for x, y in outline
    ]


def _answer(rng: random.Random, question: Question, part: str) -> str | list[str]:
    values = question.values[part]
    if not question.multiple:
        return rng.choice(values)
    return rng.sample(values, min(len(values), rng.choice((1, 1, 2))))


def _styles(rng: random.Random, vocabulary: Vocabulary) -> list[str]:
    count = 2 if rng.random() < SECOND_STYLE_SHARE else 1
    return rng.sample(vocabulary.styles, min(count, len(vocabulary.styles)))
