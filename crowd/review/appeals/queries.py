"""All SQL of appeals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import INSERT, AnyRow, AnySelect, Coded, literal
from crowd.images.models import Image
from crowd.policy import Stage
from crowd.review.appeals.models import Appeal, AppealDecision
from crowd.review.appeals.rules import APPEALABLE
from crowd.review.appeals.states import AppealState
from crowd.review.rechecks.models import Recheck
from crowd.review.rechecks.queries import SETTLED
from crowd.tasks.models import Label, Standing, Submission, Task
from crowd.tiers.quality_models import EvidenceRow
from crowd.tiers.score import Kind


def own_answer(conn: Connection, task_id: int, worker_id: int) -> AnyRow | None:
    """The person's answer to a task if it counted, or looked as if it did (gold): its image and stage."""
    return conn.execute(
        sa.select(Submission.image_id, Submission.stage)
        .where(
            Submission.task_id == task_id,
            Submission.worker_id == worker_id,
            # Somebody told otherwise of an answer on gold would know it by that.
            Submission.standing.in_((Standing.COUNTED, Standing.EVIDENCE)),
        )
        .limit(1)
    ).one_or_none()


def settled_styles(conn: Connection, image_id: int, image_round: int) -> list[str]:
    """What the votes of a round came to, main style first."""
    value: dict[str, Any] = conn.execute(
        sa.select(Label.value)
        .where(Label.image_id == image_id, Label.stage == Stage.STYLES, Label.round == image_round)
        .order_by(Label.id)
        .limit(1)
    ).scalar_one()
    found: list[str] = value["styles"]
    return found


def count_open(conn: Connection, worker_id: int) -> int:
    """How many of a person's appeals are not decided yet."""
    undecided = (
        sa.select(sa.func.count())
        .select_from(Appeal)
        .outerjoin(AppealDecision, AppealDecision.appeal_id == Appeal.id)
        .where(Appeal.worker_id == worker_id, AppealDecision.appeal_id.is_(None))
    )
    return conn.execute(undecided).scalar_one()


def add(conn: Connection, **values: Any) -> int:
    """Keep an appeal for good."""
    appeal_id: int = conn.execute(sa.insert(Appeal).values(**values).returning(Appeal.id)).scalar_one()
    return appeal_id


def add_decision(conn: Connection, **values: Any) -> bool:
    """Keep what an appeal came to for good; False when that was decided before."""
    insert = INSERT[conn.dialect.name](AppealDecision).values(**values).on_conflict_do_nothing()
    return conn.execute(insert.returning(AppealDecision.appeal_id)).first() is not None


_KIND = Coded(AppealState)
_UPHELD = {AppealState.OPEN: None, AppealState.UPHELD: True, AppealState.DISMISSED: False}
_STATE = sa.type_coerce(
    sa.case(
        (AppealDecision.upheld.is_(None), literal(AppealState.OPEN, _KIND)),
        (AppealDecision.upheld, literal(AppealState.UPHELD, _KIND)),
        else_=literal(AppealState.DISMISSED, _KIND),
    ),
    _KIND,
).label("state")
_COLUMNS = (
    Appeal.id,
    Appeal.task_id,
    Appeal.image_id,
    Appeal.stage,
    Appeal.reason,
    Appeal.at,
    _STATE,
    AppealDecision.at.label("decided_at"),
)


def of_person(
    conn: Connection, worker_id: int, *, before: int | None, limit: int, task_id: int | None = None
) -> Sequence[AnyRow]:
    """A person's appeals, newest first, without who judged."""
    found: AnySelect = (
        sa.select(*_COLUMNS)
        .join_from(Appeal, AppealDecision, AppealDecision.appeal_id == Appeal.id, isouter=True)
        .where(Appeal.worker_id == worker_id)
        .order_by(Appeal.id.desc())
        .limit(limit)
    )
    if before is not None:
        found = found.where(Appeal.id < before)
    if task_id is not None:
        found = found.where(Appeal.task_id == task_id)
    return conn.execute(found).all()


def appeals(
    conn: Connection,
    *,
    state: AppealState | None = None,
    worker_id: int | None = None,
    appeal_id: int | None = None,
    recheck_id: int | None = None,
    after: int | None = None,
    limit: int = 1,
) -> Sequence[AnyRow]:
    """Appeals as admins see them, oldest first."""
    appellant, by, judge = (sa.orm.aliased(Worker) for _ in range(3))
    found: AnySelect = (
        sa.select(
            *_COLUMNS,
            Appeal.recheck_id,
            Appeal.worker_id,
            appellant.username,
            AppealDecision.upheld,
            AppealDecision.why,
            AppealDecision.withdrawn,
            AppealDecision.seat_id,
            by.username.label("by"),
            judge.username.label("judge"),
        )
        .join_from(Appeal, Recheck, Recheck.id == Appeal.recheck_id)
        .join(appellant, appellant.id == Appeal.worker_id)
        .join(AppealDecision, AppealDecision.appeal_id == Appeal.id, isouter=True)
        .join(by, by.id == AppealDecision.by_id, isouter=True)
        .join(Task, sa.and_(Task.id == Recheck.seat_id, Task.worker_id.is_not(None)), isouter=True)
        .join(judge, judge.id == Task.worker_id, isouter=True)
        .order_by(Appeal.id)
        .limit(limit)
    )
    if state is not None:
        found = found.where(AppealDecision.upheld.is_(_UPHELD[state]))
    for column, value in (
        (Appeal.worker_id, worker_id),
        (Appeal.id, appeal_id),
        (Appeal.recheck_id, recheck_id),
    ):
        if value is not None:
            found = found.where(column == value)
    if after is not None:
        found = found.where(Appeal.id > after)
    return conn.execute(found).all()


def possible(
    conn: Connection, worker_id: int, since: datetime, before: int | None, limit: int
) -> Sequence[AnyRow]:
    """Evidence against a person's answers that no appeal was made of yet, newest first; see `rules`."""
    cancelling = sa.alias(EvidenceRow.__table__, "cancelling")
    newest = sa.func.max(EvidenceRow.id)
    found: AnySelect = (
        sa.select(
            newest.label("id"),
            EvidenceRow.task_id,
            EvidenceRow.image_id,
            EvidenceRow.stage,
            sa.func.max(EvidenceRow.at, type_=EvidenceRow.at.type).label("at"),
        )
        .where(
            EvidenceRow.worker_id == worker_id,
            EvidenceRow.kind.in_(sorted(APPEALABLE)),
            sa.or_(
                EvidenceRow.value == sa.literal_column("0"),
                # A vote on hard styles, of which not all was settled.
                sa.and_(
                    EvidenceRow.stage == Stage.STYLES,
                    EvidenceRow.kind == Kind.AGREEMENT,
                    EvidenceRow.value < sa.literal_column("1"),
                ),
            ),
            EvidenceRow.weight > sa.literal_column("0"),
            EvidenceRow.cancels_id.is_(None),
            EvidenceRow.at >= since,
            ~sa.exists(sa.select(cancelling.c.id).where(cancelling.c.cancels_id == EvidenceRow.id)),
            ~sa.exists(sa.select(Appeal.id).where(Appeal.task_id == EvidenceRow.task_id)),
            sa.exists(sa.select(Image.id).where(Image.id == EvidenceRow.image_id, Image.state.in_(SETTLED))),
        )
        # Several people may have judged the same answer.
        .group_by(EvidenceRow.task_id, EvidenceRow.image_id, EvidenceRow.stage)
        .order_by(newest.desc())
        .limit(limit)
    )
    if before is not None:
        found = found.having(newest < before)
    return conn.execute(found).all()
