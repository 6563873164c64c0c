"""The habits of people in the chain: those of a simulated crew, and those assumed of a real project. PURE."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from benchmarks.capacity.chain import Habits
from crowd.policy import Grade, Policy, Stage
from crowd.simulation.bots import CAREFUL
from crowd.simulation.crew import Persona
from crowd.tasks.flow import LABELLING

# Not known beforehand of any project: with a good crew after training, first labellings are right so often,
# and pre-checks and reviews find so many of the faults.
ASSUMED_RIGHT: Mapping[Stage, float] = {
    Stage.SEGMENTATION: 0.90,
    Stage.ATTRIBUTES: 0.85,
    Stage.STYLES: 0.85,
}


def assumed(**changed: float) -> Habits:
    """The habits that docs/capacity.md reckons with, with those named changed."""
    chances = {
        "again": 0.97,
        "check": 0.5,
        "notice": 0.8,
        "inspector_notice": 0.9,
        "false_alarm": 0.02,
        "inspector_false_alarm": 0.02,
        "unsure": 0.08,
    }
    return Habits(right=ASSUMED_RIGHT, **(chances | changed))


def of_crew(crew: Iterable[Persona], policy: Policy) -> Habits:
    """What a simulated crew does on average, if all who may do a stage do as much of it."""
    people = list(crew)

    def who(stage: Stage) -> list[Persona]:
        return [person for person in people if person.grade in policy.stages[stage].grades]

    labellers = [person for stage in LABELLING for person in who(stage)]
    reviewers, inspectors = who(Stage.FIRST_REVIEW), [p for p in people if p.grade is Grade.INSPECTOR]
    return Habits(
        right={stage: fmean(person.accuracy[stage] for person in who(stage)) for stage in LABELLING},
        again=CAREFUL,
        check=fmean(person.check for person in labellers),
        notice=fmean(person.notice for person in reviewers),
        inspector_notice=fmean(person.notice for person in inspectors),
        false_alarm=fmean(person.false_alarm for person in reviewers),
        inspector_false_alarm=fmean(person.false_alarm for person in inspectors),
        unsure=fmean(person.unsure for person in who(Stage.STYLES)),
    )
