"""The whole process as two tables: STAGES, and TRANSITIONS from (stage, cause, outcome) to a move.

PURE. It says what follows from an answer, never who may give it (policy) or how it is stored.
`docs/flow.md` draws these tables; a test keeps the drawing and the tables equal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from crowd.policy import Stage


class Cause(StrEnum):
    """Why a task was opened, where its stage alone does not say it."""

    SECOND_OPINION = "second_opinion"
    SPLIT = "split"
    LOOP = "loop"
    STYLES = "styles"


class Outcome(StrEnum):
    """How an answer is judged."""

    LABELLED = "labelled"
    SENT_BACK = "sent_back"
    UNUSABLE = "unusable"
    UNSETTLED = "unsettled"
    DIVIDED = "divided"
    WAITING = "waiting"
    PASSED = "passed"
    REJECTED = "rejected"


class Effect(StrEnum):
    """What a move does to the image."""

    OPEN = "open"
    OPEN_SEAT = "open_seat"
    OPEN_NEXT = "open_next"
    BOUNCE = "bounce"
    BOUNCE_OR_HOLD = "bounce_or_hold"
    SECOND_OPINION = "second_opinion"
    ADJUDICATE = "adjudicate"
    WAIT = "wait"
    ACCEPT = "accept"
    REFUSE = "refuse"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: how many seats open at once, and whether people label or review in it."""

    seats: int
    labels: bool


@dataclass(frozen=True, slots=True)
class Move:
    """An effect, with the stage it opens or the cause it gives where there is one."""

    effect: Effect
    stage: Stage | None = None
    cause: Cause | None = None


STAGES: dict[Stage, StageRow] = {
    Stage.SEGMENTATION: StageRow(seats=1, labels=True),
    Stage.ATTRIBUTES: StageRow(seats=1, labels=True),
    Stage.STYLES: StageRow(seats=1, labels=True),
    Stage.FIRST_REVIEW: StageRow(seats=1, labels=False),
    Stage.SECOND_REVIEW: StageRow(seats=2, labels=False),
    Stage.ADJUDICATION: StageRow(seats=1, labels=False),
}

Step: TypeAlias = tuple[Stage, Cause | None, Outcome]

TRANSITIONS: dict[Step, Move] = {
    (Stage.SEGMENTATION, None, Outcome.LABELLED): Move(Effect.OPEN, Stage.ATTRIBUTES),
    (Stage.SEGMENTATION, None, Outcome.UNUSABLE): Move(Effect.SECOND_OPINION),
    (Stage.SEGMENTATION, Cause.SECOND_OPINION, Outcome.LABELLED): Move(Effect.OPEN, Stage.ATTRIBUTES),
    (Stage.SEGMENTATION, Cause.SECOND_OPINION, Outcome.UNUSABLE): Move(Effect.REFUSE),
    (Stage.ATTRIBUTES, None, Outcome.LABELLED): Move(Effect.OPEN, Stage.STYLES),
    (Stage.ATTRIBUTES, None, Outcome.SENT_BACK): Move(Effect.BOUNCE),
    (Stage.ATTRIBUTES, None, Outcome.UNUSABLE): Move(Effect.SECOND_OPINION),
    (Stage.STYLES, None, Outcome.LABELLED): Move(Effect.OPEN, Stage.FIRST_REVIEW),
    (Stage.STYLES, None, Outcome.UNSETTLED): Move(Effect.OPEN_SEAT, Stage.STYLES),
    (Stage.STYLES, None, Outcome.DIVIDED): Move(Effect.ADJUDICATE, cause=Cause.STYLES),
    (Stage.STYLES, None, Outcome.SENT_BACK): Move(Effect.BOUNCE),
    (Stage.STYLES, None, Outcome.UNUSABLE): Move(Effect.SECOND_OPINION),
    (Stage.FIRST_REVIEW, None, Outcome.PASSED): Move(Effect.OPEN, Stage.SECOND_REVIEW),
    (Stage.FIRST_REVIEW, None, Outcome.REJECTED): Move(Effect.BOUNCE),
    (Stage.SECOND_REVIEW, None, Outcome.WAITING): Move(Effect.WAIT),
    (Stage.SECOND_REVIEW, None, Outcome.PASSED): Move(Effect.ACCEPT),
    (Stage.SECOND_REVIEW, None, Outcome.REJECTED): Move(Effect.BOUNCE),
    (Stage.SECOND_REVIEW, None, Outcome.DIVIDED): Move(Effect.ADJUDICATE, cause=Cause.SPLIT),
    (Stage.ADJUDICATION, Cause.SPLIT, Outcome.PASSED): Move(Effect.ACCEPT),
    (Stage.ADJUDICATION, Cause.SPLIT, Outcome.REJECTED): Move(Effect.BOUNCE_OR_HOLD),
    (Stage.ADJUDICATION, Cause.LOOP, Outcome.PASSED): Move(Effect.OPEN_NEXT),
    (Stage.ADJUDICATION, Cause.LOOP, Outcome.REJECTED): Move(Effect.HOLD),
    (Stage.ADJUDICATION, Cause.STYLES, Outcome.LABELLED): Move(Effect.OPEN, Stage.FIRST_REVIEW),
}

# The stage that a confirmed answer of each stage opens; a settled loop goes on from here.
NEXT: dict[Stage, Stage] = {
    Stage.SEGMENTATION: Stage.ATTRIBUTES,
    Stage.ATTRIBUTES: Stage.STYLES,
    Stage.STYLES: Stage.FIRST_REVIEW,
    Stage.FIRST_REVIEW: Stage.SECOND_REVIEW,
}

ORDER: dict[Stage, int] = {stage: place for place, stage in enumerate(Stage)}

LABELLING: tuple[Stage, ...] = tuple(stage for stage, row in STAGES.items() if row.labels)

REVIEWING: tuple[Stage, ...] = tuple(stage for stage, row in STAGES.items() if not row.labels)

# Here one answer is judged together with those that others gave in the same round.
JOINT: frozenset[Stage] = frozenset({Stage.STYLES, Stage.SECOND_REVIEW})


def move_for(stage: Stage, cause: Cause | None, outcome: Outcome) -> Move:
    """The move that `outcome` at `stage` causes. Raises KeyError for a step that cannot be."""
    return TRANSITIONS[stage, cause, outcome]


def send_back_targets(stage: Stage) -> tuple[Stage, ...]:
    """Where a pre-check at `stage` may send an image back to; the default first."""
    if (stage, None, Outcome.SENT_BACK) not in TRANSITIONS:
        return ()
    return tuple(reversed(LABELLING[: LABELLING.index(stage)]))


def blame_targets(stage: Stage) -> tuple[Stage, ...]:
    """The stages a verdict at `stage` may blame: earlier labelling, later on the first review too."""
    if stage in LABELLING:
        return ()
    return LABELLING if stage is Stage.FIRST_REVIEW else (*LABELLING, Stage.FIRST_REVIEW)


def downstream_first(stages: tuple[Stage, ...]) -> list[Stage]:
    """`stages` in the order in which people are given them: nearest to the end first."""
    return sorted(stages, key=ORDER.__getitem__, reverse=True)
