"""Rechecks: an answer is judged once more, blind, by somebody who had no part in its image.

The seat looks like the adjudication of a split, or of styles. Nothing is put into the queue for it: a claim
of somebody who adjudicates asks here, and the seat is made when it is taken
(docs/decisions/0018-second-looks.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.policy import Grade, Policy, Stage
from crowd.review.judgements import Story
from crowd.review.rechecks import queries
from crowd.review.rechecks.labels import completed, rows_before
from crowd.review.rechecks.models import RecheckState
from crowd.tasks import answer_queries, handover, shadow_queries
from crowd.tasks.models import Part, Purpose
from crowd.tasks.shadows import Errand, Testimony

SEAT_STAGE = Stage.ADJUDICATION

Verdict = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usher:
    """Gives those who adjudicate the seats of rechecks."""

    policy: Policy

    def seat(self, conn: Connection, errand: Errand) -> AnyRow | None:
        """A seat for this person, leased; None: there is none for them. They hold their own lock.

        `pressing`: before new work, hence only what is ripe.
        """
        purposes = self._purposes(errand.grade)
        found = queries.next_for(conn, errand.worker_id, purposes, errand.now, ripe=errand.pressing)
        if found is None:
            return None
        seconds = self.policy.stages[SEAT_STAGE].lease_seconds
        task = shadow_queries.seat_beside(
            conn,
            found.purpose,
            SEAT_STAGE,
            found.image_id,
            {Stage(name): value for name, value in found.labels.items()},
            errand.worker_id,
            errand.taxonomy_id,
            errand.now,
            errand.now + timedelta(seconds=seconds),
            cause=found.cause,
        )
        queries.seated(conn, found.id, task.id, errand.worker_id)
        # From now on they never label or review this image, should it be opened again.
        answer_queries.add_participation(conn, found.image_id, errand.worker_id, Part.ADJUDICATION, 0)
        return task

    def _purposes(self, grade: Grade) -> list[Purpose]:
        overlap = [Purpose.OVERLAP] if grade in self.policy.probation.grades else []
        return [Purpose.APPEAL, *overlap]


@dataclass(frozen=True, slots=True)
class Listener:
    """Takes the verdicts given in the seats of one purpose, and tells whoever asked for them."""

    policy: Policy
    tell: Callable[[Connection, Policy, AnyRow, Testimony], None]

    def take(self, conn: Connection, said: Testimony) -> None:
        """A verdict came; one on what is settled by now is kept as an answer and nothing else."""
        found = queries.locked_by_seat(conn, said.task.id)
        if found is None:
            return
        score = said.result["score"] if found.own_score is not None else None
        queries.close(conn, found.id, RecheckState.ANSWERED, said.at, score)
        self.tell(conn, self.policy, found, said)


def labels_at(story: Story, place: int) -> dict[str, Any]:
    """By stage the labels as they stood before the answer at `place`, made complete."""
    shown = handover.present_labels(rows_before(story, place))  # type: ignore[arg-type]  # stage and value
    return {stage.value: value for stage, value in completed(shown, story).items()}


def labels_before_votes(story: Story, place: int) -> dict[str, Any]:
    """By stage what experts were shown who voted on the styles from `place` on: no vote, nor the outcome."""
    shown = handover.present_labels(rows_before(story, place))  # type: ignore[arg-type]  # stage and value
    return {stage.value: value for stage, value in shown.items()}


def place_of(story: Story, task_id: int) -> int | None:
    """Where the answer to a task stands in its image's story."""
    return next((place for place, each in enumerate(story) if each.task_id == task_id), None)


def seated_or_able(conn: Connection, recheck_ids: Sequence[int], policy: Policy) -> dict[int, int]:
    """How many people may sit for each of these; 0: an admin has to settle it."""
    found = queries.able(conn, recheck_ids, policy.stages[SEAT_STAGE].grades) if recheck_ids else {}
    return {each: found.get(each, 0) for each in recheck_ids}
