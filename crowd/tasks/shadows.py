"""Shadow seats: seats that look like any other to who sits there, and whose answers are evidence only.

Nothing here knows what gold or an exam is: the rooms above say when somebody is to be given such a seat
(`STAND_INS`) and take the answers (`WITNESSES`). docs/decisions/0011-shadow-seats.md: how one stays unseen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.policy import Grade, Policy, Stage
from crowd.tasks import image_queries, lease_queries, shadow_queries
from crowd.tasks.flow import ORDER, Effect, Move
from crowd.tasks.labels import carry_attributes, region_parts
from crowd.tasks.models import Kind, Purpose, TaskState
from crowd.tasks.shadow_queries import Place

# Asked with every new task that a claim has found, before it is taken: the seat to be given instead, locked.
STAND_INS: list[Callable[[Connection, int, AnyRow, datetime], Place | None]] = []


@dataclass(frozen=True, slots=True)
class Asking:
    """Somebody who asks for a task: who, of what grade, the stage named, and the taxonomy they would get."""

    worker_id: int
    grade: Grade
    only: Stage | None
    taxonomy_id: int


# Asked with each claim of a single task that has found no rework: the seat that this person gets before any
# new work, leased.
FIRST_CALLS: list[Callable[[Connection, Asking, datetime], AnyRow | None]] = []


@dataclass(frozen=True, slots=True)
class Testimony:
    """An answer in a shadow seat: the checked result, and the labels it was given on."""

    task: AnyRow
    worker_id: int
    kind: Kind
    result: Mapping[str, Any]
    labels: Mapping[Stage, Any]
    seconds: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Errand:
    """Somebody who may adjudicate asks for a task; `pressing`: there is new work that they would get."""

    worker_id: int
    grade: Grade
    taxonomy_id: int
    now: datetime
    pressing: bool


# Asked where a claim of somebody who may adjudicate has found no rework: a seat given to them, leased.
ERRANDS: list[Callable[[Connection, Errand], AnyRow | None]] = []

# Who takes the answers of a purpose, in the transaction of the answer.
WITNESSES: dict[Purpose, Callable[[Connection, Testimony], None]] = {}

# What in ordinary work begins the image's next round at once.
_SENDS_BACK = frozenset({Effect.BOUNCE, Effect.BOUNCE_OR_HOLD, Effect.SECOND_OPINION})


def stand_in(conn: Connection, worker_id: int, found: AnyRow, now: datetime) -> Place | None:
    """The shadow seat that this person gets instead of the task found; None: the task itself.

    Rework is never replaced: it comes with the reasons why it came back.
    """
    if found.bounced or found.purpose is not Purpose.WORK:
        return None
    return next((place for ask in STAND_INS if (place := ask(conn, worker_id, found, now))), None)


def first_call(conn: Connection, asking: Asking, now: datetime) -> AnyRow | None:
    """The shadow seat, leased, that comes before any new work of this person; None mostly."""
    return next((task for call in FIRST_CALLS if (task := call(conn, asking, now))), None)


def errand(conn: Connection, asked: Errand) -> AnyRow | None:
    """A seat that somebody uninvolved is wanted for, leased; None: nobody wants them."""
    return next((task for ask in ERRANDS if (task := ask(conn, asked)) is not None), None)


def is_over(conn: Connection, task: AnyRow, worker_id: int, policy: Policy) -> bool:
    """Whether a seat that its holder let go is lost to them, and if so, close it.

    An ordinary task would have gone back to the head of its queue, to whoever claims there next. So the
    seat is over once somebody else has.
    """
    if task.purpose is Purpose.WORK or task.reserved_until is None:
        return False
    let_go = task.reserved_until - lease_queries.REST
    lease = timedelta(seconds=policy.stages[task.stage].lease_seconds)
    if not shadow_queries.somebody_took(conn, task.stage, worker_id, let_go + lease):
        return False
    shadow_queries.end_rest(conn, task.id)
    return True


def testify(conn: Connection, testimony: Testimony, move: Move) -> None:
    """Hand an answer over as evidence; the image only seems to move."""
    if move.effect in _SENDS_BACK:
        shadow_queries.next_round(conn, testimony.task.image_id)
    witness = WITNESSES.get(testimony.task.purpose)
    if witness is not None:
        witness(conn, _on_the_whole_picture(conn, testimony))


def _on_the_whole_picture(conn: Connection, testimony: Testimony) -> Testimony:
    """The outlines where they lie in the picture that the right ones were drawn on.

    Its holder may have cut off the top of theirs, as of any other.
    """
    if testimony.task.stage is not Stage.SEGMENTATION or "regions" not in testimony.result:
        return testimony
    dx, dy = image_queries.cut_off(conn, testimony.task.image_id)
    if (dx, dy) == (0, 0):
        return testimony
    regions = [
        {**region, "rings": [[[x + dx, y + dy] for x, y in ring] for ring in region["rings"]]}
        for region in testimony.result["regions"]
    ]
    return replace(testimony, result={**testimony.result, "regions": regions})


@dataclass(frozen=True, slots=True)
class Later:
    """What whoever sat in a shadow seat is shown of its image by now."""

    accepted: bool
    labels: Mapping[Stage, Any]


def seen_later(conn: Connection, image_id: int, own: Mapping[Stage, Any], now: datetime) -> Later:
    """How an image that somebody knows from a shadow seat would have gone on.

    Like the one whose picture it shows went on after the same stage, and in the same time.
    """
    seat = shadow_queries.seat_of(conn, image_id)
    if seat is None:
        return Later(accepted=False, labels=own)
    answered = shadow_queries.when_answered(conn, seat.source_id, seat.stage)
    accepted = shadow_queries.when_accepted(conn, seat.source_id)
    since = now - (seat.answered_at or seat.given_at)
    # As long as it may still be answered by whoever has it, work would stand still, and so does this.
    is_open = seat.answered_at is None and seat.state is not TaskState.CLOSED
    if answered is None or is_open:
        return Later(accepted=False, labels=own)
    of_source = shadow_queries.latest_labels(conn, seat.source_id)
    come = {
        stage: row.value
        for stage, row in of_source.items()
        if (ORDER[stage] > ORDER[seat.stage] or (seat.answered_at is None and stage is seat.stage))
        and row.at - answered < since
    }
    labels = {**own, **come}
    if Stage.ATTRIBUTES in come and Stage.SEGMENTATION in own:
        drawn = region_parts(of_source[Stage.SEGMENTATION].value)
        # Given for the regions of the picture's own image, shown for those that this person knows.
        labels[Stage.ATTRIBUTES] = carry_attributes(
            come[Stage.ATTRIBUTES], drawn, region_parts(own[Stage.SEGMENTATION])
        )
    return Later(accepted is not None and accepted - answered < since, labels)
