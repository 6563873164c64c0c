"""What an image's answers should have come to: its state, its round and its tasks, from the history alone.

Walks the events of one image in order and works out for itself, by `docs/flow.md`, what each answer had to
lead to. PURE: it takes rows and gives sentences about what does not fit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from crowd.images.models import ImageState, What
from crowd.policy import Policy, Stage
from crowd.tasks.flow import NEXT, STAGES, Cause, Effect, Move, Outcome, move_for
from crowd.tasks.models import Kind

Seat: TypeAlias = tuple[Stage, int, Cause | None]

# What an event by the system follows on, and is therefore looked for right behind an answer.
CONSEQUENCES = frozenset(
    (
        What.BOUNCED,
        What.SECOND_OPINION,
        What.DISPUTED,
        What.UPHELD,
        What.ACCEPTED,
        What.HELD,
        What.REFUSED,
    )
)


class Event(Protocol):
    """A row of `image_events`."""

    what: What
    task_id: int | None
    target: Stage | None


class Given(Protocol):
    """A counted row of `submissions`, with its task's `cause` and `disputed`."""

    task_id: int
    stage: Stage
    round: int
    cause: Cause | None
    disputed: Stage | None
    kind: Kind
    result: Any


@dataclass
class Walk:
    """An image on its way; `faults` are sentences."""

    policy: Policy
    state: ImageState = ImageState.IN_WORK
    round: int = 1
    open: Counter[Seat] = field(default_factory=Counter)
    opened: Counter[Seat] = field(default_factory=Counter)
    bounces: Counter[Stage] = field(default_factory=Counter)
    before: list[Given] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def open_seats(self, stage: Stage, cause: Cause | None = None, seats: int | None = None) -> None:
        """Seats of a stage in the present round."""
        count = STAGES[stage].seats if seats is None else seats
        self.open[stage, self.round, cause] += count
        self.opened[stage, self.round, cause] += count

    def close(self) -> None:
        """No task is open any more."""
        self.open.clear()

    def peers(self, stage: Stage, image_round: int) -> list[Given]:
        """The labels or verdicts given before at a stage in a round."""
        return [
            each
            for each in self.before
            if (each.stage, each.round, each.kind) == (stage, image_round, Kind.SUBMIT)
            and "unusable" not in each.result
        ]


def walk(events: Sequence[Event], answers: Mapping[int, Given], policy: Policy) -> Walk:
    """Where the events of one image should have led; `answers`: counted ones, by task."""
    image = Walk(policy)
    rest = list(events)
    while rest:
        event = rest.pop(0)
        match event.what:
            case What.UPLOADED:
                image.open_seats(Stage.SEGMENTATION)
            case What.SUBMITTED | What.SENT_BACK:
                given = answers.get(event.task_id or 0)
                if given is None:
                    image.faults.append(f"{event.what} of task {event.task_id} without a counted answer")
                    continue
                due = _answered(image, given)
                come = []
                while rest and rest[0].what in CONSEQUENCES:
                    come.append(rest.pop(0))
                _compare(image, event, due, come)
            case What.REOPENED if event.target is not None:
                image.close()
                image.state, image.round = ImageState.IN_WORK, image.round + 1
                image.bounces[event.target] = 0
                image.open_seats(event.target)
            case What.REFUSED | What.HELD | What.ACCEPTED | What.WITHDRAWN:
                image.close()
                image.state = _STATES[event.what]
            case What.PREPARED | What.RELEASED | What.ORIGINAL_VIEWED | What.COVERED | What.CROPPED:
                pass
            case _:
                image.faults.append(f"{event.what} follows on nothing")
    image.open = +image.open
    return image


_STATES = {
    What.ACCEPTED: ImageState.ACCEPTED,
    What.HELD: ImageState.HELD,
    What.REFUSED: ImageState.REFUSED,
    What.WITHDRAWN: ImageState.WITHDRAWN,
}

Due: TypeAlias = tuple[What, Stage | None] | None


def _compare(image: Walk, event: Event, due: Due, come: Sequence[Event]) -> None:
    told = [(each.what, each.target) for each in come]
    if due is None:
        if told:
            image.faults.append(f"after the answer of task {event.task_id} came {told}, nothing was due")
        return
    what, target = due
    if len(told) != 1 or told[0][0] is not what or (target is not None and told[0][1] is not target):
        image.faults.append(f"after the answer of task {event.task_id} came {told}, due was {due}")


def _answered(image: Walk, given: Given) -> Due:
    """Move the image on; the event that has to follow."""
    seat = given.stage, given.round, given.cause
    if image.open[seat] <= 0:
        image.faults.append(f"task {given.task_id} ({given.stage}, round {given.round}) was not open")
    image.open[seat] -= 1
    outcome, target = _outcome(image, given)
    image.before.append(given)
    return _moved(image, move_for(given.stage, given.cause, outcome), given, target)


