"""A project day by day: groups of people with so many seconds, images as a fluid between the states. PURE."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.capacity.chain import START, Habits, State, Step, expected, steps, tasks_at
from crowd.policy import Stage
from crowd.tasks.flow import ORDER

HOURS = 8
SECONDS = HOURS * 3600
# A day in so many turns, so that an image can get through several stages in one.
TURNS = 16
FINISHED = 0.999


@dataclass(frozen=True, slots=True)
class Group:
    """People who do the same stages, nearest to the end first, for eight hours a day."""

    name: str
    people: float
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        assert list(self.stages) == sorted(self.stages, key=ORDER.__getitem__, reverse=True), self.name


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of a task by stage; one that confirms or reworks takes the share `again` of them."""

    seconds: Mapping[Stage, float]
    again: float

    def of(self, state: State, habits: Habits) -> float:
        """Seconds of people's time that get an image out of a state."""
        share = self.again if state.is_again else 1.0
        return self.seconds[state.stage] * share * tasks_at(state, habits)


@dataclass(frozen=True, slots=True)
class Project:
    """Images, the people for them, and how these work."""

    images: float
    groups: Sequence[Group]
    pace: Pace
    habits: Habits


@dataclass(frozen=True, slots=True)
class Course:
    """What happened: at the end of each day the images waiting by stage and those accepted, in order.

    `busy`: the share of its time each group worked until the end.
    """

    waiting: list[dict[Stage, float]]
    accepted: list[float]
    busy: dict[str, float]

    @property
    def days(self) -> int:
        """How many days it took (or was followed)."""
        return len(self.accepted)


@dataclass(slots=True)
class _Fluid:
    project: Project
    here: dict[State, float] = field(default_factory=lambda: defaultdict(float))
    accepted: float = 0.0
    ways: dict[State, list[Step]] = field(default_factory=dict)

    def turn(self, group: Group, seconds: float) -> float:
        """Let a group work so long; the seconds it had something to do."""
        left = seconds
        for stage in group.stages:
            # What was sent back comes before what is new; whether labels have faults nobody knows beforehand.
            for again in (True, False):
                left -= self._work_off(stage, again, left)
        return seconds - left

    def _work_off(self, stage: Stage, again: bool, seconds: float) -> float:
        """Move the same share of all images that wait there; the seconds that took."""
        there = [state for state in self.here if state.stage is stage and state.is_again is again]
        pace, habits = self.project.pace, self.project.habits
        needed = sum(self.here[state] * pace.of(state, habits) for state in there)
        if needed <= 0:
            return 0.0
        share = min(1.0, seconds / needed)
        for state in there:
            self._move(state, self.here[state] * share)
        return needed * share

    def waiting(self) -> dict[Stage, float]:
        """Images by the stage they stand at."""
        found = dict.fromkeys(Stage, 0.0)
        for state, images in self.here.items():
            found[state.stage] += images
        return found

    def _move(self, state: State, images: float) -> None:
        self.here[state] -= images
        if state not in self.ways:
            self.ways[state] = steps(state, self.project.habits)
        for step in self.ways[state]:
            if step.to is None:
                self.accepted += images * step.chance
            else:
                self.here[step.to] += images * step.chance


def run(project: Project, most_days: int, *, arrive_in: int = 1) -> Course:
    """Follow the project until nearly all images are accepted, or for `most_days`.

    The images arrive evenly in the first `arrive_in` days.
    """
    fluid = _Fluid(project)
    course = Course([], [], {})
    busy = {group.name: 0.0 for group in project.groups}
    for day in range(most_days):
        for _ in range(TURNS):
            if day < arrive_in:
                fluid.here[START] += project.images / arrive_in / TURNS
            for group in project.groups:
                busy[group.name] += fluid.turn(group, group.people * SECONDS / TURNS)
        course.waiting.append(fluid.waiting())
        course.accepted.append(fluid.accepted)
        if fluid.accepted >= FINISHED * project.images:
            break
    for group in project.groups:
        course.busy[group.name] = busy[group.name] / (group.people * SECONDS * course.days)
    return course


def seconds_an_image(project: Project) -> dict[str, float]:
    """People's seconds that an image costs each group, rework included."""
    found = expected(project.habits).tasks
    cost = {group.name: 0.0 for group in project.groups}
    for group in project.groups:
        for (stage, again), tasks in found.items():
            if stage in group.stages:
                share = project.pace.again if again else 1.0
                cost[group.name] += tasks * project.pace.seconds[stage] * share
    return cost


def images_a_day(project: Project) -> dict[str, float]:
    """How many images a day each group can keep up with; the smallest is the project's pace."""
    cost = seconds_an_image(project)
    return {group.name: group.people * SECONDS / cost[group.name] for group in project.groups}


def people_needed(project: Project, days: float) -> dict[str, float]:
    """How many people each group needs to keep up with a finish in so many days."""
    cost = seconds_an_image(project)
    return {name: project.images * seconds / (days * SECONDS) for name, seconds in cost.items()}
