"""The members of a simulated crowd: who of which grade, and how well each one works. PURE."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from crowd.policy import Grade, Stage
from crowd.tasks.flow import LABELLING

SMALLEST_CREW = 6
# Three inspectors: two seats and somebody to settle what they differ in.
LEAST = {Grade.GENERAL: 1, Grade.SEMI_EXPERT: 0, Grade.REVIEWER: 1, Grade.EXPERT: 1, Grade.INSPECTOR: 3}
SHARES = {
    Grade.GENERAL: 0.40,
    Grade.SEMI_EXPERT: 0.10,
    Grade.REVIEWER: 0.15,
    Grade.EXPERT: 0.15,
    Grade.INSPECTOR: 0.20,
}
REVIEWERS = (Grade.REVIEWER, Grade.SEMI_EXPERT)
# With fewer of them, labelling would leave too few who may still review.
ENOUGH_REVIEWERS = 4
ENOUGH_EXPERTS = 3
MANY_EXPERTS = 5
ENOUGH_INSPECTORS = 4

GOOD = (0.92, 0.98)
CARELESS = (0.45, 0.55)
UNSURE_SHARE = 0.05


class CrewTooSmall(ValueError):
    """So few people cannot take an image through all stages."""


@dataclass(frozen=True, slots=True)
class Persona:
    """How one member works; all but `accuracy` (share of right answers by stage) are shares of tasks.

    `notice`: faults seen in a review; `check`: faults seen before one's own labelling;
    `false_alarm`: sound labels rejected; `unsure`: styles on which further experts are asked.
    `focus`: the stage they pull as long as it has work. `may_skip`: others can take what they skip.
    """

    number: int
    grade: Grade
    careless: bool
    accuracy: Mapping[Stage, float]
    notice: float
    check: float
    false_alarm: float
    unsure: float
    focus: Stage | None
    may_skip: bool


def grades_for(workers: int) -> dict[Grade, int]:
    """How many members of each grade a crew of that size has. Raises CrewTooSmall."""
    if workers < SMALLEST_CREW:
        raise CrewTooSmall(f"at least {SMALLEST_CREW} workers are needed to fill every stage, not {workers}")
    counts = dict(LEAST)
    while sum(counts.values()) < workers:
        counts[max(SHARES, key=lambda grade: SHARES[grade] * workers - counts[grade])] += 1
    return counts


def assemble(workers: int, seed: int, careless: float) -> list[Persona]:
    """The crew of a seed; `careless` is the share (0 to 1) of labellers who are. Raises CrewTooSmall.

    If anybody is careless, so is one inspector: then seats differ, and somebody has to adjudicate.
    """
    rng = random.Random(f"{seed}/crew")
    counts = grades_for(workers)
    grades = [grade for grade, count in counts.items() for _ in range(count)]
    labelling = sum(grade is not Grade.INSPECTOR for grade in grades)
    places = [place for place, grade in enumerate(grades) if _may_be_careless(grade, counts)]
    sloppy = set(rng.sample(places, min(len(places), math.ceil(careless * labelling))))
    if careless > 0:
        sloppy.add(grades.index(Grade.INSPECTOR))
    return [_persona(place + 1, grade, place in sloppy, counts, rng) for place, grade in enumerate(grades)]


def _may_be_careless(grade: Grade, counts: Mapping[Grade, int]) -> bool:
    # Of three experts who disagree none is left to decide; further ones have to be there.
    return grade is not Grade.INSPECTOR and (grade is not Grade.EXPERT or counts[grade] >= MANY_EXPERTS)


def _persona(
    number: int, grade: Grade, careless: bool, counts: Mapping[Grade, int], rng: random.Random
) -> Persona:
    span = CARELESS if careless else GOOD
    return Persona(
        number=number,
        grade=grade,
        careless=careless,
        accuracy={stage: rng.uniform(*span) for stage in (*LABELLING, Stage.ADJUDICATION)},
        notice=0.5 if careless else 0.95,
        check=0.3 if careless else 0.7,
        false_alarm=0.2 if careless and grade is Grade.INSPECTOR else 0.01,
        unsure=UNSURE_SHARE if counts[Grade.EXPERT] >= ENOUGH_EXPERTS else 0.0,
        focus=_focus(grade, counts),
        may_skip=counts[Grade.GENERAL] >= 3,
    )


def _focus(grade: Grade, counts: Mapping[Grade, int]) -> Stage | None:
    """Where a grade is scarce it does what it alone can do."""
    if grade in REVIEWERS and sum(counts[other] for other in REVIEWERS) < ENOUGH_REVIEWERS:
        return Stage.FIRST_REVIEW
    scarce = counts[Grade.INSPECTOR] < ENOUGH_INSPECTORS and counts[Grade.EXPERT] >= ENOUGH_EXPERTS
    if grade is Grade.INSPECTOR and scarce:
        return Stage.SECOND_REVIEW
    return None
