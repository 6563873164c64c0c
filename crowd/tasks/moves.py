"""What an answer does to its image: the moves of flow.TRANSITIONS, carried out.

The caller holds the lock on the image's row, so two moves of one image never interleave.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.images.history import Happening, record
from crowd.images.models import What
from crowd.policy import Policy, Stage
from crowd.tasks import answer_queries, experts, image_queries, seat_queries
from crowd.tasks.flow import NEXT, STAGES, Cause, Effect, Move
from crowd.tasks.rules import Answer, Judgement

# Called when the latest answer of an image at a stage is sent back for correction.
BOUNCED_HOOKS: list[Callable[[Connection, int, Stage], None]] = []


@dataclass(frozen=True, slots=True)
class Moving:
    """An image on the move: its locked row, the answered task, who answered, and when."""

    conn: Connection
    image: AnyRow
    task: AnyRow
    worker_id: int
    taxonomy_id: int
    policy: Policy
    now: datetime

    def note(self, what: What, **fields: Any) -> int:
        """Record an event at the task's stage; the image's round after it."""
        happening = Happening(
            what, worker_id=self.worker_id, stage=self.task.stage, task_id=self.task.id, **fields
        )
        return record(self.conn, self.image.id, happening, self.now)


def apply(moving: Moving, move: Move, judgement: Judgement) -> None:
    """Carry out `move` after an answer judged as `judgement`."""
    keep_label(moving, judgement)
    match move.effect:
        case Effect.WAIT:
            return
        case Effect.OPEN:
            assert move.stage is not None
            open_stage(moving, move.stage, moving.image.round)
        case Effect.OPEN_SEAT:
            assert move.stage is not None
            _ask_further_expert(moving, move.stage)
        case Effect.OPEN_NEXT:
            _uphold(moving)
        case Effect.BOUNCE | Effect.BOUNCE_OR_HOLD:
            _reject(moving, move.effect, judgement)
        case Effect.SECOND_OPINION:
            _ask_second_opinion(moving)
        case Effect.ADJUDICATE:
            assert move.cause is not None
            _open_adjudication(moving, move.cause)
        case Effect.ACCEPT:
            moving.note(What.ACCEPTED, why={"reason": f"{moving.task.stage} passed"})
        case Effect.REFUSE:
            moving.note(What.REFUSED, why={"unusable": _unusable_codes(moving)})
        case Effect.HOLD:
            moving.note(
                What.HELD,
                why={
                    "reason": "the dispute was not settled",
                    "verdicts": judgement_reasons(judgement),
                },
            )


def open_stage(moving: Moving, stage: Stage, image_round: int) -> None:
    """The seats of a stage, ready."""
    for _ in range(STAGES[stage].seats):
        seat_queries.open_task(moving.conn, moving.image, stage, image_round, moving.now)


def judgement_reasons(judgement: Judgement) -> list[dict[str, Any]]:
    """The rejecting answers as feedback, without names."""
    return [feedback_of(answer) for answer in judgement.rejections]


def feedback_of(answer: Answer) -> dict[str, Any]:
    """What travels to the author of a rejected answer: stage, score, reasons, comment."""
    return {
        "stage": answer.stage.value,
        "score": answer.result.get("score"),
        "reasons": list(answer.result.get("reasons") or ()),
        "comment": answer.result.get("comment") or "",
    }


def _ask_further_expert(moving: Moving, stage: Stage) -> None:
    """One more seat, kept for a while for the best expert who can take it."""
    best = experts.reserve_for_best(
        moving.conn, moving.image.id, moving.image.round, moving.policy, moving.now
    )
    seat_queries.open_task(
        moving.conn,
        moving.image,
        stage,
        moving.image.round,
        moving.now,
        reserved_for=best.worker_id if best else None,
        reserved_until=best.until if best else None,
    )


def keep_label(moving: Moving, judgement: Judgement) -> None:
    """The labels that an answer came to, if any, are the image's from now on."""
    if judgement.label is None:
        return
    answer_queries.add_label(
        moving.conn,
        moving.image.id,
        judgement.label_stage or moving.task.stage,
        moving.image.round,
        None if judgement.settled else moving.worker_id,
        moving.taxonomy_id,
        judgement.label,
        moving.now,
    )


def _reject(moving: Moving, effect: Effect, judgement: Judgement) -> None:
    """Bounce, unless the stage has been bounced to so often that somebody must settle it."""
    target = judgement.target
    assert target is not None
    reasons = judgement_reasons(judgement)
    # Counted under the image's lock: two bounces of one image cannot both be the second.
    if image_queries.bounces_to(moving.conn, moving.image.id, target) + 1 < moving.policy.bounce_cap:
        _bounce(moving, target, reasons)
    elif effect is Effect.BOUNCE_OR_HOLD:
        seat_queries.close_open(moving.conn, moving.image.id)
        moving.note(
            What.HELD,
            target=target,
            why={"reason": "bounced too often", "verdicts": reasons},
        )
    else:
        seat_queries.close_open(moving.conn, moving.image.id)
        moving.note(What.DISPUTED, target=target, why=reasons)
        _open_adjudication(moving, Cause.LOOP, disputed=target)


def _bounce(moving: Moving, target: Stage, reasons: list[dict[str, Any]]) -> None:
    seat_queries.close_open(moving.conn, moving.image.id)
    author = image_queries.author_of(moving.conn, moving.image.id, target)
    for hook in BOUNCED_HOOKS:
        hook(moving.conn, moving.image.id, target)
    new_round = moving.note(What.BOUNCED, target=target, about_id=author, why=reasons)
    grades = moving.policy.stages[target].grades
    reserved = (
        author is not None
        and moving.policy.reserve_seconds > 0
        and seat_queries.may_be_reserved_for(moving.conn, author, grades)
    )
    seat_queries.open_task(
        moving.conn,
        moving.image,
        target,
        new_round,
        moving.now,
        bounced=True,
        reserved_for=author if reserved else None,
        reserved_until=moving.now + timedelta(seconds=moving.policy.reserve_seconds) if reserved else None,
    )


def _ask_second_opinion(moving: Moving) -> None:
    seat_queries.close_open(moving.conn, moving.image.id)
    new_round = moving.note(What.SECOND_OPINION, target=Stage.SEGMENTATION)
    seat_queries.open_task(
        moving.conn,
        moving.image,
        Stage.SEGMENTATION,
        new_round,
        moving.now,
        cause=Cause.SECOND_OPINION,
        excluded_id=moving.worker_id,
    )


def _open_adjudication(moving: Moving, cause: Cause, disputed: Stage | None = None) -> None:
    seat_queries.open_task(
        moving.conn,
        moving.image,
        Stage.ADJUDICATION,
        moving.image.round,
        moving.now,
        cause=cause,
        disputed=disputed,
    )


def _uphold(moving: Moving) -> None:
    """A loop is settled: the disputed labels stand, and the stage after them opens.

    In a new round: that stage has been answered in this one, and its people may sit again.
    """
    opened = NEXT[moving.task.disputed]
    new_round = moving.note(What.UPHELD, target=opened)
    open_stage(moving, opened, new_round)


def _unusable_codes(moving: Moving) -> list[str]:
    return answer_queries.unusable_codes(moving.conn, moving.image.id)
