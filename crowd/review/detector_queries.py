"""All SQL of the detectors: a fixed number of the newest answers, of everybody or of one person.

No statement here reads more the more answers there are: each goes down an index from its newest end.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow
from crowd.images.models import Image
from crowd.ml.models import CandidateUse, Taking
from crowd.policy import Stage
from crowd.tasks.expert_models import ReadMark
from crowd.tasks.models import Claim, DueJob, Kind, Label, Standing, Submission, Task

_NAME = "detectors"
CHUNK = 500
# Outlines are long, and looked at for one person at a time only.
_SHORT_RESULT = sa.case((Submission.stage != Stage.SEGMENTATION, Submission.result), else_=None)
_ANSWERS = (
    sa.select(
        Submission.id,
        Submission.task_id,
        Submission.token,
        Submission.image_id,
        Submission.stage,
        Submission.round,
        Submission.worker_id,
        Submission.at,
        Submission.seconds,
        sa.type_coerce(_SHORT_RESULT, Submission.result.type).label("result"),
        Image.supplier_id,
        Claim.at.label("claimed_at"),
        CandidateUse.taking,
        Task.bounced,
    )
    .join(Image, Image.id == Submission.image_id)
    .join(Task, Task.id == Submission.task_id)
    .outerjoin(Claim, sa.and_(Claim.task_id == Submission.task_id, Claim.token == Submission.token))
    .outerjoin(
        CandidateUse,
        sa.and_(
            CandidateUse.task_id == Submission.task_id,
            CandidateUse.token == Submission.token,
            CandidateUse.withheld.is_(False),
            CandidateUse.taking != Taking.NO_LABELS,
        ),
    )
)


def due(conn: Connection, now: datetime) -> bool:
    """Whether it is time for the detectors to look."""
    due_at = conn.execute(sa.select(DueJob.due_at).where(DueJob.name == _NAME)).scalar_one_or_none()
    return due_at is None or due_at <= now


def take_turn(conn: Connection, now: datetime, until: datetime) -> bool:
    """Move the next look to `until`; False when another process has."""
    first = INSERT[conn.dialect.name](DueJob).on_conflict_do_nothing()
    conn.execute(first, {"name": _NAME, "due_at": now})
    moved = sa.update(DueJob).where(DueJob.name == _NAME, DueJob.due_at <= now).values(due_at=until)
    return conn.execute(moved).rowcount == 1


def mark(conn: Connection) -> int | None:
    """The last answer looked at; None before the first look."""
    found = sa.select(ReadMark.last_id).where(ReadMark.name == _NAME)
    return conn.execute(found).scalar_one_or_none()


def move_mark(conn: Connection, submission_id: int) -> None:
    """Everything up to this answer has been looked at."""
    insert = INSERT[conn.dialect.name](ReadMark)
    values = {"name": _NAME, "last_id": submission_id}
    newer = {"last_id": insert.excluded.last_id}
    conn.execute(insert.on_conflict_do_update(index_elements=["name"], set_=newer), values)


def newest_id(conn: Connection) -> int:
    """The id of the newest answer; 0 when there is none."""
    return conn.execute(sa.select(sa.func.max(Submission.id))).scalar_one() or 0


def fresh(conn: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """Who gave the first `limit` answers beyond `after`, and at which stage."""
    return conn.execute(
        sa.select(Submission.id, Submission.worker_id, Submission.stage)
        .where(Submission.id > after)
        .order_by(Submission.id)
        .limit(limit)
    ).all()


def in_good_standing(conn: Connection, worker_ids: Collection[int]) -> set[int]:
    """Those of the people who are neither suspended nor erased."""
    able = sa.select(Worker.id).where(
        Worker.id.in_(worker_ids), Worker.suspended_at.is_(None), Worker.erased_at.is_(None)
    )
    return set(conn.execute(able).scalars())


def newest_answers(conn: Connection, limit: int) -> Sequence[AnyRow]:
    """Everybody's newest answers that count, oldest first."""
    return _newest(conn, sa.select(Submission.id), limit)


def newest_answers_of(conn: Connection, worker_id: int, limit: int) -> Sequence[AnyRow]:
    """One person's newest answers that count, oldest first."""
    return _newest(conn, sa.select(Submission.id).where(Submission.worker_id == worker_id), limit)


def _newest(conn: Connection, ids: sa.Select[int], limit: int) -> Sequence[AnyRow]:
    newest = sorted(conn.execute(ids.order_by(Submission.id.desc()).limit(limit)).scalars())
    rows: list[AnyRow] = []
    # The ids first, and few at a time: so few are joined by key, whatever the planner thinks of the tables.
    for start in range(0, len(newest), CHUNK):
        counted = _ANSWERS.where(
            Submission.id.in_(newest[start : start + CHUNK]),
            Submission.standing == Standing.COUNTED,
            Submission.kind == Kind.SUBMIT,
        )
        rows += conn.execute(counted.order_by(Submission.id)).all()
    return rows


def results(conn: Connection, submission_ids: Collection[int]) -> dict[int, Any]:
    """The whole results of these answers."""
    rows = conn.execute(sa.select(Submission.id, Submission.result).where(Submission.id.in_(submission_ids)))
    return {row.id: row.result for row in rows}


def labels_before(conn: Connection, image_id: int, stage: Stage, image_round: int) -> Any:
    """The labels that an answer of this round began with; None when there were none."""
    return conn.execute(
        sa.select(Label.value)
        .where(Label.image_id == image_id, Label.stage == stage, Label.round < image_round)
        .order_by(Label.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def verdicts_on(conn: Connection, image_ids: Collection[int], stages: Collection[Stage]) -> Sequence[AnyRow]:
    """Every verdict that counts on these images at `stages`, oldest first."""
    return conn.execute(
        sa.select(
            Submission.image_id, Submission.round, Submission.stage, Submission.worker_id, Submission.result
        )
        .where(
            Submission.image_id.in_(image_ids),
            Submission.stage.in_(stages),
            Submission.standing == Standing.COUNTED,
            Submission.kind == Kind.SUBMIT,
        )
        .order_by(Submission.id)
    ).all()