def _moved(image: Walk, move: Move, given: Given, target: Stage | None) -> Due:
    match move.effect:
        case Effect.WAIT:
            return None
        case Effect.OPEN | Effect.OPEN_SEAT:
            assert move.stage is not None
            image.open_seats(move.stage, seats=1 if move.effect is Effect.OPEN_SEAT else None)
            return None
        case Effect.ADJUDICATE:
            image.open_seats(Stage.ADJUDICATION, move.cause)
            return None
        case Effect.OPEN_NEXT:
            assert given.disputed is not None
            image.round += 1
            image.open_seats(NEXT[given.disputed])
            return What.UPHELD, NEXT[given.disputed]
        case Effect.SECOND_OPINION:
            image.close()
            image.round += 1
            image.open_seats(Stage.SEGMENTATION, Cause.SECOND_OPINION)
            return What.SECOND_OPINION, Stage.SEGMENTATION
        case Effect.BOUNCE | Effect.BOUNCE_OR_HOLD:
            assert target is not None
            return _rejected(image, move.effect, target)
    ends = {Effect.ACCEPT: What.ACCEPTED, Effect.REFUSE: What.REFUSED, Effect.HOLD: What.HELD}
    image.close()
    image.state = _STATES[ends[move.effect]]
    return ends[move.effect], None


def _rejected(image: Walk, effect: Effect, target: Stage) -> Due:
    image.close()
    if image.bounces[target] + 1 < image.policy.bounce_cap:
        image.bounces[target] += 1
        image.round += 1
        image.open_seats(target, seats=1)
        return What.BOUNCED, target
    if effect is Effect.BOUNCE_OR_HOLD:
        image.state = ImageState.HELD
        return What.HELD, target
    image.open_seats(Stage.ADJUDICATION, Cause.LOOP)
    return What.DISPUTED, target


def _outcome(image: Walk, given: Given) -> tuple[Outcome, Stage | None]:
    """How the answer is judged, and whom a rejection sends the image back to."""
    result = given.result
    if given.kind is Kind.SEND_BACK:
        return Outcome.SENT_BACK, Stage(result["to"])
    if "unusable" in result:
        return Outcome.UNUSABLE, None
    match given.stage:
        case Stage.SEGMENTATION | Stage.ATTRIBUTES:
            return Outcome.LABELLED, None
        case Stage.STYLES:
            return _styles_outcome(image, given), None
        case Stage.FIRST_REVIEW:
            return (Outcome.PASSED, None) if _passes(result) else (Outcome.REJECTED, _target(given))
        case Stage.SECOND_REVIEW:
            return _seats_outcome(image, given)
    if given.cause is Cause.STYLES:
        return Outcome.LABELLED, None
    if _passes(result):
        return Outcome.PASSED, None
    return Outcome.REJECTED, _adjudged_target(image, given)


def _styles_outcome(image: Walk, given: Given) -> Outcome:
    votes = [each.result["styles"][0] for each in (*image.peers(Stage.STYLES, given.round), given)]
    if len(votes) == 1:
        return Outcome.UNSETTLED if given.result["unsure"] else Outcome.LABELLED
    most = max(Counter(votes).values())
    if len(votes) >= image.policy.votes_needed and 2 * most > len(votes):
        return Outcome.LABELLED
    return Outcome.DIVIDED if len(votes) >= image.policy.votes_most else Outcome.UNSETTLED


def _seats_outcome(image: Walk, given: Given) -> tuple[Outcome, Stage | None]:
    others = image.peers(Stage.SECOND_REVIEW, given.round)
    if not others:
        return Outcome.WAITING, None
    pair = (others[-1], given)
    passed = [_passes(each.result) for each in pair]
    if all(passed):
        return Outcome.PASSED, None
    if any(passed) or _target(pair[0]) is not _target(pair[1]):
        return Outcome.DIVIDED, None
    return Outcome.REJECTED, _target(given)


def _adjudged_target(image: Walk, given: Given) -> Stage | None:
    if given.result["blame"]:
        return Stage(given.result["blame"])
    seats = image.peers(Stage.SECOND_REVIEW, given.round)
    targets = [_target(each) for each in seats if not _passes(each.result)]
    return min(targets, key=list(Stage).index, default=None)


def _target(given: Given) -> Stage:
    if given.result["blame"]:
        return Stage(given.result["blame"])
    return Stage.STYLES if given.stage is Stage.FIRST_REVIEW else Stage.FIRST_REVIEW


def _passes(result: Mapping[str, Any]) -> bool:
    return bool(result["score"] >= 4)
