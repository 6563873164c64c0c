"""The way of one image through the stages as a Markov chain: how often each task of it is done. PURE.

An image stands at a stage with the faults its labels have and the stages that labelled it already.
The chances are people's habits; the moves are those of `crowd.tasks.flow`. Left out, because rare: the
cap on bounces with its `loop` adjudications, and images that are found unusable.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from crowd.policy import Stage
from crowd.tasks.flow import LABELLING, NEXT

SMALLEST_CHANCE = 1e-12
SEATS = 2


@dataclass(frozen=True, slots=True)
class Habits:
    """Chances between 0 and 1.

    `right`: a first labelling of the stage has no fault; `again`: neither has one that reworks or confirms.
    `check`: a labeller notices a fault of an earlier stage; `notice`: a reviewer notices that something is
    wrong; `false_alarm`: a reviewer rejects sound labels. `unsure`: an expert asks for `votes` in all.
    """

    right: Mapping[Stage, float]
    again: float
    check: float
    notice: float
    inspector_notice: float
    false_alarm: float
    inspector_false_alarm: float
    unsure: float = 0.0
    votes: float = 3.2


@dataclass(frozen=True, slots=True)
class State:
    """Where an image stands; `done` counts the labelling stages it has been through."""

    stage: Stage
    faults: frozenset[Stage]
    done: int

    @property
    def is_again(self) -> bool:
        """Whether a labeller here starts from earlier labels of the stage, or a reviewer from a verdict."""
        if self.stage in LABELLING:
            return LABELLING.index(self.stage) < self.done
        return False


START = State(Stage.SEGMENTATION, frozenset(), 0)


@dataclass(frozen=True, slots=True)
class Step:
    """A way out of a state. `to` None: accepted. `bounced`: the stage it was sent back to."""

    chance: float
    to: State | None
    bounced: Stage | None = None


def steps(state: State, habits: Habits) -> list[Step]:
    """The ways out of a state; their chances add up to 1."""
    if state.stage in LABELLING:
        return list(_labelled(state, habits))
    if state.stage is Stage.FIRST_REVIEW:
        return list(_first_reviewed(state, habits))
    if state.stage is Stage.SECOND_REVIEW:
        return list(_second_reviewed(state, habits))
    return list(_adjudicated(state, habits))


def tasks_at(state: State, habits: Habits) -> float:
    """How many people are needed to get an image out of a state."""
    if state.stage is Stage.SECOND_REVIEW:
        return SEATS
    if state.stage is Stage.STYLES and not state.is_again:
        return 1 + habits.unsure * (habits.votes - 1)
    return 1


@dataclass(frozen=True, slots=True)
class Expected:
    """What an image comes to on average: tasks by stage and whether done again, bounces by target.

    `sound`: the share of accepted images without a fault.
    """

    tasks: Mapping[tuple[Stage, bool], float]
    bounces: Mapping[Stage, float]
    sound: float


def expected(habits: Habits) -> Expected:
    """Follow one image until all but a vanishing chance of it is accepted."""
    tasks: dict[tuple[Stage, bool], float] = defaultdict(float)
    bounces: dict[Stage, float] = defaultdict(float)
    sound = 0.0
    here = {START: 1.0}
    while here:
        there: dict[State, float] = defaultdict(float)
        for state, mass in here.items():
            tasks[state.stage, state.is_again] += mass * tasks_at(state, habits)
            for step in steps(state, habits):
                if step.bounced:
                    bounces[step.bounced] += mass * step.chance
                if step.to is not None:
                    there[step.to] += mass * step.chance
                elif not state.faults:
                    sound += mass * step.chance
        here = {state: mass for state, mass in there.items() if mass > SMALLEST_CHANCE}
    return Expected(dict(tasks), dict(bounces), sound)


def _labelled(state: State, habits: Habits) -> Iterator[Step]:
    stage, place = state.stage, LABELLING.index(state.stage)
    unnoticed = 1.0
    for earlier in LABELLING[:place]:
        if earlier in state.faults:
            yield _bounce(unnoticed * habits.check, state, earlier)
            unnoticed *= 1 - habits.check
    right = habits.again if state.is_again else habits.right[stage]
    done = max(state.done, place + 1)
    for chance, faults in (
        (right, state.faults - {stage}),
        (1 - right, state.faults | {stage}),
    ):
        yield Step(unnoticed * chance, State(NEXT[stage], faults, done))


def _first_reviewed(state: State, habits: Habits) -> Iterator[Step]:
    for target, chance in _rejected(state, habits.notice, habits.false_alarm).items():
        if target is None:
            yield Step(chance, State(Stage.SECOND_REVIEW, state.faults, state.done))
        else:
            yield _bounce(chance, state, target)


def _second_reviewed(state: State, habits: Habits) -> Iterator[Step]:
    seat = _rejected(state, habits.inspector_notice, habits.inspector_false_alarm)
    for (one, first), (other, second) in product(seat.items(), repeat=SEATS):
        if one is None and other is None:
            yield Step(first * second, None)
        elif one is other and one is not None:
            yield _bounce(first * second, state, one)
        else:
            yield Step(first * second, State(Stage.ADJUDICATION, state.faults, state.done))


def _adjudicated(state: State, habits: Habits) -> Iterator[Step]:
    for target, chance in _rejected(state, habits.inspector_notice, habits.inspector_false_alarm).items():
        yield Step(chance, None) if target is None else _bounce(chance, state, target)


def _rejected(state: State, notice: float, false_alarm: float) -> dict[Stage | None, float]:
    """The chance that one reviewer blames each stage; None: that they pass the image."""
    if state.faults:
        return {None: 1 - notice, min(state.faults, key=LABELLING.index): notice}
    return {None: 1 - false_alarm, **dict.fromkeys(LABELLING, false_alarm / len(LABELLING))}


def _bounce(chance: float, state: State, target: Stage) -> Step:
    return Step(chance, State(target, state.faults, state.done), bounced=target)
