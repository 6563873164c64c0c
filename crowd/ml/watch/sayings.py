"""What candidates and labels say, question by question: a style, or a region's attribute. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crowd.policy import Stage
from crowd.taxonomy import Taxonomy

MAIN_STYLE = "style"


@dataclass(frozen=True, slots=True)
class Saying:
    """One question that has one answer: what was labelled (`also` holds beside it), and a model's scores.

    `region` is empty where the question is about the whole image.
    """

    region: str
    question: str
    given: str
    also: tuple[str, ...]
    scores: Mapping[str, float]


def sayings(
    stage: Stage, labels: Mapping[str, Any], candidates: Mapping[str, Any], taxonomy: Taxonomy
) -> Iterator[Saying]:
    """Every question that both answer. Questions that several values can answer are left out."""
    if stage is Stage.STYLES and candidates["styles"]:
        main, *others = labels["styles"]
        yield Saying("", MAIN_STYLE, main, tuple(others), _scores(candidates["styles"]))
    if stage is Stage.ATTRIBUTES:
        for region, proposed in candidates["regions"].items():
            answers = labels["regions"].get(region, {})
            for question, ranked in proposed.items():
                given, asked = answers.get(question), taxonomy.attribute(question)
                if isinstance(given, str) and ranked and asked is not None and not asked.multiple:
                    yield Saying(region, question, given, (), _scores(ranked))


def first_answers(stage: Stage, candidates: Mapping[str, Any]) -> Iterator[str]:
    """What a model says first of an image: parts, attributes with their values, or a style."""
    match stage:
        case Stage.SEGMENTATION:
            parts = sorted(region["part"] for region in candidates["regions"])
            yield f"parts: {' '.join(parts)}"
        case Stage.ATTRIBUTES:
            for proposed in candidates["regions"].values():
                yield from (
                    f"{question}: {ranked[0]['value']}" for question, ranked in proposed.items() if ranked
                )
        case _:
            yield from (f"style: {ranked['value']}" for ranked in candidates["styles"][:1])


def doubtfulness(stage: Stage, candidates: Mapping[str, Any]) -> float:
    """How unsure a model is of an image, 0 to 1: the mean over its questions of 1 - the lead of the first.

    Margin sampling (Scheffer, Decomain, Wrobel: Active Hidden Markov Models, 2001). Of regions it is 1 -
    their mean score; an image in which it finds nothing is as doubtful as can be.
    """
    match stage:
        case Stage.SEGMENTATION:
            found = [1.0 - region["score"] for region in candidates["regions"]]
        case Stage.ATTRIBUTES:
            found = [
                1.0 - _lead(ranked)
                for proposed in candidates["regions"].values()
                for ranked in proposed.values()
            ]
        case _:
            found = [1.0 - _lead(candidates["styles"])]
    return sum(found) / len(found) if found else 1.0


def disagreement(stage: Stage, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The share of first answers, 0 to 1, that two models do not share (query by committee, Seung 1992)."""
    mine, theirs = set(first_answers(stage, one)), set(first_answers(stage, other))
    return 1.0 - len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0


def _lead(ranked: Sequence[Mapping[str, Any]]) -> float:
    scores = [float(entry["score"]) for entry in ranked[:2]]
    return scores[0] - scores[1] if len(scores) == 2 else sum(scores)


def _scores(ranked: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {entry["value"]: float(entry["score"]) for entry in ranked}
