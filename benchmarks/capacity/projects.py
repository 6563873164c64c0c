"""The projects that are reckoned through: the guideline's, and what changes it. PURE, all of it data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.capacity.chain import Habits
from benchmarks.capacity.days import Group, Pace, Project
from benchmarks.capacity.habits import assumed
from crowd.policy import Stage

IMAGES = 1_200_000

# Seconds of one task, assumed. Those of the labelling stages fit the guideline's head-counts and days.
SECONDS: Mapping[Stage, float] = {
    Stage.SEGMENTATION: 200,
    Stage.ATTRIBUTES: 100,
    Stage.STYLES: 120,
    Stage.FIRST_REVIEW: 15,
    Stage.SECOND_REVIEW: 8,
    Stage.ADJUDICATION: 60,
}
# Who confirms or reworks earlier labels takes this share of a first labelling's time.
AGAIN = 0.35
# A page of 60 second reviews judged at a glance, the odd ones opened: seconds an image.
GRID_SECONDS = 1.5

CROWD, EXPERTS, REVIEWERS, INSPECTORS = "crowd", "experts", "first reviewers", "second reviewers"
STAGES: Mapping[str, tuple[Stage, ...]] = {
    CROWD: (Stage.ATTRIBUTES, Stage.SEGMENTATION),
    EXPERTS: (Stage.ADJUDICATION, Stage.STYLES),
    REVIEWERS: (Stage.FIRST_REVIEW,),
    INSPECTORS: (Stage.SECOND_REVIEW,),
}
PLANNED: Mapping[str, float] = {CROWD: 400, EXPERTS: 60, REVIEWERS: 10, INSPECTORS: 2}
# Days in which the guideline means its people to be done; it names none for the reviews.
PLANNED_DAYS: Mapping[str, float] = {CROWD: 37, EXPERTS: 143, REVIEWERS: 143, INSPECTORS: 143}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A project with the sentence that tells what is different in it."""

    name: str
    project: Project


def planned(
    people: Mapping[str, float] | None = None,
    seconds: Mapping[Stage, float] | None = None,
    habits: Habits | None = None,
    images: float = IMAGES,
) -> Project:
    """The guideline's project, with other people, seconds or habits where given."""
    counts = {**PLANNED, **(people or {})}
    groups = [Group(name, counts[name], stages) for name, stages in STAGES.items()]
    return Project(images, groups, Pace({**SECONDS, **(seconds or {})}, AGAIN), habits or assumed())


GRID = {Stage.SECOND_REVIEW: GRID_SECONDS}
SCENARIOS = (
    Scenario("as planned: 400, 60, 10, 2", planned()),
    Scenario("grid page for the second review", planned(seconds=GRID)),
    Scenario("grid page, 20 first reviewers", planned({REVIEWERS: 20}, GRID)),
    Scenario("no grid, 20 first and 10 second reviewers", planned({REVIEWERS: 20, INSPECTORS: 10})),
    Scenario("grid, 20 first reviewers, 90 experts", planned({REVIEWERS: 20, EXPERTS: 90}, GRID)),
    Scenario(
        "grid, 40 first, 4 second reviewers, 200 experts",
        planned({REVIEWERS: 40, INSPECTORS: 4, EXPERTS: 200}, GRID),
    ),
)


def with_right(share: float) -> Habits:
    """The assumed habits, but all first labellings right so often."""
    habits = assumed()
    return replace(habits, right=dict.fromkeys(habits.right, share))


HABITS: Mapping[str, Habits] = {
    "as assumed": assumed(),
    "first labellings right 95 %": with_right(0.95),
    "first labellings right 75 %": with_right(0.75),
    "pre-checks find 80 % (50 %)": assumed(check=0.8),
    "pre-checks find nothing": assumed(check=0.0),
    "second reviewers reject 8 % wrongly (2 %)": assumed(inspector_false_alarm=0.08),
    "experts unsure of 25 % (8 %)": assumed(unsure=0.25),
}
