"""Which tasks of a batch come first because a model learns most from them: active learning, within bounds.

Of each batch of candidates the most doubtful share comes one priority forward: before its likes of the same
stage, never before another stage's work, and the rest of the work goes on beside it. Doubtful is what the
model is unsure of, and where it and the model before it disagree. Whether a part of a task comes forward as
one or not at all is decided by lot, so that small batches keep the share as well.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.ml.models import Candidates
from crowd.ml.watch.sayings import disagreement, doubtfulness
from crowd.policy import Policy, Stage
from crowd.tasks import seat_queries


def bring_forward(
    conn: Connection, stage: Stage, model_id: int, made: Mapping[int, Any], policy: Policy
) -> list[int]:
    """Bring the most doubtful of a batch (task → candidates) forward; returns which.

    A task comes forward once, and only before anybody has claimed it.
    """
    count = _share(made, policy.urgent_percent)
    if not count:
        return []
    before = _before(conn, model_id, made)
    doubts = {
        task_id: doubtfulness(stage, value)
        + (disagreement(stage, before[task_id], value) if task_id in before else 0.0)
        for task_id, value in made.items()
    }
    chosen = sorted(doubts, key=lambda task_id: (-doubts[task_id], task_id))[:count]
    return seat_queries.bring_forward(conn, chosen)


def _share(tasks: Collection[int], percent: int) -> int:
    """So many percent of these tasks; the part of a task that is left over is one, or none, by lot.

    The lot is in the tasks' ids, as it is for withholding: nobody remembers what was left over, and many job
    workers keep the share as one would.
    """
    whole, left = divmod(len(tasks) * percent, 100)
    if not left:
        return whole
    ids = ",".join(map(str, sorted(tasks)))
    digest = hashlib.blake2b(f"urgency/{ids}".encode(), digest_size=8).digest()
    return whole + (int.from_bytes(digest) % 100 < left)


def _before(conn: Connection, model_id: int, made: Mapping[int, Any]) -> dict[int, Any]:
    """What the latest other model said of these tasks."""
    rows = conn.execute(
        sa.select(Candidates.task_id, Candidates.value)
        .where(Candidates.task_id.in_(sorted(made)), Candidates.model_id != model_id)
        .order_by(Candidates.model_id)
    )
    return {row.task_id: row.value for row in rows}
