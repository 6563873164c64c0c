"""What verdicts, votes and acceptances do to people's scores, in the transaction that brings them.

It runs after the image has moved: the image, the task and the person are locked by then, and the scores come
last. Labelling answers cost nothing here.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from crowd.images.models import ImageState
from crowd.policy import Policy
from crowd.review import judgements, queries
from crowd.review.judgements import Told
from crowd.tasks.flow import REVIEWING, Cause, Effect, Move
from crowd.tasks.models import Kind
from crowd.tasks.moves import Moving
from crowd.tasks.rules import Judgement
from crowd.tiers.evidence import Evidence, record


def note_move(moving: Moving, move: Move, judgement: Judgement) -> None:
    """An answer has moved its image (see answers.MOVED_HOOKS): record what it says of whom."""
    stage, cause = moving.task.stage, moving.task.cause
    if stage not in REVIEWING and not judgement.settled:
        return
    story = story_of(moving.conn, moving.image.id)
    found: list[Evidence] = []
    if judgement.settled:
        found += judgements.of_votes(story, judgement.label["styles"], moving.image.id)
    elif cause is not Cause.STYLES:
        found += judgements.of_verdict(story, cause, moving.image.id, moving.policy)
    if move.effect is Effect.ACCEPT:
        found += _of_acceptance(moving.conn, story, moving.image.id, moving.policy, moving.now)
    record(moving.conn, moving.policy, found)


def note_decision(conn: Connection, image_id: int, state: ImageState, policy: Policy, now: datetime) -> None:
    """An admin has decided about an image (see decisions.DECIDED_HOOKS): rejections stand, or do not."""
    if state is ImageState.ACCEPTED:
        record(conn, policy, _of_acceptance(conn, story_of(conn, image_id), image_id, policy, now))


def story_of(conn: Connection, image_id: int) -> list[Told]:
    """The answers to an image that counted, oldest first."""
    return [
        Told(
            task_id=row.task_id,
            worker_id=row.worker_id,
            stage=row.stage,
            round=row.round,
            result=row.result,
            at=row.at,
            sends_back=row.kind is Kind.SEND_BACK,
        )
        for row in queries.counted_answers(conn, image_id)
    ]


def _of_acceptance(
    conn: Connection, story: Sequence[Told], image_id: int, policy: Policy, now: datetime
) -> list[Evidence]:
    if not judgements.has_rejections(story):
        return []
    since = queries.accepted_before(conn, image_id)
    return judgements.of_acceptance(story, since, now, image_id, policy)
