"""Probation: the first reviews of somebody new are judged again, blind, once their image is through.

After them a small share goes on being judged again, so that whoever changes is noticed.

Upkeep finds them; no claim and no answer does anything for it. Until its image is accepted a review waits:
who judges it again is then needed nowhere else, and cannot tell anybody anything.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, Database
from crowd.policy import Policy, Stage
from crowd.review.detectors import Overlap
from crowd.review.evidence import story_of
from crowd.review.policy import passes
from crowd.review.probation import queries
from crowd.review.rechecks import queries as rechecks
from crowd.review.rechecks import service as seats
from crowd.review.rechecks.models import RecheckState
from crowd.tasks.models import Purpose
from crowd.tasks.shadows import Testimony
from crowd.tiers import evidence, quality_queries
from crowd.tiers.evidence import Evidence, Kind

BATCH = 1000
MOST_BATCHES = 20
OPENED_AT_ONCE = 50
# Who could tell which of their later reviews are compared would look at those alone.
DICE = random.SystemRandom()
# Where a database is met for the first time, so many answers back.
FIRST_LOOK = 5000
# Longer than any transaction can live: of rows older than this none with a smaller id is still to appear.
SETTLED_AFTER = timedelta(seconds=90)


def upkeep(db: Database, policy: Policy, now: datetime) -> int:
    """Take up new first reviews, and open the seats of those whose image is through; how many were opened.

    Any number of processes may call it: the mark's lock has them read one after the other.
    """
    if policy.probation.reviews == 0:
        return 0
    for _ in range(MOST_BATCHES):
        with db.begin() as conn:
            if _take_up(conn, policy, now) < BATCH:
                break
    with db.begin() as conn:
        return _open_settled(conn, policy, now)


def compared(conn: Connection, policy: Policy, recheck: AnyRow, said: Testimony) -> None:
    """Somebody has judged the same labels: evidence about the reviewer."""
    known = quality_queries.standing_about(conn, [recheck.task_id])
    score = int(said.result["score"])
    shown = Evidence(
        worker_id=recheck.worker_id,
        stage=recheck.stage,
        kind=Kind.AGREEMENT,
        value=float(passes({"score": recheck.own_score}) == passes(said.result)),
        weight=1.0,
        task_id=recheck.task_id,
        image_id=recheck.image_id,
        judge_id=said.worker_id,
        score=recheck.own_score,
        against=float(score),
        opens=not any(row.opens for row in known),
        at=said.at,
    )
    evidence.record(conn, policy, [shown])


def overlaps(
    policy: Policy, conn: Connection, worker_id: int, stage: Stage, after: datetime | None
) -> Sequence[Overlap]:
    """A reviewer's scores beside those of who judged the same again (see watch.OVERLAP_SOURCES)."""
    most = policy.flags.overlap_seats
    rows = rechecks.compared(conn, worker_id, stage, Purpose.OVERLAP, after, most)
    return [Overlap(worker_id, row.image_id, row.own_score, float(row.score)) for row in rows]


def _take_up(conn: Connection, policy: Policy, now: datetime) -> int:
    found = queries.answers_after(conn, queries.lock_mark(conn, FIRST_LOOK), BATCH)
    young = next((row.id for row in found if row.at >= now - SETTLED_AFTER), None)
    rows = [row for row in found if young is None or row.id < young]
    for row in rows:
        if row.score is not None:
            _take_up_review(conn, row, policy, now)
    if rows:
        queries.move_mark(conn, rows[-1].id)
    return len(rows)


def _take_up_review(conn: Connection, row: AnyRow, policy: Policy, now: datetime) -> None:
    most = policy.probation.reviews
    if queries.reviews_of(conn, row.worker_id, row.id, most) < most:
        queries.count_review(conn, row.worker_id)
    elif DICE.random() * 100 >= policy.probation.later_percent:
        return
    rechecks.add(
        conn,
        {
            "purpose": Purpose.OVERLAP,
            "state": RecheckState.WAITING,
            "image_id": row.image_id,
            "task_id": row.task_id,
            "worker_id": row.worker_id,
            "stage": Stage.FIRST_REVIEW,
            "opened_at": now,
            "ripe_at": now,
            "own_score": row.score,
        },
    )


def _open_settled(conn: Connection, policy: Policy, now: datetime) -> int:
    numbers = policy.probation
    room = numbers.open_most - rechecks.count_open(conn, numbers.open_most)
    opened = 0
    for row in rechecks.settled_waiting(conn, min(room, OPENED_AT_ONCE)):
        if row.image_state in rechecks.GONE:
            rechecks.close(conn, row.id, RecheckState.DROPPED, now)
            continue
        story = story_of(conn, row.image_id)
        place = seats.place_of(story, row.task_id)
        assert place is not None, "an answer that counted stays in its image's story"
        labels = seats.labels_at(story, place)
        idle, ripe = (now + timedelta(hours=hours) for hours in (numbers.idle_hours, numbers.wait_hours))
        rechecks.open_up(conn, row.id, labels, idle, max(idle, ripe))
        opened += 1
    return opened
