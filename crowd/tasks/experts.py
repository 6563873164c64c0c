"""Experts of style: who is asked further about a hard one, and what is known of each one's time and aim.

Figures are added up by upkeep from the labels that have come since, never in an answer's own transaction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, Database
from crowd.policy import Policy, Stage
from crowd.tasks import expert_queries as queries

_NAME = "expert_figures"
FOLD_BATCH = 1000
# So many batches at one call: after an upgrade there may be millions of labels, and upkeep has other things
# to do.
MOST_BATCHES = 20
# Longer than any transaction can live: of rows older than this none with a smaller id is still to appear.
SETTLED_AFTER = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Reservation:
    """For whom a seat is kept, and until when."""

    worker_id: int
    until: datetime


def reserve_for_best(
    conn: Connection, image_id: int, image_round: int, policy: Policy, now: datetime
) -> Reservation | None:
    """The expert who is to be asked next about an image that others are unsure of; None: whoever comes.

    The best of the best quarter who is at work, may take it, and has little else waiting. Asked in the
    transaction of an unsure answer alone; the caller has locked the image.
    """
    seconds = min(policy.reserve_seconds, policy.experts.reserve_seconds)
    if seconds == 0:
        return None
    everybody = queries.experts(conn, policy.stages[Stage.STYLES].grades)
    at_work = now - timedelta(seconds=policy.experts.at_work_seconds)
    best = [row.id for row in best_of(everybody, policy) if row.last_at and row.last_at >= at_work]
    if not best:
        return None
    barred = queries.barred_from(conn, image_id, image_round, best)
    waiting = queries.waiting_for(conn, best)
    for worker_id in best:
        if worker_id not in barred and waiting.get(worker_id, 0) < policy.experts.most_waiting:
            return Reservation(worker_id, now + timedelta(seconds=seconds))
    return None


def best_of(everybody: Sequence[AnyRow], policy: Policy) -> list[AnyRow]:
    """The best share of the experts, the best first; of equals who came first."""
    ranked = sorted(everybody, key=lambda row: (-aim(row, policy), row.id))
    return ranked[: math.ceil(len(ranked) * policy.experts.best_percent / 100)]


def aims(conn: Connection, worker_ids: Sequence[int], policy: Policy) -> dict[int, float]:
    """How often each of these experts is right, as far as evidence tells."""
    known = {row.worker_id: aim(row, policy) for row in queries.scores(conn, worker_ids)}
    unknown = policy.quality.prior_good / (policy.quality.prior_good + policy.quality.prior_bad)
    return {worker_id: known.get(worker_id, unknown) for worker_id in worker_ids}


def aim(row: AnyRow, policy: Policy) -> float:
    """How good an expert's styles are, as far as evidence tells: the mean of the score's distribution."""
    good, bad = row.good or 0.0, row.bad or 0.0
    prior = policy.quality.prior_good, policy.quality.prior_bad
    return float((prior[0] + good) / (prior[0] + prior[1] + good + bad))


def fold(db: Database, now: datetime, batch: int = FOLD_BATCH) -> int:
    """Add what has been settled since to the experts' figures. Returns how many labels were read.

    Any number of processes may call it: the mark's lock has them do it one after the other.
    """
    read = 0
    for _ in range(MOST_BATCHES):
        with db.begin() as conn:
            found = _fold_batch(conn, now, batch)
        read += found
        if found < batch:
            break
    return read


def _fold_batch(conn: Connection, now: datetime, batch: int) -> int:
    rows = queries.labels_after(conn, queries.lock_mark(conn, _NAME), batch)
    settled = [row for row in rows if row.at < now - SETTLED_AFTER]
    # Up to the first that is not settled, whatever comes after it.
    young = next((row.id for row in rows if row.at >= now - SETTLED_AFTER), None)
    taken = [row for row in settled if young is None or row.id < young]
    if not taken:
        return 0
    sums: dict[int, dict[str, Any]] = {}
    for row in taken:
        if row.stage is Stage.STYLES:
            _add_votes(conn, row, sums)
    # In the order of ids, though the mark's lock has let nobody else in.
    for worker_id in sorted(sums):
        last_at = sums[worker_id].pop("last_at")
        queries.add_figures(conn, worker_id, sums[worker_id], last_at)
    queries.move_mark(conn, _NAME, taken[-1].id)
    return len(taken)


def _add_votes(conn: Connection, label: AnyRow, sums: dict[int, dict[str, Any]]) -> None:
    is_joint = label.worker_id is None
    for vote in queries.votes(conn, label.image_id, label.round):
        if "styles" not in vote.result:
            continue
        own = sums.setdefault(
            vote.worker_id,
            {"answers": 0, "unsure": 0, "timed": 0, "seconds": 0.0, "judged": 0, "agreed": 0},
        )
        own["answers"] += 1
        own["unsure"] += bool(vote.result.get("unsure"))
        own["timed"] += vote.seconds is not None
        own["seconds"] += vote.seconds or 0.0
        own["judged"] += is_joint
        own["agreed"] += is_joint and vote.result["styles"][0] == label.main
        own["last_at"] = max(vote.at, own.get("last_at", vote.at))


def figures(
    conn: Connection, policy: Policy, *, after: int | None = None, limit: int
) -> list[dict[str, Any]]:
    """Each expert's time and aim; rates are None where there is nothing to divide by."""
    return [
        {
            "worker_id": row.worker_id,
            "username": row.username,
            "answers": row.answers,
            "unsure": row.unsure,
            "seconds": row.seconds / row.timed if row.timed else None,
            "judged": row.judged,
            "agreed": row.agreed,
            "accuracy": row.agreed / row.judged if row.judged else None,
            "score": aim(row, policy),
            "score_n": row.n or 0,
            "last_at": row.last_at,
        }
        for row in queries.figures(conn, after=after, limit=limit)
    ]
